"""Write a data set into a new folder: images, and the objects that annotation formats describe."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from scipy import ndimage

from pixelwise.atomic_write import write_error
from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, Bitmap, Shape, Shapes
from pixelwise.datasets.records import Split
from pixelwise.datasets.shapes.rasterise import check_stated_size, find_region, group_objects, is_background, rasterise
from pixelwise.datasets.shapes.vectorise import to_shapes
from pixelwise.errors import BadDataset
from pixelwise.io.read import probe
from pixelwise.text import pluralise


@dataclass(frozen=True, kw_only=True)
class OutputObject:
    """The pixels of an object inside its image, or of an ignored area."""

    class_name: str
    ignore: bool
    region: Bitmap


def place_images(
    dataset: AnnotatedSet, folder: Path, subfolder: Callable[[Split | None], str], messages: list[str]
) -> list[tuple[AnnotatedImage, Path]]:
    """Link or copy the annotated images into `folder`; return them with their new paths.

    Parameters
    ----------
    subfolder : callable
        The folder of the images of a split.
    messages : list of str
        Receives what is left out.

    Raises
    ------
    BadDataset
        An image is stored as several files, or two would get one name.
    """
    placed: list[tuple[AnnotatedImage, Path]] = []
    names: set[str] = set()
    for image in dataset.images:
        if image.annotation is None:
            continue
        if len(image.channel_files) > 1:
            got = pluralise(len(image.channel_files), "file")
            raise BadDataset("one file per image", got, "Join the channels in one file.", image.image)
        name = image.name.removeprefix(f"{image.split}/")
        if any(part in ("..", "/") for part in PurePosixPath(name).parts):
            raise BadDataset("a name inside the data set", name, "Rename the image.", image.image)
        path = folder / subfolder(image.split) / f"{name}{image.image.suffix.lower()}"
        if str(path.with_suffix("")).casefold() in names:
            raise BadDataset("images with different names", name, "Rename one of them.", image.image)
        names.add(str(path.with_suffix("")).casefold())
        _link(image.image, path)
        placed.append((image, path))
    without = len(dataset.images) - len(placed)
    if without:
        messages.append(f"{pluralise(without, 'image')} without annotation: left out.")
    if not placed:
        raise BadDataset("annotated images", "none", "Annotate at least one image.", None)
    return placed


def objects_of(image: AnnotatedImage, dataset: AnnotatedSet) -> tuple[tuple[int, int], list[OutputObject]]:
    """Return the size of an image and its objects, in the order of drawing, ignored areas first.

    Objects keep what later ones cover, except what the background or an ignored area covers. What is unknown
    because the annotation is not complete becomes an ignored area.
    """
    shapes = to_shapes(image, dataset)
    info = probe(image.image)
    size = info.height, info.width
    check_stated_size(shapes, size)
    groups = group_objects(shapes)
    if _order_matters(shapes, groups):
        regions = _visible_regions(shapes, groups, size)
    else:
        regions = [find_region(group, size, shapes) for group in groups]
    found = [
        OutputObject(class_name=group[0].class_name, ignore=group[0].ignore, region=region)
        for group, region in zip(groups, regions, strict=True)
        if region.pixels.any() and (group[0].ignore or not is_background(group[0].class_name))
    ]
    if not shapes.complete:
        unknown = rasterise(replace(shapes, size=None), size, (), "instance") < 0
        known = [member for member in found if not member.ignore]
        found = [OutputObject(class_name="", ignore=True, region=Bitmap(row=0, column=0, pixels=unknown)), *known]
    return size, sorted(found, key=lambda member: not member.ignore)


def describe_ignored(count: int) -> str:
    """Return the message about ignored areas that a format cannot express."""
    return f"{pluralise(count, 'ignored area')} cannot be expressed and became background."


def _order_matters(shapes: Shapes, groups: list[list[Shape]]) -> bool:
    """Return whether objects cannot be drawn one after the other over all that is ignored."""
    covering = [shape.ignore or is_background(shape.class_name) for shape in shapes.shapes]
    first_object = covering.index(False) if False in covering else len(covering)
    flat = [shape for group in groups for shape in group]
    return any(covering[first_object:]) or any(a is not b for a, b in zip(flat, shapes.shapes, strict=True))


def _visible_regions(shapes: Shapes, groups: list[list[Shape]], size: tuple[int, int]) -> list[Bitmap]:
    """Return the pixels of every object that no later shape covers."""
    number = {id(shape): index for index, group in enumerate(groups) for shape in group}
    drawn = [replace(shape, class_name="", ignore=False, object_id=number[id(shape)]) for shape in shapes.shapes]
    labels = rasterise(Shapes(shapes=tuple(drawn), source=shapes.source), size, (), "instance")
    nothing = Bitmap(row=0, column=0, pixels=np.zeros((0, 0), bool))
    regions = [nothing] * len(groups)
    for index, window in enumerate(ndimage.find_objects(labels)):
        if window is not None:
            pixels = labels[window] == index + 1
            regions[index] = Bitmap(row=window[0].start, column=window[1].start, pixels=pixels)
    return regions


def _link(source: Path, path: Path) -> None:
    """Make `path` the same file as `source`, or a copy where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), path)
        except OSError:
            shutil.copyfile(source, path)
    except OSError as error:
        raise write_error(path, error) from error
