"""The door: a folder becomes cases with a labelling, and every guess is told in words.

`understand` is what verbs call; `examine` is the same without the refusal, for showing what is wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.assign_splits import assign_splits, part_problems
from pixelwise.datasets.class_dataset import examine_classes
from pixelwise.datasets.class_folders import read_class_folders
from pixelwise.datasets.class_table import ClassTable, read_class_table
from pixelwise.datasets.duplicates import DuplicateCandidate, NearPair, find_copies, find_near
from pixelwise.datasets.folder_layout import Pair, check_folder, is_picture, read_layout
from pixelwise.datasets.folder_names import natural
from pixelwise.datasets.mask_checks import find_exchanged
from pixelwise.datasets.mask_labels import read_meaning
from pixelwise.datasets.mask_values import name_of
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import error_of, files_of, refuse
from pixelwise.datasets.problems import KINDS, Problem
from pixelwise.datasets.records import Case, Dataset, Labelling
from pixelwise.datasets.scan import ImageScan, agree_on_channels, pack, scan_pair
from pixelwise.datasets.skip_files import assemble_without_bad
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import SUFFIXES, Image, read_image, read_mask
from pixelwise.io.windows import REPEATED
from pixelwise.io.zarr import is_zarr
from pixelwise.labels.targets import IGNORE
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.text import pluralise

__all__ = [
    "KINDS",
    "Case",
    "DataOptions",
    "Dataset",
    "Labelling",
    "Problem",
    "examine",
    "find_images",
    "read_labels",
    "read_pixels",
    "refuse",
    "understand",
]

IGNORE_OBJECT = -1  # in label images


def understand(
    root: Path, options: DataOptions | None = None, seed: int = 0, progress: Progress | None = None
) -> Dataset:
    """Turn a folder into a data set that can be trained on.

    Parameters
    ----------
    root : Path
        The folder; nothing is ever written into it.
    options : DataOptions, optional
        What the user says; it wins over what is found.
    seed : int
        Draws the validation part where none is given.
    progress : Progress, optional

    Raises
    ------
    BadDataset
        One line for a single fault; otherwise the first 20 faults and the number of each kind.
    """
    dataset = examine(root, options, seed, progress)
    refuse(dataset)
    return dataset


def examine(root: Path, options: DataOptions | None = None, seed: int = 0, progress: Progress | None = None) -> Dataset:
    """Turn a folder into a data set, with its problems listed instead of raised.

    Raises
    ------
    BadDataset
        There is no folder, no picture in it, or neither a pair of image and mask that can be read nor a folder of
        images per class.
    """
    options, progress = options or DataOptions(), progress or Progress()
    classes = read_class_folders(root, options)
    if classes is not None:
        return examine_classes(root, classes, options, seed, progress)
    layout = read_layout(root, options)
    if not layout.pairs:
        alone = all(problem.kind == "missing mask" for problem in layout.problems)
        pictures = pluralise(len(layout.problems), "picture") if layout.problems else "pictures"
        nothing = Problem(file=".", kind="no images", text=f"{pictures}, but no masks")
        raise error_of(root, [nothing] if alone else layout.problems)
    tasks = [(pair, options.pages) for pair in layout.pairs]
    surveys = list(progress.track(parallel_map(scan_pair, tasks), "Looking at images and masks", len(tasks)))
    pairs = list(zip(layout.pairs, surveys, strict=True))
    if all(seen.mask is None or _is_its_image(seen) for seen in surveys):
        raise error_of(root, [*layout.problems, *_faults(root, pairs)])
    near = find_near([files_of(root, pair.image)[0] for pair in layout.pairs], surveys)
    legend = read_class_table(root)
    dataset = assemble_without_bad(
        root,
        pairs,
        lambda item: files_of(root, item[0].image, item[0].mask),
        lambda items: _assemble(root, items, legend, near, options, seed),
        [*layout.problems, *legend.problems],
        options,
    )
    return replace(dataset, messages=(*layout.messages, *dataset.messages))


def _assemble(
    root: Path,
    items: Sequence[tuple[Pair, ImageScan]],
    legend: ClassTable,
    near: Sequence[NearPair],
    options: DataOptions,
    seed: int,
) -> Dataset:
    """Make a data set of pairs that were looked at, with the problems they have."""
    pairs, surveys = [pair for pair, _ in items], [seen for _, seen in items]
    files = [files_of(root, pair.image)[0] for pair in pairs]
    problems, messages = _faults(root, items), list[str]()
    masks = {files_of(root, pair.mask)[0]: seen.mask for pair, seen in items if seen.mask and not _is_its_image(seen)}
    if not masks:
        raise error_of(root, problems)
    meaning = read_meaning(masks, legend, options)
    problems += meaning.problems
    messages += meaning.messages
    channels = agree_on_channels(files, surveys, problems, messages)
    subjects = [
        DuplicateCandidate(pair.name, file, pair.part or "train", seen.mask.digest if seen.mask else "", seen)
        for (pair, seen), file in zip(items, files, strict=True)
    ]
    copies = find_copies(subjects, near, options, conflict="conflicting masks")
    messages += copies.messages
    problems += copies.problems
    division = assign_splits(pairs, surveys, copies, meaning.labelling, options, seed, root)
    messages += division.messages
    problems += division.problems
    problems += part_problems(division.cases, surveys, meaning.labelling, root)
    warned = sum(bool(seen.notes) for seen in surveys)
    if warned:
        first = next(note for seen in surveys for note in seen.notes)
        messages.append(f"{pluralise(warned, 'image was', 'images were')} read with a note, such as: {first}")
    order = sorted(range(len(surveys)), key=lambda i: ("train", "val", "test").index(division.cases[i].part))
    return Dataset(
        root=root,
        cases=tuple(division.cases[index] for index in order),
        labelling=meaning.labelling,
        channels=channels,
        messages=tuple(messages),
        problems=tuple(problems),
        split_made=division.made,
    )


def _is_its_image(seen: ImageScan) -> bool:
    return any(fault.kind == "mask is the image" for fault in seen.faults)


def _faults(root: Path, items: Sequence[tuple[Pair, ImageScan]]) -> list[Problem]:
    """Return what is wrong with each pair by itself, and which masks look exchanged."""
    files = [files_of(root, pair.image)[0] for pair, _ in items]
    exchanged = find_exchanged([(seen.size, seen.mask_size) for _, seen in items])
    problems: list[Problem] = []
    for index, (name, (_, seen)) in enumerate(zip(files, items, strict=True)):
        for fault in seen.faults:
            other = exchanged.get(index) if fault.kind == "size mismatch" else None
            hint = f"; its mask looks exchanged with that of {files[other]}" if other is not None else ""
            problems.append(Problem(file=name, kind=fault.kind, text=fault.text + hint))
    return problems


def read_labels(path: Path, labelling: Labelling) -> Int32[np.ndarray, "height width"]:
    """Read a mask as the data set understands it.

    Returns
    -------
    (height, width) int32
        Class indices 0 ... k-1 with 255 where nothing is known; for instances the object numbers of the file,
        0 for background and -1 where nothing is known.

    Raises
    ------
    BadImage
        The file cannot be read, or holds a value that no class has.
    """
    mask = read_mask(path)
    values = pack(mask.values)
    if labelling.coded_by_colour and mask.values.ndim == 2:
        values = _as_colours(values, mask.palette or {})
    elif mask.values.ndim == 3 and not labelling.coded_by_colour:
        raise BadImage("one number per pixel", "colours", "Save the mask with indices.", path)
    if labelling.task == "instance":
        labels = values.astype(np.int32)
        if labelling.ignore_value is not None:
            labels[values == labelling.ignore_value] = IGNORE_OBJECT
        return labels
    order = np.argsort(labelling.values)
    known = np.array(labelling.values, np.int64)[order]
    slots = np.minimum(np.searchsorted(known, values), len(known) - 1)
    classes = order[slots].astype(np.int32)
    strange = known[slots] != values
    if labelling.ignore_value is not None:
        classes[values == labelling.ignore_value] = IGNORE
        strange &= values != labelling.ignore_value
    if strange.any():
        shown = ", ".join(name_of(v, labelling.coded_by_colour) for v in np.unique(values[strange])[:8].tolist())
        wanted = ", ".join(name_of(v, labelling.coded_by_colour) for v in labelling.values[:20])
        raise BadImage(f"mask values {wanted}", shown, KINDS["unknown values"][1], path)
    return classes


def read_pixels(path: Path, channels: int, pages: int | None = None) -> Image:
    """Read an image with the wanted number of channels; a gray one is repeated where three are wanted, and says so.

    Raises
    ------
    BadImage
        The file cannot be read, or has another number of channels.
    """
    image = read_image(path, pages=pages)
    if image.pixels.shape[0] == 1 and channels == 3:
        messages = (*image.warnings, REPEATED)
        return replace(image, pixels=np.repeat(image.pixels, 3, axis=0), warnings=messages)
    if image.pixels.shape[0] != channels:
        names = {1: "1 channel (gray)", 3: "3 channels (red, green, blue)"}
        wanted = names.get(channels, pluralise(channels, "channel"))
        raise BadImage(wanted, f"{image.pixels.shape[0]}", "Convert it as the training images were.", path)
    return image


def find_images(path: Path) -> list[Path]:
    """List the images that a path stands for: itself, or those in the folder, in natural order.

    Folders inside are looked at only when the folder itself holds no picture.

    Raises
    ------
    BadDataset
        Nothing there, or no picture.
    """
    if (path.is_file() and is_picture(path.name)) or is_zarr(path):
        return [path]
    if not path.exists():
        raise BadDataset("an image or a folder of images", "nothing at this place", "Check the path.", path)
    check_folder(path)
    found = [inner for inner in path.iterdir() if (is_picture(inner.name) and inner.is_file()) or is_zarr(inner)]
    found = found or [
        inner
        for inner in path.rglob("*")
        if is_picture(inner.name)
        and inner.is_file()
        and not any(name.startswith(".") for name in inner.relative_to(path).parts)
    ]
    if not found:
        raise BadDataset(f"images ({', '.join(SUFFIXES)})", "none", "Check the path.", path)
    return sorted(found, key=lambda inner: natural(str(inner.relative_to(path))))


def _as_colours(values: np.ndarray, palette: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """Return packed colours for the indices of a palette file, or for gray values."""
    found, inverse = np.unique(values, return_inverse=True)
    colours = np.array([palette.get(v, (v & 255,) * 3) for v in found.tolist()], np.int64)
    return pack(colours[None])[0][inverse].reshape(values.shape)
