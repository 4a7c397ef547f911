"""Arrays of images and masks: NPY, NPZ, HDF5 and MAT files, each with one image or with a stack of them.

Roles and splits are words in the names of folders, files and arrays: ``x_train.npy`` + ``y_train.npy``, ``train.npz``
with ``images`` and ``masks``, ``cell_3.h5`` with ``raw`` and ``label``, ``images/a.npy`` + ``masks/a.npy``. The images
of a stack are cases; those of one stack of several are a group, as they may be slices of one volume. Masks with several
channels are classes, object numbers of classes, or both (`io.arrays.parts`). Sources: NumPy, "numpy.lib.format";
PlantSeg and ilastik documentation for ``raw`` and ``label``; PanNuke, CoNIC and TissueNet.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.formats.arrays.array_masks import with_parts
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.naming.folder_names import IMAGE_WORDS, MASK_WORDS, SPLIT_WORDS, natural_key
from pixelwise.datasets.naming.outputs import PICKLED_SUFFIX
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.array_paths import ARRAY_KINDS
from pixelwise.io.arrays.matlab import main_mask
from pixelwise.io.arrays.parts import LAST, MARK
from pixelwise.io.arrays.read import MAX_BANDS, MAX_CHANNELS, StoredArray, image_axes, list_arrays
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

MAX_CASES = 1_000_000
_IMAGES = (IMAGE_WORDS | {"data", "volume"}) - {"rgb"}
_EITHER = {"data"}  # a word that says little: it counts only in the name of the array itself
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class _Source:
    """An array, or an ordinary image file, which has no shape.

    `key` are the words of `parts` without roles, `own` those of the last part; `is_mask_file` is of an ordinary file.
    """

    path: Path
    parts: tuple[str, ...]
    key: tuple[str, ...]
    own: tuple[str, ...]
    is_mask: bool
    is_image: bool
    split: Split | None
    shape: tuple[int, ...] = field(default=())
    is_mask_file: bool = False


def recognise(root: Path) -> bool:
    """Return whether array files below a folder contain masks of other arrays, or of images."""
    if not any(name.casefold().endswith(tuple(ARRAY_KINDS)) for _, _, names in os.walk(root) for name in names):
        return False
    sources = _sources(root)
    other_masks = any(source.is_mask_file for source in sources)
    return any(image.shape or not other_masks for image, _ in _pair(sources))


def has_arrays(root: Path, images: str, masks: str) -> bool:
    """Return whether an array file below a folder has arrays of these names, such as ``raw`` and ``labels/cells``."""
    return any(len(_named(path, (images, masks))) == 2 for path in find_files(root, "") if _is_array_file(path))


def _is_array_file(path: Path) -> bool:
    return path.suffix.casefold() in ARRAY_KINDS and not path.name.casefold().endswith(PICKLED_SUFFIX)


def _named(path: Path, names: tuple[str, str]) -> list[StoredArray]:
    """Return the arrays of a file that have these names, in their order."""
    arrays = {array.path.relative_to(path).as_posix(): array for array in _arrays(path)}
    return [arrays[name] for name in names if name in arrays]


def _pair_named(root: Path, images: str, masks: str) -> list[tuple[_Source, _Source]]:
    """Return the arrays of each file that the user names; none if no file has both.

    Raises
    ------
    BadDataset
        A file has one of them alone, as if the other were missing.
    """
    found: dict[Path, list[StoredArray]] = {}
    for path in filter(_is_array_file, find_files(root, "")):
        found[path] = _named(path, (images, masks))
    if not any(len(arrays) == 2 for arrays in found.values()):
        return []
    for path, arrays in found.items():
        if len(arrays) != 2:
            shown = ", ".join(printable(array.path.name) for array in arrays) or "neither"
            hint = "Complete the file, or move it elsewhere."
            raise BadDataset(f"the arrays {images} and {masks} in each file", shown, hint, path)
    shared = _shared([_components(path.relative_to(root)) for path in found])
    pairs: list[tuple[_Source, _Source]] = []
    for path, arrays in found.items():
        image, mask = (
            _source(root, array.path, array.shape, _components(path.relative_to(root)), shared) for array in arrays
        )
        parts = tuple(map(_without_ending, path.relative_to(root).parts[shared:]))
        pairs.append((replace(image, parts=parts), replace(mask, parts=parts)))
    return sorted(pairs, key=lambda pair: natural_key(str(pair[0].path)))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the arrays of images and masks: those of the names that the user gives, if a file has them.

    Raises `BadDataset` if an array of images and its masks have no size in common, or there are too many.
    """
    images: list[AnnotatedImage] = []
    texts: list[str] = []
    pairs = _pair_named(root, options.images, options.masks) if options.images and options.masks else []
    pairs = pairs or _pair(_sources(root, options.task))
    notes: list[str] = []
    for image, mask in pairs:
        match = _match(image, mask)
        cases = list(_cases(root, image, mask, match))
        images += with_parts(cases, match.mask_channels, options, notes)
        texts.append(f"{_name(root, image.path)} ({match.axes}) with {_name(root, mask.path)}")
        if len(images) > MAX_CASES:
            hint = "Split the data set."
            raise BadDataset(f"at most {MAX_CASES} images", f"{len(images)} or more", hint, root)
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    text = f"{pluralise(len(texts), 'array of images', 'arrays of images')}: {'; '.join(texts[:_SHOWN])}{more}."
    instances = True if options.task == "instance" else None
    messages = (text, *dict.fromkeys(notes))
    return AnnotatedSet(format="arrays", images=tuple(images), instances=instances, messages=messages)


