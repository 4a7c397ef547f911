"""Examine volumes: what their masks contain, on which grids they lie, and whether they lie on their images.

Along each axis the plane with most foreground is taken of every volume. The planes of one axis are compared like the
images of a set (`datasets.checks.agreement`); a mask is misplaced if that is clear in the planes of one axis and it
agrees badly over all three.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pixelwise.datasets.checks.agreement import Agreement
from pixelwise.datasets.checks.alignment import WEAK, Alignment
from pixelwise.datasets.checks.finding import Finding
from pixelwise.datasets.checks.image_quality import ImageQuality, judge_quality, measure_quality
from pixelwise.datasets.checks.mask_contents import MaskContent
from pixelwise.datasets.checks.reduced import ReducedCase, common_side, reduce_case
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.scan import digest
from pixelwise.errors import PixelwiseError
from pixelwise.geometry.grid import Grid, describe_spacing
from pixelwise.geometry.symmetries import Symmetry
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis.cases import ExaminedCase, class_count, mask_path, read_case, relative
from pixelwise.workflow.diagnosis.folder_findings import folder_findings
from pixelwise.workflow.diagnosis.mask_findings import class_findings, compare_masks, content_findings, two_masks
from pixelwise.workflow.planes import choose_planes

AXES = ("depth", "height", "width")
_LEAST_SIDE = 16  # voxels of a plane: in fewer, any mask fits by chance
_LOW, _UNFITTING = 0.7, 0.25  # mean agreement over the axes, as a fraction of what is usual
_STRONG = 0.5  # in a set where nine of ten masks agree at least so well
_SPACING = 1.5  # ratio to the usual size of a voxel, along any axis
_SPOILT = ("blank image", "saturated image")


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumeMeasures:
    """What is measured of one volume; `planes` are those across depth, height and width."""

    quality: ImageQuality
    content: MaskContent
    planes: tuple[ReducedCase, ...]
    grid: Grid | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Comparison:
    """The agreement in the planes across one axis, and the alignment of each case."""

    axis: int
    agreement: Agreement
    alignments: Sequence[Alignment]


def examine_volumes(dataset: Dataset, pairs: Sequence[Pair], progress: Progress) -> tuple[list[Finding], list[str]]:
    """Return the findings on a data set of volumes, without fixes, and messages.

    Parameters
    ----------
    dataset : Dataset
        Read with `skip_bad`.
    pairs : sequence of Pair
        All pairs of the folder, also those that were left out.
    progress : Progress
    """
    cases = [ExaminedCase(case=case) for case in dataset.cases if case.labelled]

    def measure(examined: ExaminedCase) -> VolumeMeasures | PixelwiseError:
        try:
            return _measure(dataset, examined, len(cases))
        except PixelwiseError as error:
            return error

    results = list(progress.track(parallel_map(measure, cases), "Comparing volumes and masks", len(cases)))
    findings = folder_findings(dataset, pairs).findings
    findings += [
        _finding(dataset, examined, "unreadable file", str(result), 1.0)
        for examined, result in zip(cases, results, strict=True)
        if isinstance(result, PixelwiseError)
    ]
    readable = [
        (case, result) for case, result in zip(cases, results, strict=True) if isinstance(result, VolumeMeasures)
    ]
    examined, measures = [case for case, _ in readable], [measured for _, measured in readable]
    images = [
        _finding(dataset, examined[index], kind, text, confidence)
        for index, kind, text, confidence in judge_quality([one.quality for one in measures])
    ]
    spoilt = {one.case for one in images if one.kind in _SPOILT}
    masks, messages = _mask_findings(dataset, examined, measures, spoilt)
    findings += [*masks, *images, *_spacing_findings(dataset, examined, [one.grid for one in measures])]
    return [replace(finding, steps=()) for finding in findings], messages


def _measure(dataset: Dataset, examined: ExaminedCase, total: int) -> VolumeMeasures:
    image, labels, ignored = read_case(dataset, examined)
    classes, at = class_count(dataset), choose_planes(labels, None).at
    foreground = np.minimum(labels, 1) if dataset.task == "instance" else labels
    known = foreground[~ignored] if ignored.any() else foreground.ravel()
    side = common_side(len(AXES) * total, dataset.channels, classes)
    planes = [
        (image.take(index, axis + 1), labels.take(index, axis), ignored.take(index, axis))
        for axis, index in enumerate(at)
    ]
    return VolumeMeasures(
        quality=measure_quality(planes[0][0]),
        content=MaskContent(
            digest=digest(labels),
            image_digest=digest(image),
            counts=tuple(np.bincount(known, minlength=classes).tolist()),
            values=examined.case.label_set,
        ),
        planes=tuple(reduce_case(pixels, mask, classes, unknown, side) for pixels, mask, unknown in planes),
        grid=dataset.read_grid(examined.case),
    )


def _mask_findings(
    dataset: Dataset, cases: Sequence[ExaminedCase], measures: Sequence[VolumeMeasures], spoilt: Collection[str]
) -> tuple[list[Finding], list[str]]:
    """Return the findings on masks, one per case: what a mask contains comes before where it lies."""
    compared = [_compare(dataset, cases, measures, axis, spoilt) for axis in range(len(AXES))]
    comparisons = [one for one in compared if one is not None]
    contents = [one.content for one in measures]
    best = max(comparisons, key=lambda one: one.agreement.typical, default=None)
    found = content_findings(dataset, cases, contents, None if best is None else best.agreement)
    found = {index: one for index, one in found.items() if one.kind != "empty mask" or one.case not in spoilt}
    found = _misplaced(dataset, cases, comparisons, spoilt) | found
    others = [*two_masks(dataset, cases, contents), *class_findings(dataset, contents)]
    if not comparisons:
        return [*found.values(), *others], ["Too few masks, or too small volumes, to compare masks with their images."]
    shown = ", ".join(f"{one.agreement.typical:.2f} across {AXES[one.axis]}" for one in comparisons)
    weak = "" if any(one.agreement.typical >= WEAK for one in comparisons) else " Too weak to find misplaced masks."
    return [*found.values(), *others], [
        f"Typical agreement of masks and volumes in planes: {shown} (1: perfect).{weak}"
    ]


def _compare(
    dataset: Dataset,
    cases: Sequence[ExaminedCase],
    measures: Sequence[VolumeMeasures],
    axis: int,
    spoilt: Collection[str],
) -> _Comparison | None:
    planes = [one.planes[axis] for one in measures]
    if not planes or np.median([min(plane.known.shape) * plane.factor for plane in planes]) < _LEAST_SIDE:
        return None
    agreement, alignments = compare_masks(dataset, cases, planes, spoilt)
    return None if agreement is None else _Comparison(axis=axis, agreement=agreement, alignments=alignments)


def _misplaced(
    dataset: Dataset, cases: Sequence[ExaminedCase], comparisons: Sequence[_Comparison], spoilt: Collection[str]
) -> dict[int, Finding]:
    """Return the finding of each case whose mask does not lie on its volume."""
    found: dict[int, Finding] = {}
    usable = [one for one in comparisons if one.agreement.typical >= WEAK]
    own = [_mean_agreement(usable, index) for index in range(len(cases))]
    known = [value for value in own if value is not None]
    strong = bool(known) and float(np.quantile(known, 0.1)) >= _STRONG
    for index, (examined, agreed) in enumerate(zip(cases, own, strict=True)):
        if agreed is None or agreed > _LOW or examined.case.name in spoilt:
            continue
        changes = [(one.alignments[index], one.axis) for one in usable if one.alignments[index].change != "none"]
        text = f"it agrees with its volume at {agreed:.0%} of what is usual"
        if changes:
            change, axis = max(changes, key=lambda pair: (pair[0].confidence, pair[0].gain))
            kind, how = _describe(change, axis, cases)
            text += f", and in planes across {AXES[axis]} at {change.best:.0%} after {how}"
            found[index] = _finding(dataset, examined, kind, text, change.confidence)
        elif strong and agreed < _UNFITTING:
            found[index] = _finding(dataset, examined, "unfitting mask", text, 0.5)
    return found


def _mean_agreement(comparisons: Sequence[_Comparison], index: int) -> float | None:
    values = [one.alignments[index].own for one in comparisons]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _describe(change: Alignment, axis: int, cases: Sequence[ExaminedCase]) -> tuple[str, str]:
    """Return the kind of a finding, and what was done to the plane of the mask."""
    rows, columns = (name for name in AXES if name != AXES[axis])
    if change.change == "exchange" and change.other is not None:
        return "exchanged mask", f"taking the mask of {cases[change.other].case.name}"
    if change.change == "symmetry" and change.symmetry is not None:
        return _describe_symmetry(change.symmetry, rows, columns)
    if change.change == "invert":
        return "inverted mask", "exchanging background and foreground"
    return "shifted mask", f"moving it by {change.offset[0]} voxels along {rows} and {change.offset[1]} along {columns}"


def _describe_symmetry(symmetry: Symmetry, rows: str, columns: str) -> tuple[str, str]:
    if symmetry.quarters % 2:
        return "transposed mask", f"exchanging {rows} and {columns}"
    flipped = {(0, True): columns, (2, True): rows}.get((symmetry.quarters, symmetry.mirrored), f"{rows} and {columns}")
    return "flipped mask", f"flipping it along {flipped}"


def _spacing_findings(dataset: Dataset, cases: Sequence[ExaminedCase], grids: Sequence[Grid | None]) -> list[Finding]:
    """Return the volumes whose voxels have another size than is usual, or none among those that state it."""
    sizes = [None if grid is None else grid.millimetres for grid in grids]
    known = np.array([size for size in sizes if size is not None])
    if not len(known):
        return []
    usual = np.median(known, axis=0)
    found: list[Finding] = []
    for examined, size in zip(cases, sizes, strict=True):
        ratio = np.ones(1) if size is None else np.array(size) / usual
        if size is not None and max(ratio.max(), 1 / ratio.min()) <= _SPACING:
            continue
        stated = "no size of a voxel" if size is None else f"voxels of {describe_spacing(size)} mm"
        text = f"{stated}, usually {describe_spacing(usual.tolist())} mm"
        found.append(_finding(dataset, examined, "mixed spacing", text, 0.9))
    return found


def _finding(dataset: Dataset, examined: ExaminedCase, kind: str, text: str, confidence: float) -> Finding:
    mask = mask_path(examined.case)
    paths = (examined.case.image,) if mask is None or not kind.endswith("mask") else (mask, examined.case.image)
    files = tuple(relative(dataset.root, path) for path in paths)
    return Finding(kind=kind, files=files, text=text, confidence=confidence, case=examined.case.name)
