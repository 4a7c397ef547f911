"""Tiles that QuPath exports with labels: ``NAME [x=0,y=0,w=512,h=512].tif`` and ``NAME [x=...]-labelled.png``.

Source: QuPath documentation, "Exporting annotations", TileExporter with a labeled server.
"""

from dataclasses import replace
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet, MaskFile
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, split_of
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.options import DataOptions
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

_LABELLED = "-labelled"


def recognise(root: Path) -> bool:
    """Return whether a folder contains masks that end in ``-labelled``."""
    return any(path.name.casefold().endswith(SUFFIXES) and _is_mask(path) for path in find_files(root, ""))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read tiles and their masks; the tiles of a slide are a group.

    Raises `BadDataset` if several images fit a mask equally well.
    """
    index = ImageIndex(root)
    masks: dict[Path, Path] = {}
    for path in filter(_is_mask, index.files):
        image = index.find(path.stem[: -len(_LABELLED)] + path.suffix, path.parent, by_stem=True)
        if image is not None:
            masks[image] = path
    found = [
        FoundImage(
            image=path,
            annotation=MaskFile(path=masks[path]) if path in masks else None,
            split=split_of(path.relative_to(root).parts[:-1]),
        )
        for path in index.files
        if not _is_mask(path)
    ]
    images = tuple(replace(image, group=image.image.stem.partition(" [")[0]) for image in name_images(root, found))
    slides = pluralise(len({image.group for image in images}), "slide")
    text = (
        f"QuPath tiles of {slides}: masks end in {_LABELLED}, and the tiles of a slide stay in one split (--group-by)."
    )
    return AnnotatedSet(format="QuPath tiles", images=images, messages=(text,))


def _is_mask(path: Path) -> bool:
    return path.stem.casefold().endswith(_LABELLED)
