"""Build a classification data set from class folders: scan, find duplicates, assign splits."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pixelwise.datasets.cases import Case
from pixelwise.datasets.class_folders import ClassFolders, LabelledImage
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.image_decisions import agree_on_channels, read_options
from pixelwise.datasets.observing import Observer, scan_in_turns
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Labelling, Split
from pixelwise.datasets.scan import ImageScan, ScanOptions, scan_image
from pixelwise.datasets.skip_files import assemble_without_bad
from pixelwise.datasets.splitting.duplicates import NO_COPIES, DuplicateCandidate, NearCopies, find_copies, find_near
from pixelwise.datasets.splitting.grouping import GroupedImage, assign_groups
from pixelwise.datasets.splitting.splits import choose_balanced
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.text import pluralise

MAX_COMPARED = 20_000  # images; the search for near copies takes quadratic time


def examine_classes(
    root: Path,
    folders: ClassFolders,
    options: DataOptions,
    seed: int,
    progress: Progress | None = None,
    observer: Observer | None = None,
) -> Dataset:
    """Read class folders as a data set, as `scan_dataset` does.

    Raises
    ------
    BadDataset
        No image can be read, or no usable image remains.
    """
    progress = progress or Progress()
    images, messages, problems = folders.images, list(folders.messages), list(folders.problems)
    read = read_options(options)
    reading = ScanOptions(pages=options.pages, read=read, observe=None if observer is None else observer.see)
    tasks = [(image.path, reading) for image in images]

    def understand(scans: Sequence[ImageScan | None]) -> Dataset:
        known = [(image.name, scan) for image, scan in zip(images, scans, strict=False) if scan is not None]
        channels = agree_on_channels([name for name, _ in known], [scan for _, scan in known], [], [], options)
        labelling = Labelling(task="classification", classes=folders.classes, values=(), colours=())
        return Dataset(root=root, cases=(), labelling=labelling, channels=channels, pages=options.pages, reading=read)

    found = scan_in_turns(scan_image, tasks, observer, understand)
    scans = list(progress.track(found, "Reading images", len(tasks)))
    files = [files_of(root, image.path)[0] for image in images]
    if not any(scan.digest for scan in scans):
        raise BadDataset(
            "readable images", f"{len(files)} unreadable ones, such as {files[0]}", "Export them again.", root
        )
    near = NO_COPIES
    if len(images) > MAX_COMPARED:
        messages.append(
            f"Only equal images are detected, not nearly equal ones: there are more than {MAX_COMPARED:,} images."
        )
    else:
        near = find_near(files, scans, upright=True)
    classes = _order_classes(folders.classes, options, problems)
    dataset = assemble_without_bad(
        root,
        list(zip(images, scans, strict=True)),
        lambda item: files_of(root, item[0].path),
        lambda items: _assemble(root, items, classes, near, options, seed),
        problems,
        options,
    )
    dataset = replace(dataset, messages=(*messages, *dataset.messages), pages=options.pages, reading=read)
    if observer is not None:
        observer.finish(dataset)
    return dataset


def _assemble(
    root: Path,
    items: Sequence[tuple[LabelledImage, ImageScan]],
    class_names: Sequence[str],
    near: NearCopies,
    options: DataOptions,
    seed: int,
) -> Dataset:
    """Build a data set from scanned images, with their problems."""
    images, scans = [image for image, _ in items], [scan for _, scan in items]
    files = [files_of(root, image.path)[0] for image in images]
    messages: list[str] = []
    problems = [
        Problem(file=name, kind=issue.kind, text=issue.text)
        for name, scan in zip(files, scans, strict=True)
        for issue in scan.issues
    ]
    present = {image.label for image in images}
    classes = tuple(name for name in class_names if name in present)
    if len(classes) < 2 <= len(class_names):
        problems.append(Problem(file=".", kind="one class folder only", text=f"only images of {classes[0]}"))
    channels = agree_on_channels(files, scans, problems, messages, options)
    _accept_mixed_depths(scans, problems, messages)
    candidates = [
        DuplicateCandidate(image.name, file, image.split or "train", image.label, scan)
        for (image, scan), file in zip(items, files, strict=True)
    ]
    copies = find_copies(candidates, near, options, conflict="image in two classes")
    problems += copies.problems
    messages += copies.messages
    grouped = [_grouped(image, root) for image in images]
    groups = assign_groups(grouped, copies, options, messages)
    splits, made = _assign_splits(images, classes, groups, options, seed, problems, messages)
    problems += _missing_classes(root, images, splits, classes)
    shared = Counter(groups)
    cases = [
        Case(
            name=image.name,
            image=image.path,
            split=split,
            group=group if shared[group] > 1 else "",
            class_index=classes.index(image.label),
            label_set=frozenset({classes.index(image.label)}),
        )
        for image, split, group in zip(images, splits, groups, strict=True)
    ]
    order = sorted(range(len(cases)), key=lambda index: ("train", "val", "test").index(cases[index].split))
    return Dataset(
        root=root,
        cases=tuple(cases[index] for index in order),
        labelling=Labelling(task="classification", classes=classes, values=(), colours=()),
        channels=channels,
        messages=tuple(messages),
        problems=tuple(problems),
        split_made=made,
    )


def _grouped(image: LabelledImage, root: Path) -> GroupedImage:
    path = image.path.relative_to(root).with_suffix("")
    inside = path.parts.index(image.label) + 1 if image.label in path.parts[:-1] else 0  # a table names it otherwise
    key = "/".join(path.parts[inside:])
    return GroupedImage(name=image.name, path=path.as_posix(), key=key, split=image.split)


def _order_classes(folder_names: tuple[str, ...], options: DataOptions, problems: list[Problem]) -> tuple[str, ...]:
    """Return the classes in the user's order, if given."""
    if not options.classes:
        return folder_names
    if set(options.classes) != set(folder_names):
        text = f"folders {', '.join(folder_names[:12])} and names {', '.join(options.classes[:12])}"
        problems.append(Problem(file=".", kind="names do not fit", text=text))
        return folder_names
    return options.classes


