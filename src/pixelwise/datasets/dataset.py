"""The entry point for data sets: `detect_dataset` reads a folder and raises its problems, `scan_dataset` lists them.

Every automatic decision is reported, with the flag that overrides it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelwise.datasets.annotated_set import prepare, restrict
from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.cases import Case
from pixelwise.datasets.class_dataset import examine_classes
from pixelwise.datasets.class_folders import ClassFolders, read_class_folders
from pixelwise.datasets.detect import detect_format
from pixelwise.datasets.examples import Dataset, Example, read_labels, read_pixels
from pixelwise.datasets.folder_layout import Pair, find_unlabelled, read_layout
from pixelwise.datasets.image_decisions import (
    agree_on_channels,
    agree_on_dimensions,
    choose_orientation,
    describe_images,
    read_options,
)
from pixelwise.datasets.images.alpha import describe_transparency
from pixelwise.datasets.images.files import find_images
from pixelwise.datasets.label_table import read_label_table
from pixelwise.datasets.masks.checks import find_exchanged
from pixelwise.datasets.masks.class_table import ClassTable, read_class_table
from pixelwise.datasets.masks.labelling import interpret_masks
from pixelwise.datasets.naming.kinds import describe_kinds
from pixelwise.datasets.observing import FIRST, CaseObserver, scan_in_turns
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.other_files import describe_slices, describe_unread_annotations, describe_unread_images
from pixelwise.datasets.problem_report import error_of, files_of, raise_problems
from pixelwise.datasets.problems import KINDS, Problem
from pixelwise.datasets.records import Labelling
from pixelwise.datasets.regions import find_regions
from pixelwise.datasets.scan import ImageScan, ScanOptions, scan_pair
from pixelwise.datasets.skip_files import assemble_without_bad
from pixelwise.datasets.slices import with_stacks, with_voxel_size
from pixelwise.datasets.splitting.assign_splits import assign_splits, check_splits, label_set
from pixelwise.datasets.splitting.duplicates import DuplicateCandidate, NearCopies, find_copies, find_near
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.text import pluralise

__all__ = [
    "KINDS",
    "Case",
    "DataOptions",
    "Dataset",
    "Example",
    "Labelling",
    "Problem",
    "detect_dataset",
    "find_case",
    "find_images",
    "find_unlabelled_images",
    "load_dataset",
    "raise_problems",
    "read_labels",
    "read_pixels",
    "scan_dataset",
]

DETAILED = 64  # masks besides the first whose values are measured in detail, evenly spaced


def load_dataset(folder: Path | str, **options: Any) -> Dataset:
    """Read a data set as training does.

    Parameters
    ----------
    folder : path
        Images with masks, or a folder per class; it is never written to.
    **options
        Fields of `DataOptions`, such as ``task="binary"`` or ``ignore_index=255``; unset ones are detected.

    Returns
    -------
    Dataset
        With `task`, `classes`, `splits` (cases by split), `read(case)` -> image (channels, height, width) and labels
        (height, width), or of volumes (channels, depth, height, width) and (depth, height, width), `read_grid(case)`
        -> where the voxels are, and `messages`, the automatic decisions.

    Raises
    ------
    BadDataset
        The data set has problems that stop a training; the message names the options that help.

    Examples
    --------
    >>> from pixelwise.datasets.synthetic import write_demo
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_demo(Path(folder) / "cells")
    ...     dataset = load_dataset(Path(folder) / "cells")
    ...     image, labels = dataset.read(dataset.splits["train"][0])
    >>> dataset.task, dataset.classes, image.shape[1:] == labels.shape
    ('instance', ('background', 'object'), True)
    """
    return detect_dataset(Path(folder), DataOptions(**options))


def detect_dataset(
    root: Path, options: DataOptions | None = None, seed: int = 0, progress: Progress | None = None
) -> Dataset:
    """Read a data set for training.

    Parameters
    ----------
    root : Path
        The folder; it is never written to.
    options : DataOptions, optional
        They override what is detected.
    seed : int
        Random seed of the validation split if none is given.

    Raises
    ------
    BadDataset
        One line for a single problem; otherwise the first 20 problems and the number of each kind.
    """
    dataset = scan_dataset(root, options, seed, progress)
    raise_problems(dataset)
    return dataset


def scan_dataset(
    root: Path,
    options: DataOptions | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    observer: CaseObserver[Any] | None = None,
) -> Dataset:
    """Read a data set, with its problems listed instead of raised; `observer` measures the cases meanwhile.

    Raises
    ------
    BadDataset
        No folder, no image in it, or neither a readable pair of image and mask nor class folders.
    """
    options, progress = options or DataOptions(), progress or Progress()
    options, voxel_size = with_voxel_size(root, options)
    annotated = detect_format(root, options)
    classes = _read_classes(root, options) if annotated is None else None
    if classes is not None:
        return examine_classes(root, classes, options, seed, progress, observer)
    if annotated is None:
        layout, class_table = read_layout(root, options), read_class_table(root)
        reading = ScanOptions(pages=options.pages, alpha_masks=options.mask_values == "alpha")
    else:
        layout, class_table, options, reading = prepare(root, annotated, options)
    layout = with_stacks(root, layout, options)
    if not layout.pairs:
        only_unlabelled = all(problem.kind == "missing mask" for problem in layout.problems)
        count = pluralise(len(layout.problems), "image") if layout.problems else "images"
        unread = describe_unread_annotations(root) if annotated is None else ""
        if only_unlabelled and layout.problems:
            files = [root / problem.file for problem in layout.problems]
            formats = describe_unread_images([path.name for path in root.rglob("*.*")])
            unread = (
                describe_slices(files) or describe_kinds(files) or formats or unread or describe_transparency(files[0])
            )
        text = f"{count}, but no masks{f'; {unread[:-1]}' if unread else ''}"
        problem = Problem(file=".", kind="no images", text=text)
        raise error_of(root, [problem] if only_unlabelled else layout.problems)
    reading = replace(
        reading,
        read=read_options(options),
        both_orientations=options.exif == "auto",
        observe=None if observer is None else observer.see,
        resize_masks=options.resize_masks,
    )
    if observer is not None:
        observer.pairs = layout.pairs
    name = annotated.format if annotated is not None else ""

    def understand(scans: Sequence[ImageScan | None]) -> Dataset | None:
        items = [(pair, scan) for pair, scan in zip(layout.pairs, scans, strict=False) if scan is not None]
        found = _understand(root, items, lambda kept: restrict(class_table, annotated, kept), options, reading)
        return None if found is None else replace(found, format=name)

    every = max(1, -(-len(layout.pairs) // DETAILED))
    tasks = [
        (pair, replace(reading, detailed=index < FIRST or index % every == 0))
        for index, pair in enumerate(layout.pairs)
    ]
    found = scan_in_turns(scan_pair, tasks, observer, understand)
    scans = list(progress.track(found, "Reading images and masks", len(tasks)))
    scans, exif, orientation = choose_orientation(scans, options)
    pairs = [(_with_size(pair, scan), scan) for pair, scan in zip(layout.pairs, scans, strict=True)]
    if all(scan.mask is None or _is_its_image(scan) for scan in scans):
        raise error_of(root, [*layout.problems, *_pair_problems(root, pairs)])
    near = find_near([files_of(root, pair.image)[0] for pair in layout.pairs], scans)
    dataset = assemble_without_bad(
        root,
        pairs,
        lambda item: files_of(root, item[0].image, item[0].annotation, item[0].channel_files),
        lambda items: _assemble(root, items, restrict(class_table, annotated, items), near, options, seed),
        [*layout.problems, *class_table.problems],
        options,
    )
    regions, about_regions = find_regions(root, dataset.labelling, annotated, options)
    labelling = replace(dataset.labelling, source_classes=reading.classes, regions=regions)
    messages = (*layout.messages, *voxel_size, *orientation, *dataset.messages, *about_regions)
    read = replace(reading.read, exif=exif)
    dataset = replace(dataset, labelling=labelling, messages=messages, pages=options.pages, format=name, reading=read)
    if observer is not None:
        observer.finish(dataset)
    return dataset


def _read_classes(root: Path, options: DataOptions) -> ClassFolders | None:
    """Return the class of each image, from a table or from folders; None if images have masks."""
    table = read_label_table(root, options)
    if table is not None and (options.task == "classification" or not read_layout(root, options).pairs):
        return table
    return read_class_folders(root, options)


def _understand(
    root: Path,
    items: Sequence[tuple[Pair, ImageScan]],
    class_table_of: Callable[[Sequence[tuple[Pair, ImageScan]]], ClassTable],
    options: DataOptions,
    reading: ScanOptions,
) -> Dataset | None:
    """Return what the pairs that have been scanned mean, for an observer; None if no mask is usable."""
    scans, exif, _ = choose_orientation([scan for _, scan in items], options)
    good = [
        (pair, scan) for (pair, _), scan in zip(items, scans, strict=True) if scan.mask is not None and not scan.issues
    ]
    if not good:
        return None
    masks = {_mask_name(root, pair): scan.mask for pair, scan in good if scan.mask is not None}
    labelling = interpret_masks(masks, class_table_of(good), options).labelling
    files = [pair.name for pair, _ in good]
    cases = [
        Case(name=pair.name, image=pair.image, split="train", label_set=label_set(scan, labelling))
        for pair, scan in good
    ]
    return Dataset(
        root=root,
        cases=tuple(cases),
        labelling=replace(labelling, source_classes=reading.classes),
        channels=agree_on_channels(files, [scan for _, scan in good], [], [], options),
        pages=options.pages,
        reading=replace(reading.read, exif=exif),
    )


def _assemble(
    root: Path,
    items: Sequence[tuple[Pair, ImageScan]],
    class_table: ClassTable,
    near: NearCopies,
    options: DataOptions,
    seed: int,
) -> Dataset:
    """Build a data set from scanned pairs, with their problems."""
    pairs, scans = [pair for pair, _ in items], [scan for _, scan in items]
    files = [files_of(root, pair.image)[0] for pair in pairs]
    problems, messages = _pair_problems(root, items), list[str]()
    masks = {_mask_name(root, pair): scan.mask for pair, scan in items if scan.mask and not _is_its_image(scan)}
    if not masks:
        raise error_of(root, problems)
    interpretation = interpret_masks(masks, class_table, options)
    problems += interpretation.problems
    messages += interpretation.messages
    channels = agree_on_channels(files, scans, problems, messages, options)
    spatial_dims = agree_on_dimensions(files, scans, problems, messages)
    candidates = [
        DuplicateCandidate(pair.name, file, pair.split or "train", scan.mask.digest if scan.mask else "", scan)
        for (pair, scan), file in zip(items, files, strict=True)
    ]
    copies = find_copies(candidates, near, options, conflict="conflicting masks")
    messages += copies.messages
    problems += copies.problems
    assignment = assign_splits(pairs, scans, copies, interpretation.labelling, options, seed, root)
    messages += assignment.messages
    problems += assignment.problems
    unknown = ("colours without classes", "too many colours")
    if not any(problem.kind in unknown for problem in interpretation.problems):
        problems += check_splits(assignment.cases, interpretation.labelling, root)
    overlapping = [scan.overlap for scan in scans if scan.overlap]
    if overlapping:
        where = pluralise(len(overlapping), "image")
        messages.append(f"{sum(overlapping)} pixels in {where} are in several masks: the last mask counts.")
    messages += describe_images(scans)
    order = sorted(range(len(scans)), key=lambda i: ("train", "val", "test").index(assignment.cases[i].split))
    return Dataset(
        root=root,
        cases=tuple(assignment.cases[index] for index in order),
        labelling=interpretation.labelling,
        channels=channels,
        messages=tuple(messages),
        problems=tuple(problems),
        split_made=assignment.made,
        spatial_dims=spatial_dims,
    )


def _with_size(pair: Pair, scan: ImageScan) -> Pair:
    """Return a pair whose mask is resized to the size of its image, or moved onto it, if it was in the scan."""
    size = scan.size
    if not scan.resized or size is None or not isinstance(pair.annotation, MaskFile):
        return pair
    return replace(pair, annotation=replace(pair.annotation, size=size, place=scan.place))


def _mask_name(root: Path, pair: Pair) -> str:
    """Return the file named in problems of mask values: the mask file; the image, if it has several or none."""
    path = pair.annotation.path if isinstance(pair.annotation, MaskFile) else pair.image
    return files_of(root, path)[0]


def _is_its_image(scan: ImageScan) -> bool:
    return any(issue.kind == "mask is the image" for issue in scan.issues)


def _pair_problems(root: Path, items: Sequence[tuple[Pair, ImageScan]]) -> list[Problem]:
    """Return the problems of each pair, and which masks are probably swapped."""
    files = [files_of(root, pair.image)[0] for pair, _ in items]
    exchanged = find_exchanged([(scan.size, scan.mask_size) for _, scan in items])
    problems: list[Problem] = []
    for index, (name, (_, scan)) in enumerate(zip(files, items, strict=True)):
        for issue in scan.issues:
            other = exchanged.get(index) if issue.kind == "size mismatch" else None
            suffix = f"; its mask is probably swapped with that of {files[other]}" if other is not None else ""
            problems.append(Problem(file=name, kind=issue.kind, text=issue.text + suffix))
    return problems


def find_case(root: Path, image: Path, options: DataOptions) -> Case:
    """Find an image of a data set in one of the known formats, without reading the others.

    Returns
    -------
    Case
        Its split is that of the format, or "train".

    Raises
    ------
    BadDataset
        The folder has none of the formats, or does not contain the image.
    """
    annotated = detect_format(root, options)
    for found in annotated.images if annotated is not None else ():
        if found.annotation is not None and found.image.resolve() == image.resolve():
            return Case(
                name=found.name,
                image=found.image,
                channel_files=found.channel_files,
                annotation=found.annotation,
                split=found.split or "train",
            )
    raise BadDataset(f"the annotated image {image.name}", "a folder without it", "Evaluate the run again.", root)


def find_unlabelled_images(root: Path, options: DataOptions) -> list[Path]:
    """Return the images of a data set without an annotation, in natural order, without decoding them.

    Images of a test split without any annotation are excluded: they are for prediction. So are images stored as one
    file per channel.

    Raises
    ------
    BadDataset
        `root` is not a folder, contains no image, or has a malformed format.
    """
    annotated = detect_format(root, options)
    if annotated is None:
        return find_unlabelled(root, options)
    return [
        image.image
        for image in annotated.images
        if image.annotation is None and not image.channel_files and image.split != "test"
    ]
