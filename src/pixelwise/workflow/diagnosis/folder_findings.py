"""Findings from the problems of a folder: files without a partner, damaged files, sizes, values and copies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotations import files_of_annotation
from pixelwise.datasets.checks.finding import LEAVE_OUT, Finding, Step
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.masks.checks import find_exchanged
from pixelwise.datasets.masks.measure import pack
from pixelwise.datasets.problems import Problem
from pixelwise.errors import BadImage
from pixelwise.geometry.symmetries import Symmetry
from pixelwise.io.headers import open_image_file
from pixelwise.io.read import probe, read_mask
from pixelwise.io.volumes.names import suffix_of
from pixelwise.io.volumes.nifti import is_packed
from pixelwise.workflow.diagnosis.cases import ExaminedCase, mask_path, pair_case, relative, values_of_files

TRANSPOSE = Symmetry(3, mirrored=True)
_ASPECT = 0.02  # relative difference of height / width that rounding causes
_ENDINGS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "WebP": (".webp",),
    "WEBP": (".webp",),
    "NRRD": (".nrrd", ".nhdr"),
    "MetaImage": (".mha", ".mhd"),
}
_PACKED = (".nii", ".nii.gz")
# kind of problem -> kind of finding
_KINDS = {
    "missing mask": "missing mask",
    "orphan mask": "orphan mask",
    "unreadable image": "unreadable file",
    "unreadable mask": "unreadable file",
    "geometry mismatch": "geometry mismatch",
    "mask is the image": "mask is the image",
    "duplicate across splits": "duplicate across splits",
    "group across splits": "group across splits",
    "near duplicate across splits": "near duplicate across splits",
    "duplicate image": "duplicate image",
    "mixed channels": "mixed images",
    "mixed depths": "mixed images",
}
_COMPARED = ("conflicting masks", "image in two classes")  # found again, with a measure of the difference


@dataclass
class FolderFindings:
    """Findings, and left out pairs whose masks may fit after some steps."""

    findings: list[Finding] = field(default_factory=list[Finding])
    repairable: list[ExaminedCase] = field(default_factory=list[ExaminedCase])


def folder_findings(dataset: Dataset, pairs: Sequence[Pair]) -> FolderFindings:
    """Return findings from the problems of a data set that was read with `skip_bad`.

    Parameters
    ----------
    pairs : sequence of Pair
        All pairs of the folder, also those that were left out.
    """
    result = FolderFindings()
    by_image = {relative(dataset.root, pair.image): pair for pair in pairs}
    by_mask = {relative(dataset.root, path): pair for pair in pairs for path in files_of_annotation(pair.annotation)}
    files = {case.name: relative(dataset.root, case.image) for case in dataset.cases}
    sizes = _sizes(dataset, by_image)
    for problem in dataset.problems:
        pair = by_image.get(problem.file) or by_mask.get(problem.file)
        if problem.kind in _COMPARED:
            continue
        if problem.kind == "size mismatch" and pair is not None:
            _add_size_finding(result, dataset.root, problem, pair, sizes, by_image)
        elif problem.kind in ("unknown values", "mixed mask kinds") and pair is not None:
            _add_value_finding(result, dataset, problem, pair)
        else:
            result.findings.append(_plain_finding(problem, pair, dataset.root, files.get(problem.file)))
    return result


def wrong_endings(root: Path, paths: Sequence[Path]) -> list[Finding]:
    """Return the files whose content is of another format than their ending says."""
    found: list[Finding] = []
    for path in paths:
        suffix = suffix_of(path)
        if (endings := _endings_of(path)) and suffix.casefold() not in endings:
            text = f"the file contains {endings[0][1:].upper()}"
            steps = (Step(action="rename", other=f"{path.name.removesuffix(suffix)}{endings[0]}"),)
            found.append(Finding(kind="wrong ending", files=(relative(root, path),), text=text, steps=steps))
    return found


def _endings_of(path: Path) -> tuple[str, ...]:
    """Return the endings of the format of a file; none for one that is damaged, or has no other endings."""
    try:
        file, kind = open_image_file(path)
        file.close()
        if path.suffix.casefold() in _ENDINGS.get(kind, ()):  # its header need not be read
            return _ENDINGS[kind]
        kind = probe(path).format
        return (_PACKED[is_packed(path)],) if kind == "NIfTI" else _ENDINGS.get(kind, ())
    except BadImage:
        return ()


def _plain_finding(problem: Problem, pair: Pair | None, root: Path, image: str | None = None) -> Finding:
    """Return the finding of a problem that needs no more than leaving files out; `image` is that of a case."""
    default = "unusable file" if problem.fatal or problem.left_out else "other"
    kind = _KINDS.get(problem.kind, default)
    if problem.kind == "mixed channels" and problem.left_out:
        kind = "unusable file"
    files = problem.concerned
    mask = mask_path(pair) if pair is not None else None
    if mask is not None and "mask" in problem.kind and len(files) == 1:
        files = (relative(root, mask), *files)
    out = problem.left_out or problem.fatal
    text = problem.text if kind == problem.kind else f"{problem.kind}: {problem.text}"
    return Finding(
        kind=kind,
        files=files if image is None or problem.files else (image,),
        text=text,
        steps=LEAVE_OUT if out and problem.concerned else (),
    )


def _sizes(dataset: Dataset, by_image: dict[str, Pair]) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Return the sizes of images and masks that differ, from their headers; not those of volumes."""
    sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    for problem in dataset.problems:
        pair = by_image.get(problem.file)
        mask = mask_path(pair) if pair is not None else None
        if problem.kind != "size mismatch" or pair is None or mask is None:
            continue
        image, other = (probe(path, volumes=dataset.reading.volumes) for path in (pair.image, mask))
        if image.depth is not None or other.depth is not None:
            continue  # what would undo the difference is known for planes only
        sizes[problem.file] = (image.height, image.width), (other.height, other.width)
    return sizes