def _sources(root: Path, task: str = "auto") -> list[_Source]:
    """Return all arrays below a folder, and the image files beside them."""
    found: list[tuple[Path, tuple[int, ...]]] = []
    named: dict[Path, Path] = {}  # a file that stands for the mask in it, by the path of the mask
    for path in find_files(root, ""):
        ending = path.suffix.casefold()
        if ending in ARRAY_KINDS and not path.name.casefold().endswith(PICKLED_SUFFIX):
            arrays = _arrays(path)
            main = _main_mask(path, arrays, task) if ARRAY_KINDS[ending] == "MAT" else None
            if main is not None:
                arrays = [array for array in arrays if array.path == path / main]
                named[path / main] = path
            found += [(array.path, array.shape) for array in arrays]
        elif ending in SUFFIXES:
            found.append((path, ()))
    names = [_components(named.get(path, path).relative_to(root)) for path, _ in found]
    shared = _shared([name[:-1] for name in names])
    sources = [
        _source(root, path, shape, name, shared, is_mask=path in named)
        for (path, shape), name in zip(found, names, strict=True)
    ]
    return sorted(sources, key=lambda source: natural_key(str(source.path)))


def _main_mask(path: Path, arrays: Sequence[StoredArray], task: str) -> str | None:
    """Return the name of the mask in a MAT file of masks; None if it has images too."""
    names = {array.path.relative_to(path).as_posix(): array for array in arrays}
    if any(word in _IMAGES for name in names for word in _components(Path(name))[-1]):
        return None
    return main_mask(names, classes=task == "multiclass")


def _arrays(path: Path) -> list[StoredArray]:
    """Return the arrays of a file; none if it cannot be read, or HDF5 cannot be read here."""
    try:
        return list_arrays(path)
    except BadImage as error:
        if error.expected.startswith("the package"):
            raise BadDataset(error.expected, error.got, error.hint, path) from error
        return []


def _components(path: Path) -> tuple[tuple[str, ...], ...]:
    """Return the words of each folder, file and array in a path."""
    parts = [_without_ending(part).casefold() for part in path.parts]
    return tuple(tuple(word for word in re.split(r"[^0-9a-z]+", part) if word) for part in parts)


