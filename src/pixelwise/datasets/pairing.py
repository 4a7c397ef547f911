"""Images and masks of one place are paired by name; masks lying beside images are told from them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.datasets.folder_names import SUFFIXES_OF_MASKS, pairing_name, without_role
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.errors import BadImage, printable
from pixelwise.io.read import read_mask
from pixelwise.text import pluralise


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Pairs as (name, image, mask), and what was seen on the way."""

    pairs: tuple[tuple[str, Path, Path], ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class SameFolderPairs:
    """Files of one folder, parted into images and masks."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    messages: tuple[str, ...] = ()


def pair_place(root: Path, images: Sequence[Path], masks: Sequence[Path], options: DataOptions) -> Pairing:
    """Pair by name: the whole name first, then without what says "image" or "mask"."""
    problems: list[Problem] = []
    by_name = _unique(root, images, problems)
    masks_by_name = _unique(root, masks, problems)
    chosen: dict[str, Path] = {name: masks_by_name[name] for name in by_name if name in masks_by_name}
    loose = _by_core((name for name in by_name if name not in chosen), "")
    orphans: list[Path] = []
    rest = _by_core((name for name in masks_by_name if name not in chosen), (options.masks or "").casefold())
    for core, names in rest.items():
        wanted = loose.get(core, [])
        if len(names) == 1 and len(wanted) == 1:
            chosen[wanted[0]] = masks_by_name[names[0]]
        elif wanted:
            text = "could be the mask of the same image as " + printable(masks_by_name[names[0]].name)
            files = (*(masks_by_name[n] for n in names), *(by_name[n] for n in wanted))
            problems += [_problem(root, masks_by_name[n], "duplicate name", text, files) for n in names[1:] or names]
        else:
            orphans += [masks_by_name[name] for name in names]
    missing = [by_name[name] for name in by_name if name not in chosen]
    messages: list[str] = []
    if options.allow_missing and (missing or orphans):
        lone = pluralise(len(missing), "image without mask", "images without mask")
        messages.append(
            f"Left aside: {lone} and {pluralise(len(orphans), 'mask without image', 'masks without image')}."
        )
    elif not options.allow_missing:
        problems += [_problem(root, path, "missing mask", "no mask of this name") for path in missing]
        problems += [_problem(root, path, "orphan mask", "no image of this name") for path in orphans]
    pairs = tuple((by_name[name].stem, by_name[name], mask) for name, mask in chosen.items())
    return Pairing(pairs=pairs, messages=tuple(messages), problems=tuple(problems))


def part_by_suffix(files: Sequence[Path], options: DataOptions) -> SameFolderPairs:
    """Tell masks from images in one folder: by the user's suffix, the usual suffixes, or the ending."""
    names = {path: pairing_name(path) for path in files}
    known = set(names.values())
    given = options.masks.casefold() if options.masks else None
    marks = (given,) if given else SUFFIXES_OF_MASKS
    by_mark: dict[str, list[Path]] = defaultdict(list)
    for path, name in names.items():
        mark = next((m for m in marks if _ends(name, m) and (given or _base(name, m, known))), None)
        if mark is not None:
            by_mark[mark].append(path)
    if by_mark:
        return _beside_by_mark(files, by_mark)
    return _beside_by_ending(files)


def _beside_by_mark(files: Sequence[Path], by_mark: dict[str, list[Path]]) -> SameFolderPairs:
    best = max(by_mark, key=lambda mark: len(by_mark[mark]))
    masks = [path for path in files if _ends(pairing_name(path), best)]
    spare = [path for mark, paths in by_mark.items() if mark != best for path in paths]
    aside = {*masks, *spare}
    images = tuple(path for path in files if path not in aside)
    messages = [f"files ending in {best} are the masks of the images beside them (--masks {best})."]
    if spare:
        others = ", ".join(sorted(mark for mark in by_mark if mark != best))
        messages.append(f"files ending in {others} were left aside (--masks).")
    return SameFolderPairs(images=images, masks=tuple(masks), messages=tuple(messages))


def _beside_by_ending(files: Sequence[Path]) -> SameFolderPairs:
    """Pair ``a.jpg`` with ``a.png``: pictures in a lossy format with masks in an exact one."""
    names = Counter(pairing_name(path) for path in files)
    endings = Counter(path.suffix.casefold() for path in files)
    lossy = {".jpg", ".jpeg"} & set(endings)
    exact = {ending for ending in endings if ending in (".png", ".tif", ".tiff", ".bmp")}
    if set(names.values()) == {2} and lossy and exact and lossy | exact == set(endings):
        images = tuple(path for path in files if path.suffix.casefold() in lossy)
        if len({pairing_name(path) for path in images}) == len(images) == len(names):
            masks = tuple(path for path in files if path not in set(images))
            messages = f"files ending in {', '.join(sorted(exact))} are the masks of those beside them (--masks)."
            return SameFolderPairs(images=images, masks=masks, messages=(messages,))
    return SameFolderPairs(images=tuple(files), masks=())


def fewer_values(first: Sequence[Path], second: Sequence[Path]) -> bool:
    """Say whether the files of `first` hold fewer different values than those of `second`, on a few files."""
    return _values(first) < _values(second)


def alike_in_values(first: Sequence[Path], second: Sequence[Path], factor: float = 4.0) -> bool:
    """Say whether two folders hold about as many different values per file, on a few files: pictures of one kind."""
    low, high = sorted((_values(first), _values(second)))
    return low == high or low * factor >= high


def _values(files: Sequence[Path]) -> float:
    counts: list[int] = []
    for path in files[:3]:
        try:
            values = read_mask(path).values
        except BadImage:
            return float("inf")
        counts.append(len(np.unique(values)) if values.ndim == 2 else 3 * len(np.unique(values)))
    return float(np.mean(counts))


def _ends(name: str, mark: str) -> bool:
    return len(name) > len(mark) and (name.endswith(mark) or name.endswith(mark.replace("_", "-")))


def _base(name: str, mark: str, known: set[str]) -> bool:
    core = name[: -len(mark)]
    return any(core + end in known for end in ("", "_img", "-img", "_image", "-image", "_raw"))


def _by_core(names: Iterable[str], mark: str) -> dict[str, list[str]]:
    """Gather names by what is left without the user's mark, or without what says "image" or "mask"."""
    cores: dict[str, list[str]] = defaultdict(list)
    for name in names:
        cores[name[: -len(mark)] if mark and _ends(name, mark) else without_role(name)].append(name)
    return cores


def _unique(root: Path, files: Sequence[Path], problems: list[Problem]) -> dict[str, Path]:
    """Index files by their pairing name; the first of several keeps it."""
    by_name: dict[str, Path] = {}
    for path in files:
        other = by_name.setdefault(pairing_name(path), path)
        if other is not path:
            # which of them belongs to the other files of this name cannot be known: leaving out means both
            text = f"same name as {printable(other.relative_to(root))}"
            problems.append(_problem(root, path, "duplicate name", text, (other, path)))
    return by_name


def _problem(root: Path, path: Path, kind: str, text: str, files: Sequence[Path] = ()) -> Problem:
    concerned = tuple(printable(file.relative_to(root)) for file in files)
    return Problem(file=printable(path.relative_to(root)), kind=kind, text=text, files=concerned)
