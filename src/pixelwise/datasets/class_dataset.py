"""Class folders become a data set for whole-image classification: looked at, compared, divided, every guess told."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pixelwise.datasets.assign_splits import join_families, own_groups
from pixelwise.datasets.class_folders import ClassFolders, LabelledImage
from pixelwise.datasets.duplicates import Copies, DuplicateCandidate, NearPair, find_copies, find_near
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.records import Case, Dataset, Labelling, Part
from pixelwise.datasets.scan import ImageScan, agree_on_channels, scan_image
from pixelwise.datasets.skip_files import assemble_without_bad
from pixelwise.datasets.splits import choose_balanced
from pixelwise.errors import BadDataset
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.text import pluralise

COMPARED = 20_000  # images up to which near copies are looked for: the work grows with the square


def examine_classes(
    root: Path, folders: ClassFolders, options: DataOptions, seed: int, progress: Progress | None = None
) -> Dataset:
    """Turn class folders into a data set, with its problems listed instead of raised.

    Raises
    ------
    BadDataset
        No image at all can be read, or nothing usable is left without files that have problems.
    """
    progress = progress or Progress()
    photos, messages, problems = folders.photos, list(folders.messages), list(folders.problems)
    tasks = [(photo.path, options.pages) for photo in photos]
    surveys = list(progress.track(parallel_map(scan_image, tasks), "Looking at images", len(tasks)))
    files = [files_of(root, photo.path)[0] for photo in photos]
    if not any(seen.digest for seen in surveys):
        raise BadDataset(
            "images that can be read", f"{len(files)} that cannot, such as {files[0]}", "Export them again.", root
        )
    near: list[NearPair] = []
    if len(photos) > COMPARED:
        messages.append(
            f"Nearly equal images are looked for among at most {COMPARED:,} images; here equal ones alone are."
        )
    else:
        near = find_near(files, surveys, upright=True)
    classes = _order(folders.classes, options, problems)
    dataset = assemble_without_bad(
        root,
        list(zip(photos, surveys, strict=True)),
        lambda item: files_of(root, item[0].path),
        lambda items: _assemble(root, items, classes, near, options, seed),
        problems,
        options,
    )
    return replace(dataset, messages=(*messages, *dataset.messages))


def _assemble(
    root: Path,
    items: Sequence[tuple[LabelledImage, ImageScan]],
    named: Sequence[str],
    near: Sequence[NearPair],
    options: DataOptions,
    seed: int,
) -> Dataset:
    """Make a data set of photos that were looked at, with the problems they have."""
    photos, surveys = [photo for photo, _ in items], [seen for _, seen in items]
    files = [files_of(root, photo.path)[0] for photo in photos]
    messages: list[str] = []
    problems = [
        Problem(file=name, kind=fault.kind, text=fault.text)
        for name, seen in zip(files, surveys, strict=True)
        for fault in seen.faults
    ]
    there = {photo.label for photo in photos}
    classes = tuple(name for name in named if name in there)
    if len(classes) < 2 <= len(named):
        problems.append(Problem(file=".", kind="one class folder only", text=f"images of {classes[0]} alone"))
    channels = agree_on_channels(files, surveys, problems, messages)
    _join_depths(surveys, problems, messages)
    subjects = [
        DuplicateCandidate(photo.name, file, photo.part or "train", photo.label, seen)
        for (photo, seen), file in zip(items, files, strict=True)
    ]
    copies = find_copies(subjects, near, options, conflict="image in two classes")
    problems += copies.problems
    messages += copies.messages
    parts, groups, made = _divide(photos, classes, copies, options, seed, problems, messages)
    problems += _missing(root, photos, parts, classes)
    shared = Counter(groups)
    cases = [
        Case(
            name=photo.name,
            image=photo.path,
            mask=None,
            part=part,
            group=group if shared[group] > 1 else "",
            class_index=classes.index(photo.label),
            shows=frozenset({classes.index(photo.label)}),
        )
        for photo, part, group in zip(photos, parts, groups, strict=True)
    ]
    order = sorted(range(len(cases)), key=lambda index: ("train", "val", "test").index(cases[index].part))
    return Dataset(
        root=root,
        cases=tuple(cases[index] for index in order),
        labelling=Labelling(task="classification", classes=classes, values=(), colours=()),
        channels=channels,
        messages=tuple(messages),
        problems=tuple(problems),
        split_made=made,
    )


def _order(found: tuple[str, ...], options: DataOptions, problems: list[Problem]) -> tuple[str, ...]:
    """Return the classes in the user's order, where one is given."""
    if not options.classes:
        return found
    if set(options.classes) != set(found):
        text = f"folders {', '.join(found[:12])} and names {', '.join(options.classes[:12])}"
        problems.append(Problem(file=".", kind="names do not fit", text=text))
        return found
    return options.classes


def _join_depths(surveys: Sequence[ImageScan], problems: list[Problem], messages: list[str]) -> None:
    """Take images of 8 and of 16 bits together: `photos.on_eight_bits` brings them to one scale."""
    deep = sum(seen.dtype == "uint16" for seen in surveys)
    if {seen.dtype for seen in surveys if seen.dtype} == {"uint8", "uint16"}:
        problems[:] = [problem for problem in problems if problem.kind != "mixed depths"]
        images = pluralise(deep, "image has", "images have")
        messages.append(f"{images} 16 bits, the others 8: what has more is brought to the scale of 8.")


def _divide(
    photos: Sequence[LabelledImage],
    classes: Sequence[str],
    copies: Copies,
    options: DataOptions,
    seed: int,
    problems: list[Problem],
    messages: list[str],
) -> tuple[list[Part], list[str], bool]:
    """Give each photo its part and group; draw a validation part where none is given."""
    parts: list[Part] = [photo.part or "train" for photo in photos]
    trains = [index for index, part in enumerate(parts) if part == "train"]
    groups = join_families(own_groups([photo.name for photo in photos], options, messages), copies, trains, messages)
    if not trains:
        problems.append(Problem(file=".", kind="no training images", text=f"only {', '.join(sorted(set(parts)))}"))
    if "val" in parts or not trains:
        return parts, groups, False
    labels = [classes.index(photos[index].label) for index in trains]
    chosen = choose_balanced([groups[index] for index in trains], labels, options.val_share, seed)
    for index, validates in zip(trains, chosen, strict=True):
        parts[index] = "val" if validates else "train"
    messages.append(
        f"No validation part was given: {sum(chosen)} of {len(trains)} training images validate, the same share of "
        f"each class, drawn with seed {seed} (--val-share)."
    )
    if not any(chosen):
        problems.append(Problem(file=".", kind="groups too large", text="no group could be spared for validation"))
    return parts, groups, True


def _missing(
    root: Path, photos: Sequence[LabelledImage], parts: Sequence[Part], classes: Sequence[str]
) -> list[Problem]:
    """Report classes that one part shows and another does not."""
    shown: dict[Part, set[str]] = defaultdict(set)
    for photo, part in zip(photos, parts, strict=True):
        shown[part].add(photo.label)
    problems: list[Problem] = []
    for part, there in shown.items():
        for label in (name for name in classes if name not in there):
            if part == "train":
                where = " and ".join(other for other in ("val", "test") if label in shown.get(other, ()))
                text = f"class {label} occurs in {where} only"
                files = tuple(files_of(root, photo.path)[0] for photo in photos if photo.label == label)
                problems.append(Problem(file="train", kind="class missing in training", text=text, files=files))
            elif label in shown.get("train", ()):
                text = f"class {label} has no image here"
                problems.append(Problem(file=part, kind="class missing in a part", text=text, fatal=False))
    return problems
