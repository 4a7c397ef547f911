"""Arrays of images and masks: NPY, NPZ, HDF5 and MAT files, each with one image or with a stack of them.

Roles and splits are words in the names of folders, files and arrays: ``x_train.npy`` + ``y_train.npy``, ``train.npz``
with ``images`` and ``masks``, ``cell_3.h5`` with ``raw`` and ``label``, ``images/a.npy`` + ``masks/a.npy``. The images
of a stack are cases; those of one stack of several are a group, as they may be slices of one volume. Sources: NumPy,
"numpy.lib.format"; PlantSeg and ilastik documentation for ``raw`` and ``label``.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.naming.folder_names import IMAGE_WORDS, MASK_WORDS, SPLIT_WORDS, natural_key
from pixelwise.datasets.naming.outputs import PICKLED_SUFFIX
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.array_paths import ARRAY_KINDS
from pixelwise.io.arrays.matlab import main_mask
from pixelwise.io.arrays.read import MAX_CHANNELS, StoredArray, list_arrays
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

MAX_CASES = 1_000_000
_IMAGES = (IMAGE_WORDS | {"data", "volume"}) - {"rgb"}
_EITHER = {"data"}  # a word that says little: it counts only in the name of the array itself
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class _Source:
    """An array, or an ordinary image file, which has no shape.

    `key` are the words of `parts` without roles, `own` those of the last part.
    """

    path: Path
    parts: tuple[str, ...]
    key: tuple[str, ...]
    own: tuple[str, ...]
    is_mask: bool
    is_image: bool
    split: Split | None
    shape: tuple[int, ...] = field(default=())


def recognise(root: Path) -> bool:
    """Return whether array files below a folder contain masks of other arrays, or of images."""
    if not any(name.casefold().endswith(tuple(ARRAY_KINDS)) for _, _, names in os.walk(root) for name in names):
        return False
    sources = _sources(root)
    other_masks = any(not source.shape and not source.is_image for source in sources)  # in ordinary image files
    return any(image.shape or not other_masks for image, _ in _pair(sources))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the arrays of images and masks.

    Raises
    ------
    BadDataset
        An array of images and its masks have no size in common, or there are too many.
    """
    images: list[AnnotatedImage] = []
    texts: list[str] = []
    pairs = _pair(_sources(root))
    for image, mask in pairs:
        count, shown = _match(image, mask)
        texts.append(f"{_name(root, image.path)} {shown} with {_name(root, mask.path)}")
        images += _cases(root, image, mask, count)
        if len(images) > MAX_CASES:
            hint = "Split the data set."
            raise BadDataset(f"at most {MAX_CASES} images", f"{len(images)} or more", hint, root)
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    text = f"{pluralise(len(texts), 'array of images', 'arrays of images')}: {'; '.join(texts[:_SHOWN])}{more}."
    instances = True if options.task == "instance" else None
    return AnnotatedSet(format="arrays", images=tuple(images), instances=instances, messages=(text,))


def _is_read(path: Path) -> bool:
    return not path.name.casefold().endswith(PICKLED_SUFFIX)


def _sources(root: Path) -> list[_Source]:
    """Return all arrays below a folder, and the image files beside them."""
    found: list[tuple[Path, tuple[int, ...]]] = []
    named: dict[Path, Path] = {}  # a file that stands for the mask in it, by the path of the mask
    for path in find_files(root, ""):
        ending = path.suffix.casefold()
        if ending in ARRAY_KINDS and _is_read(path):
            arrays = _arrays(path)
            main = main_mask({array.path.relative_to(path).as_posix(): array for array in arrays})
            if ARRAY_KINDS[ending] == "MAT" and main is not None:
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
    return pairs or _pair_by([source for source in sources if source.own], lambda source: source.own)


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


def _match(image: _Source, mask: _Source) -> tuple[int | None, str]:
    """Return the number of images in a stack (None: no stack), and the axes as text."""
    if not image.shape:
        if len(mask.shape) == 2 or mask.shape[-1] == 1 or mask.shape[0] == 1:
            return None, "(an image)"
    else:
        for channels in (1, MAX_CHANNELS):  # of masks: several are classes, or colours
            meanings = product(_meanings(image.shape), _meanings(mask.shape, channels))
            for (count, size, axes), (masks, mask_size, _) in meanings:
                if (count, size) == (masks, mask_size):
                    return count, f"({axes})"
    shapes = " and ".join(" x ".join(map(str, source.shape)) or "an image" for source in (image, mask))
    hint = "Save stacks as (images, height, width) or (images, height, width, channels), masks without channels."
    raise BadDataset("images and masks of one size", f"arrays of {shapes}", hint, mask.path)


def _meanings(
    shape: tuple[int, ...], channels: int = MAX_CHANNELS
) -> Iterator[tuple[int | None, tuple[int, ...], str]]:
    """Yield what an array may be, likely ones first: the number of images (None: one image), their size, the axes."""
    rank = len(shape)
    if rank in (3, 4):
        yield from (
            (shape[0], size, f"images, {axes}") for one, size, axes in _meanings(shape[1:], channels) if one is None
        )
    if rank == 2:
        yield None, shape, "height, width"
    elif rank == 3 and shape[2] <= channels:
        yield None, shape[:2], "height, width, channels"
    elif rank == 3 and shape[0] <= channels:
        yield None, shape[1:], "channels, height, width"


def _cases(root: Path, image: _Source, mask: _Source, count: int | None) -> Iterator[AnnotatedImage]:
    split = image.split or mask.split
    name = _name_of(image.parts, mask.parts) or split or "image"
    if count is None:
        yield AnnotatedImage(name=name, image=image.path, annotation=MaskFile(path=mask.path), split=split)
        return
    digits = len(str(count - 1))
    for index in range(count):
        yield AnnotatedImage(
            name=f"{name}_{index:0{digits}}",
            image=image.path / str(index),
            annotation=MaskFile(path=mask.path / str(index)),
            split=split,
            group=_name(root, image.path),
        )


def _name(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())