def _without_ending(part: str) -> str:
    return part[: -len(Path(part).suffix)] if part.casefold().endswith((*ARRAY_KINDS, *SUFFIXES)) else part


def _shared(folders: Sequence[tuple[tuple[str, ...], ...]]) -> int:
    """Return how many folders all paths begin with."""
    count = 0
    for names in zip(*folders, strict=False):
        if len(set(names)) > 1:
            break
        count += 1
    return count if len(folders) > 1 else 0


def _source(
    root: Path,
    path: Path,
    shape: tuple[int, ...],
    names: Sequence[tuple[str, ...]],
    shared: int,
    *,
    is_mask: bool = False,
) -> _Source:
    """Describe an array by the words of its folders and files, without the first ones, which all paths share."""
    components = names[shared:]
    words = [word for component in components for word in component]
    said = set(words) - (_EITHER - set(components[-1] if components else ()))
    is_mask = is_mask or bool(said & MASK_WORDS)
    splits: list[Split] = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    return _Source(
        path=path,
        parts=tuple(map(_without_ending, path.relative_to(root).parts[shared:])),
        key=tuple(word for word in words if word not in MASK_WORDS | _IMAGES),
        own=tuple(word for word in (components or names)[-1] if word not in MASK_WORDS | _IMAGES),
        is_mask=is_mask and bool(shape),
        is_image=not is_mask and (bool(said & _IMAGES) or not shape),
        split=splits[0] if splits else None,
        shape=shape,
        is_mask_file=is_mask and not shape,
    )


def _name_of(image: Sequence[str], mask: Sequence[str]) -> str:
    """Return what the paths of an image and its mask have in common, without words for their roles where they differ.

    >>> _name_of(("train", "images", "Image-7"), ("train", "masks", "Image-7")), _name_of(("A-7_raw",), ("A-7_label",))
    ('train/Image-7', 'A_7')
    """
    kept: list[str] = []
    for index, part in enumerate(image):
        words = [word for word in re.split(r"[^0-9A-Za-z]+", part) if word]
        own = [word for word in words if word.casefold() not in MASK_WORDS | _IMAGES]
        same = len(image) == len(mask) and part == mask[index]
        kept += [part] if same or (own and own == words) else ["_".join(own)] if own else []
    return "/".join(kept)


def _pair(sources: Sequence[_Source]) -> list[tuple[_Source, _Source]]:
    """Return the images whose words are those of one mask alone, and their masks; if there are none, by own names."""
    pairs = _pair_by(sources, lambda source: source.key)
    pairs = pairs or _pair_by([source for source in sources if source.own], lambda source: source.own)
    if pairs or any(source.shape and source.is_mask for source in sources):
        return pairs
    # arrays without a word for their role, with masks in ordinary files
    plain = [replace(source, is_image=bool(source.shape), is_mask=source.is_mask_file) for source in sources]
    return _pair_by([source for source in plain if source.own], lambda source: source.own)


def _pair_by(sources: Sequence[_Source], key: Callable[[_Source], tuple[str, ...]]) -> list[tuple[_Source, _Source]]:
    masks: dict[tuple[str, ...], list[_Source]] = {}
    images: dict[tuple[str, ...], list[_Source]] = {}
    for source in sources:
        if source.is_mask:
            masks.setdefault(key(source), []).append(source)
        elif source.is_image:
            images.setdefault(key(source), []).append(source)
    return [
        (images[name][0], found[0])
        for name, found in masks.items()
        if len(found) == 1 and len(images.get(name, ())) == 1
    ]


