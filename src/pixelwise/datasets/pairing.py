"""Pair images and masks by name, and separate masks from images in one folder."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.datasets.folder_names import MASK_SUFFIXES, pairing_name, strip_role_words
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.errors import BadImage, printable
from pixelwise.io.read import read_mask
from pixelwise.text import pluralise


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Pairs as (name, image, mask), with messages and problems."""

    pairs: tuple[tuple[str, Path, Path], ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class SameFolderPairs:
    """The images and masks of one folder."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    messages: tuple[str, ...] = ()


def pair_by_name(root: Path, images: Sequence[Path], masks: Sequence[Path], options: DataOptions) -> Pairing:
    """Pair by name: first by the whole name, then without the words for image and mask."""
    problems: list[Problem] = []
    by_name = _unique(root, images, problems)
    masks_by_name = _unique(root, masks, problems)
    chosen: dict[str, Path] = {name: masks_by_name[name] for name in by_name if name in masks_by_name}
    unpaired_images = _by_base((name for name in by_name if name not in chosen), "")
    orphans: list[Path] = []
    unpaired_masks = _by_base((name for name in masks_by_name if name not in chosen), (options.masks or "").casefold())
    for base, names in unpaired_masks.items():
        image_names = unpaired_images.get(base, [])
        if len(names) == 1 and len(image_names) == 1:
            chosen[image_names[0]] = masks_by_name[names[0]]
        elif image_names:
            text = "may be the mask of the same image as " + printable(masks_by_name[names[0]].name)
            files = (*(masks_by_name[n] for n in names), *(by_name[n] for n in image_names))
            problems += [_problem(root, masks_by_name[n], "duplicate name", text, files) for n in names[1:] or names]
        else:
            orphans += [masks_by_name[name] for name in names]
    missing = [by_name[name] for name in by_name if name not in chosen]
    messages: list[str] = []
    if options.allow_missing and (missing or orphans):
        unlabelled = pluralise(len(missing), "image without mask", "images without mask")
        messages.append(
            f"Ignored: {unlabelled} and {pluralise(len(orphans), 'mask without image', 'masks without image')}."
        )
    elif not options.allow_missing:
        problems += [_problem(root, path, "missing mask", "no mask of this name") for path in missing]
        problems += [_problem(root, path, "orphan mask", "no image of this name") for path in orphans]
    pairs = tuple((by_name[name].stem, by_name[name], mask) for name, mask in chosen.items())
    return Pairing(pairs=pairs, messages=tuple(messages), problems=tuple(problems))


def separate_masks(files: Sequence[Path], options: DataOptions) -> SameFolderPairs:
    """Separate masks from images in one folder: by the user's suffix, the usual suffixes, or the extension."""
    names = {path: pairing_name(path) for path in files}
    known = set(names.values())
    given = options.masks.casefold() if options.masks else None
    suffixes = (given,) if given else MASK_SUFFIXES
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for path, name in names.items():
        suffix = next((m for m in suffixes if _has_suffix(name, m) and (given or _has_image(name, m, known))), None)
        if suffix is not None:
            by_suffix[suffix].append(path)
    if by_suffix:
        return _by_suffix(files, by_suffix)
    return _by_extension(files)


def _by_suffix(files: Sequence[Path], by_suffix: dict[str, list[Path]]) -> SameFolderPairs:
    usual = max(by_suffix, key=lambda suffix: len(by_suffix[suffix]))
    masks = [path for path in files if _has_suffix(pairing_name(path), usual)]
    other_masks = [path for suffix, paths in by_suffix.items() if suffix != usual for path in paths]
    masks_of_any_suffix = {*masks, *other_masks}
    images = tuple(path for path in files if path not in masks_of_any_suffix)
    messages = [f"files ending in {usual} are used as masks (--masks {usual})."]
    if other_masks:
        others = ", ".join(sorted(suffix for suffix in by_suffix if suffix != usual))
        messages.append(f"files ending in {others} were ignored (--masks).")
    return SameFolderPairs(images=images, masks=tuple(masks), messages=tuple(messages))


def _by_extension(files: Sequence[Path]) -> SameFolderPairs:
    """Pair ``a.jpg`` with ``a.png``: images in a lossy format with masks in a lossless one."""
    names = Counter(pairing_name(path) for path in files)
    extensions = Counter(path.suffix.casefold() for path in files)
    lossy = {".jpg", ".jpeg"} & set(extensions)
    exact = {extension for extension in extensions if extension in (".png", ".tif", ".tiff", ".bmp")}
    if set(names.values()) == {2} and lossy and exact and lossy | exact == set(extensions):
        images = tuple(path for path in files if path.suffix.casefold() in lossy)
        if len({pairing_name(path) for path in images}) == len(images) == len(names):
            masks = tuple(path for path in files if path not in set(images))
            text = f"files ending in {', '.join(sorted(exact))} are used as masks (--masks)."
            return SameFolderPairs(images=images, masks=masks, messages=(text,))
    return SameFolderPairs(images=tuple(files), masks=())


def has_fewer_values(first: Sequence[Path], second: Sequence[Path]) -> bool:
    """Return whether the files of `first` have fewer distinct values than those of `second`, from three files each."""
    return _values(first) < _values(second)


def similar_value_counts(first: Sequence[Path], second: Sequence[Path], factor: float = 4.0) -> bool:
    """Return whether the numbers of distinct values per file differ by at most `factor`, from three files each."""
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


def _has_suffix(name: str, suffix: str) -> bool:
    return len(name) > len(suffix) and (name.endswith(suffix) or name.endswith(suffix.replace("_", "-")))


def _has_image(name: str, suffix: str, known: set[str]) -> bool:
    base = name[: -len(suffix)]
    return any(base + end in known for end in ("", "_img", "-img", "_image", "-image", "_raw"))


def _by_base(names: Iterable[str], suffix: str) -> dict[str, list[str]]:
    """Group names by their base: without the user's suffix, or without the words for image and mask."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name[: -len(suffix)] if suffix and _has_suffix(name, suffix) else strip_role_words(name)].append(name)
    return groups


def _unique(root: Path, files: Sequence[Path], problems: list[Problem]) -> dict[str, Path]:
    """Return files by pairing name; only the first of several is kept."""
    by_name: dict[str, Path] = {}
    for path in files:
        other = by_name.setdefault(pairing_name(path), path)
        if other is not path:
            # it is unknown which one belongs to the other files of this name: both are excluded
            text = f"same name as {printable(other.relative_to(root))}"
            problems.append(_problem(root, path, "duplicate name", text, (other, path)))
    return by_name


def _problem(root: Path, path: Path, kind: str, text: str, files: Sequence[Path] = ()) -> Problem:
    concerned = tuple(printable(file.relative_to(root)) for file in files)
    return Problem(file=printable(path.relative_to(root)), kind=kind, text=text, files=concerned)
