"""Stacks of pages whose pages are images of their own: ``training.tif`` with ``training_groundtruth.tif``.

So are the public sets of electron microscopy (ISBI 2012, EPFL). Of several stacks the user decides whether pages are
images, slices of a volume (--volumes) or channels (--pages); of one stack for training no volumes can be learned.
"""

from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.folder_layout import Pair, read_layout
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.layouts.image_folders import split_in_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import probe
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import pluralise

NAME = "stacks of pages"
_ENDINGS = (".tif", ".tiff")
_MIN_PAGES = 4  # of a stack; fewer are channels
_MIN_VALIDATION = 1  # pages


def recognise(root: Path) -> bool:
    """Return whether a folder has one stack of images for training, with a stack of masks."""
    pairs = _pairs(root) if _has_stacks(root) else []
    return sum(_split(pair) in (None, "train") for pair in pairs) == 1


def are_stacks(root: Path) -> bool:
    """Return whether the images and masks of a folder are stacks of equally many pages."""
    return bool(_pairs(root))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read each page as an image; of a single stack for training, the last pages are for validation.

    Raises `BadDataset` if the stacks cannot be paired.
    """
    pairs = _pairs(root)
    train = [pair for pair in pairs if _split(pair) in (None, "train")]
    single = len(train) == 1 and not any(_split(pair) == "val" for pair in pairs)
    images: list[AnnotatedImage] = []
    for pair in pairs:
        count = probe(pair.image).pages
        last = count - max(_MIN_VALIDATION, round(options.val_share * count))
        digits = len(str(count - 1))
        for index in range(count):
            split = _split(pair)
            validates = single and pair is train[0] and index >= last
            images.append(
                AnnotatedImage(
                    name=f"{pair.name}_{index:0{digits}}",
                    image=pair.image / str(index),
                    annotation=MaskFile(path=_mask(pair) / str(index)),
                    split="val" if validates else "train" if single and split is None else split,
                    group="" if single else pair.name,
                )
            )
    names = ", ".join(pair.image.name for pair in pairs[:3])
    messages = [
        f"Each page of {pluralise(len(pairs), 'stack')} ({names}) is an image of its own "
        "(--volumes: a stack is one volume)."
    ]
    if single:
        messages.append(
            "The last pages of the stack are for validation, as neighbouring pages are alike (--val-share)."
        )
    return AnnotatedSet(format=NAME, images=tuple(images), messages=tuple(messages))


def _has_stacks(root: Path) -> bool:
    """Return whether the first TIFF files are stacks: of other sets no more is looked at."""
    for ending in _ENDINGS:
        path = next(find_files(root, ending, some=1), None)
        if path is not None:
            return _pages(path) >= _MIN_PAGES
    return False


def _pairs(root: Path) -> list[Pair]:
    """Return the pairs of stacks of equally many pages; none if a pair is not so."""
    try:
        pairs = read_layout(root, DataOptions()).pairs
    except BadDataset:
        return []
    for pair in pairs:
        counts = {_pages(pair.image), _pages(_mask(pair))}
        if len(counts) != 1 or counts.pop() < _MIN_PAGES:
            return []
    return list(pairs)


def _mask(pair: Pair) -> Path:
    return pair.annotation.path if isinstance(pair.annotation, MaskFile) else pair.image


def _pages(path: Path) -> int:
    """Return the pages of a gray stack that does not say that they are slices; 0 for other files."""
    if path.suffix.casefold() not in _ENDINGS:
        return 0
    try:
        info = probe(path)
    except BadImage:
        return 0
    return info.pages if info.depth is None and info.channels == 1 else 0


def _split(pair: Pair) -> Split | None:
    return pair.split or split_in_name(stem_of(pair.image))