@dataclass(frozen=True, kw_only=True)
class _Meaning:
    """What an array may be: the number of images (None: one image), their size and channels, the axes."""

    count: int | None = None
    size: tuple[int, ...]
    channels: int = 1
    axes: str
    last: bool = False  # the images are on the last axis

    def path_of(self, path: Path, index: int | None) -> Path:
        """Return the path of an image; many channels that are the first axis are named."""
        path = path if index is None else path / LAST / str(index) if self.last else path / str(index)
        first = self.axes.endswith("channels, height, width") and self.channels > MAX_CHANNELS
        return path / f"{MARK}0-{self.channels - 1}" if first else path


@dataclass(frozen=True, kw_only=True)
class _Match:
    """How the images of an array and their masks belong together; no count: one image, as `axes` describes it."""

    count: int | None = None
    axes: str
    image: _Meaning | None = None
    mask: _Meaning | None = None

    @property
    def mask_channels(self) -> int:
        """The number of channels of a mask."""
        return self.mask.channels if self.mask is not None else 1


def _match(image: _Source, mask: _Source) -> _Match:
    """Return how the images of an array and their masks belong together."""
    if not image.shape:
        single = next((one for one in _meanings(mask.shape, MAX_BANDS) if one.count is None), None)
        if single is not None or 1 in (mask.shape[0], mask.shape[-1]):
            return _Match(axes="an image", mask=single)
    elif not mask.shape:
        single = next((one for one in _meanings(image.shape, MAX_BANDS) if one.count is None), None)
        if single is not None:
            return _Match(axes=single.axes, image=single)
    else:
        for channels in (1, MAX_CHANNELS, MAX_BANDS):  # of masks: several are classes, or colours
            meanings = product(_meanings(image.shape, MAX_BANDS), _meanings(mask.shape, channels))
            for one, other in meanings:
                if (one.count, one.size) == (other.count, other.size):
                    return _Match(count=one.count, axes=one.axes, image=one, mask=other)
    shapes = " and ".join(" x ".join(map(str, source.shape)) or "an image" for source in (image, mask))
    hint = "Save stacks as (images, height, width) or (images, height, width, channels), masks without channels."
    raise BadDataset("images and masks of one size", f"arrays of {shapes}", hint, mask.path)


def _meanings(shape: tuple[int, ...], channels: int) -> Iterator[_Meaning]:
    """Yield what an array may be, likely ones first, with at most so many channels."""
    stacked = len(shape) in (3, 4)
    if stacked and (one := _single(shape[1:], channels)) is not None:
        yield replace(one, count=shape[0], axes=f"images, {one.axes}")
    if (one := _single(shape, channels)) is not None:
        yield one
    if stacked and (one := _single(shape[:-1], channels)) is not None and one.axes.startswith("height"):
        yield replace(one, count=shape[-1], axes=f"{one.axes}, images", last=True)


def _single(shape: tuple[int, ...], channels: int) -> _Meaning | None:
    """Return what one image of a shape is, with at most so many channels."""
    if len(shape) == 2:
        return _Meaning(size=shape, axes="height, width")
    axes = image_axes(shape, channels_named=channels > MAX_CHANNELS)
    if axes == "yxc" and shape[2] <= channels:
        return _Meaning(size=shape[:2], channels=shape[2], axes="height, width, channels")
    if axes == "cyx" and shape[0] <= channels:
        return _Meaning(size=shape[1:], channels=shape[0], axes="channels, height, width")
    return None


def _cases(root: Path, image: _Source, mask: _Source, match: _Match) -> Iterator[AnnotatedImage]:
    split = image.split or mask.split
    name = _name_of(image.parts, mask.parts) or split or "image"
    digits = len(str((match.count or 1) - 1))
    for index in range(match.count) if match.count is not None else (None,):
        own, drawn = (
            source.path if meaning is None else meaning.path_of(source.path, index)
            for source, meaning in ((image, match.image), (mask, match.mask))
        )
        yield AnnotatedImage(
            name=name if index is None else f"{name}_{index:0{digits}}",
            image=own,
            annotation=MaskFile(path=drawn),
            split=split,
            group="" if index is None else _name(root, image.path),
        )


def _name(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())
