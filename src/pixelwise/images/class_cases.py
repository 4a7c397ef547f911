"""Class folders become a data set for whole-image classification: looked at, compared, divided, every guess told."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from pixelwise.errors import BadDataset, printable
from pixelwise.images.class_folders import ClassFolders, Photo
from pixelwise.images.duplicates import near_across, near_copies
from pixelwise.images.records import Case, DataOptions, Dataset, Labelling, Part, Problem
from pixelwise.images.splits import choose_balanced, join
from pixelwise.images.survey import Survey, agree_on_channels, survey_photo
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.wording import counted

COMPARED = 20_000  # images up to which near copies are looked for: the work grows with the square


def examine_classes(
    root: Path, folders: ClassFolders, options: DataOptions, seed: int, progress: Progress | None = None
) -> Dataset:
    """Turn class folders into a data set, with its problems listed instead of raised.

    Raises
    ------
    BadDataset
        No image at all can be read.
    """
    progress = progress or Progress()
    photos, told, problems = folders.photos, list(folders.told), list(folders.problems)
    tasks = [(photo.path, options.pages) for photo in photos]
    surveys = list(progress.track(parallel_map(survey_photo, tasks), "Looking at images", len(tasks)))
    files = [printable(photo.path.relative_to(root)) for photo in photos]
    for name, seen in zip(files, surveys, strict=True):
        problems += [Problem(file=name, kind=fault.kind, text=fault.text) for fault in seen.faults]
    if not any(seen.digest for seen in surveys):
        raise BadDataset(
            "images that can be read", f"{len(files)} that cannot, such as {files[0]}", "Export them again.", root
        )
    classes = _order(folders.classes, options, problems)
    channels = agree_on_channels(files, surveys, problems, told)
    _join_depths(surveys, problems, told)
    family = _families(photos, surveys, options, problems, told)
    parts, groups, made = _divide(photos, classes, family, options, seed, problems, told)
    problems += _missing(photos, parts, classes)
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
        told=tuple(told),
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


def _join_depths(surveys: Sequence[Survey], problems: list[Problem], told: list[str]) -> None:
    """Take images of 8 and of 16 bits together: `photos.on_eight_bits` brings them to one scale."""
    deep = sum(seen.dtype == "uint16" for seen in surveys)
    if {seen.dtype for seen in surveys if seen.dtype} == {"uint8", "uint16"}:
        problems[:] = [problem for problem in problems if problem.kind != "mixed depths"]
        images = counted(deep, "image has", "images have")
        told.append(f"{images} 16 bits, the others 8: what has more is brought to the scale of 8.")


def _families(
    photos: Sequence[Photo],
    surveys: Sequence[Survey],
    options: DataOptions,
    problems: list[Problem],
    told: list[str],
) -> list[int]:
    """Report copies, and return for each photo the index of the first photo of its family of copies."""
    links = _exact(photos, surveys, options, problems)
    twice = sum(problem.kind == "image in two classes" for problem in problems)
    if twice:
        images = counted(twice, "image lies", "images lie")
        told.append(f"{images} in two class folders: both are taught. `pixelwise inspect` names them.")
    if len(photos) > COMPARED:
        told.append(f"Nearly equal images are looked for among at most {COMPARED:,} images; here equal ones alone are.")
    else:
        near = near_copies(surveys, upright=True)
        problems += near_across([(photo.name, photo.part or "train") for photo in photos], surveys, near)
        links += near
    return join(len(photos), links)


def _exact(
    photos: Sequence[Photo], surveys: Sequence[Survey], options: DataOptions, problems: list[Problem]
) -> list[tuple[int, int]]:
    """Report equal images: in two classes, in two parts, or twice in one."""
    by_digest: dict[str, list[int]] = defaultdict(list)
    for index, seen in enumerate(surveys):
        if seen.digest:
            by_digest[seen.digest].append(index)
    links: list[tuple[int, int]] = []
    for same in (indices for indices in by_digest.values() if len(indices) > 1):
        links += [(same[0], other) for other in same[1:]]
        labels = {photos[index].label for index in same}
        parts = {photos[index].part or "train" for index in same}
        kind = (
            "duplicate across parts"
            if len(parts) > 1
            else "image in two classes"
            if len(labels) > 1
            else "duplicate image"
        )
        others = ", ".join(photos[index].name for index in same[1:4])
        text = f"the same pixels as {others}{' and more' if len(same) > 4 else ''}"
        fatal = kind == "duplicate across parts" and not options.allow_duplicates
        problems.append(Problem(file=photos[same[0]].name, kind=kind, text=text, fatal=fatal))
    return links


def _divide(
    photos: Sequence[Photo],
    classes: Sequence[str],
    family: Sequence[int],
    options: DataOptions,
    seed: int,
    problems: list[Problem],
    told: list[str],
) -> tuple[list[Part], list[str], bool]:
    """Give each photo its part and group; draw a validation part where none is given."""
    parts: list[Part] = [photo.part or "train" for photo in photos]
    groups = _groups(photos, family, options)
    trains = [index for index, part in enumerate(parts) if part == "train"]
    if not trains:
        problems.append(Problem(file=".", kind="no training images", text=f"only {', '.join(sorted(set(parts)))}"))
    if "val" in parts or not trains:
        return parts, groups, False
    labels = [classes.index(photos[index].label) for index in trains]
    chosen = choose_balanced([groups[index] for index in trains], labels, options.val_share, seed)
    for index, validates in zip(trains, chosen, strict=True):
        parts[index] = "val" if validates else "train"
    told.append(
        f"No validation part was given: {sum(chosen)} of {len(trains)} training images validate, the same share of "
        f"each class, drawn with seed {seed} (--val-share)."
    )
    if not any(chosen):
        problems.append(Problem(file=".", kind="groups too large", text="no group could be spared for validation"))
    return parts, groups, True


def _groups(photos: Sequence[Photo], family: Sequence[int], options: DataOptions) -> list[str]:
    """Name the group of each photo: what --group-by finds in its name, joined over families of copies."""
    own = [photo.name for photo in photos]
    if options.group_by is not None:
        finds = [re.search(options.group_by, Path(name).name) for name in own]
        own = [(find[1] or "") if find else name for find, name in zip(finds, own, strict=True)]
    first: dict[str, int] = {}
    links = [(index, first.setdefault(name, index)) for index, name in enumerate(own)]
    return [own[index] for index in join(len(own), [*links, *enumerate(family)])]


def _missing(photos: Sequence[Photo], parts: Sequence[Part], classes: Sequence[str]) -> list[Problem]:
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
                problems.append(Problem(file="train", kind="class missing in training", text=text))
            elif label in shown.get("train", ()):
                text = f"class {label} has no image here"
                problems.append(Problem(file=part, kind="class missing in a part", text=text, fatal=False))
    return problems