def _accept_mixed_depths(scans: Sequence[ImageScan], problems: list[Problem], messages: list[str]) -> None:
    """Accept 8-bit and 16-bit images in one data set: they are converted to one scale later."""
    count = sum(scan.dtype == "uint16" for scan in scans)
    if {scan.dtype for scan in scans if scan.dtype} == {"uint8", "uint16"}:
        problems[:] = [problem for problem in problems if problem.kind != "mixed depths"]
        images = pluralise(count, "image has", "images have")
        messages.append(f"{images} 16 bits, the others 8: 16-bit values are scaled to 8 bits.")


def _assign_splits(
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    groups: Sequence[str],
    options: DataOptions,
    seed: int,
    problems: list[Problem],
    messages: list[str],
) -> tuple[list[Split], bool]:
    """Return the split of each image; draw a validation split if none is given."""
    splits: list[Split] = [image.split or "train" for image in images]
    train_indices = [index for index, split in enumerate(splits) if split == "train"]
    if not train_indices:
        problems.append(Problem(file=".", kind="no training images", text=f"only {', '.join(sorted(set(splits)))}"))
    if "val" in splits or not train_indices:
        return splits, False
    labels = [classes.index(images[index].label) for index in train_indices]
    chosen = choose_balanced([groups[index] for index in train_indices], labels, options.val_share, seed)
    for index, is_validation in zip(train_indices, chosen, strict=True):
        splits[index] = "val" if is_validation else "train"
    messages.append(
        f"Validation split: {sum(chosen)} of {len(train_indices)} training images, stratified by class, drawn with "
        f"seed {seed} (--val-share)."
    )
    if not any(chosen):
        problems.append(Problem(file=".", kind="groups too large", text="no group is available for validation"))
    return splits, True


def _missing_classes(
    root: Path, images: Sequence[LabelledImage], splits: Sequence[Split], classes: Sequence[str]
) -> list[Problem]:
    """Report classes that are missing in a split."""
    shown: dict[Split, set[str]] = defaultdict(set)
    for image, split in zip(images, splits, strict=True):
        shown[split].add(image.label)
    problems: list[Problem] = []
    for split, present in shown.items():
        for label in (name for name in classes if name not in present):
            if split == "train":
                where = " and ".join(other for other in ("val", "test") if label in shown.get(other, ()))
                text = f"class {label} occurs in {where} only"
                files = tuple(files_of(root, image.path)[0] for image in images if image.label == label)
                problems.append(Problem(file="train", kind="class missing in training", text=text, files=files))
            elif label in shown.get("train", ()):
                text = f"class {label} has no image in this split"
                problems.append(Problem(file=split, kind="class missing in a split", text=text, fatal=False))
    return problems