def _add_size_finding(
    result: FolderFindings,
    root: Path,
    problem: Problem,
    pair: Pair,
    sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]],
    by_image: dict[str, Pair],
) -> None:
    mask, size = mask_path(pair), sizes.get(problem.file)
    if mask is None or size is None:
        result.findings.append(_plain_finding(problem, pair, root))
        return
    names = list(sizes)
    exchanged = find_exchanged([sizes[name] for name in names]).get(names.index(problem.file))
    other = mask_path(by_image[names[exchanged]]) if exchanged is not None else None
    files = (relative(root, mask), problem.file)
    (height, width), found = size
    kind, steps = "rescaled mask", LEAVE_OUT
    if other is not None:
        kind, steps = "exchanged mask", (Step(action="use mask of", other=relative(root, other)),)
    elif found == (width, height):
        kind, steps = "transposed mask", (Step(action="symmetry", symmetry=TRANSPOSE),)
    elif abs(found[0] * width - found[1] * height) <= _ASPECT * found[1] * height:
        steps = (Step(action="resize", size=(height, width)),)
    else:
        kind = "unusable file"
    result.findings.append(
        Finding(
            kind=kind, files=files, text=problem.text.partition(";")[0], case=pair.name, confidence=0.9, steps=steps
        )
    )
    if steps[0].action in ("symmetry", "resize"):
        result.repairable.append(ExaminedCase(case=pair_case(pair), steps=steps))


def _add_value_finding(result: FolderFindings, dataset: Dataset, problem: Problem, pair: Pair) -> None:
    """Report a mask with unknown values; its one foreground value is replaced if the set has one foreground class."""
    mask, labelling = mask_path(pair), dataset.labelling
    usual = [value for value in labelling.values if value]
    steps = LEAVE_OUT
    by_number = not labelling.coded_by_colour and values_of_files(dataset)
    if mask is not None and by_number and labelling.task == "binary" and len(usual) == 1:
        try:
            values = np.unique(pack(read_mask(mask).values)).tolist()
        except BadImage:
            values = []
        other = [value for value in values if value not in (0, labelling.ignore_value)]
        if len(other) == 1 and problem.kind == "unknown values":
            steps = (Step(action="replace values", values=((other[0], usual[0]),)),)
    kind = "other mask values" if steps is not LEAVE_OUT else "unusable file"
    files = (problem.file,) if mask is None else (relative(dataset.root, mask), relative(dataset.root, pair.image))
    result.findings.append(
        Finding(kind=kind, files=files, text=problem.text, case=pair.name, confidence=0.95, steps=steps)
    )
