"""Segment Anything: a JSON file of masks beside each image, without classes (SA-1B, Kirillov et al. 2023).

``image`` has the name and the size, each of ``annotations`` run lengths as in COCO; masks may lie within one another:
smaller ones are drawn over larger ones.
"""

from pathlib import Path
from typing import Any

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats import json_content as content
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, report_missing, split_of
from pixelwise.datasets.formats.run_lengths.coco_rle import decode_rle
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset
from pixelwise.io.headers import MAX_PIXELS

NAME = "Segment Anything (SA-1B)"


def recognise(root: Path) -> bool:
    """Return whether a folder has files with one image and its masks."""
    return any(_is_masks(path) for path in content.find_files(root, ".json", some=20))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the masks of all images as objects."""
    index = ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    missing: list[str] = []
    files = [path for path in content.find_files(root, ".json") if _is_masks(path)]
    pixels = 0
    for path in files:
        document = content.read_json(path)
        record = content.field(document, "image", dict, "the file", path)
        name = content.field(record, "file_name", str, "`image`", path)
        image = index.find(name, path.parent)
        if image is None:
            missing.append(name)
            continue
        shapes = _read_masks(document, record, path)
        pixels += sum(shape.bitmap.pixels.size for shape in shapes.shapes if shape.bitmap is not None)
        if pixels > MAX_PIXELS:
            raise BadDataset(f"at most {MAX_PIXELS:,} pixels in the masks of a set", "more", "Split the set.", path)
        split = split_of(image.relative_to(root).parts[:-1])
        found[image] = FoundImage(image=image, annotation=shapes, split=split)
    messages = report_missing(missing, len(files), root, options)
    text = "Each mask is an object; of masks within one another the smaller one counts."
    return AnnotatedSet(
        format=NAME, images=name_images(root, list(found.values())), instances=True, messages=(text, *messages)
    )


def _is_masks(path: Path) -> bool:
    text = content.read_ends(path)
    return text.startswith("{") and all(
        key in text for key in ('"image":', '"annotations"', '"segmentation"', '"counts"')
    )


def _read_masks(document: Any, record: Any, path: Path) -> Shapes:
    """Return the masks of an image, the largest first."""
    height, width = (content.field(record, key, int, "`image`", path) for key in ("height", "width"))
    if min(height, width) < 1:
        content.refuse("a positive size", min(height, width), "`image`", path)
    regions = [
        decode_rle(
            content.field(member, "segmentation", dict, f"annotations[{i}]", path).get("counts"),
            (height, width),
            f"annotations[{i}].segmentation",
            path,
        )
        for i, member in enumerate(content.field(document, "annotations", list, "the file", path))
    ]
    regions.sort(key=lambda region: -int(region.pixels.sum()))
    shapes = tuple(Shape(bitmap=region) for region in regions if region.pixels.size)
    return Shapes(shapes=shapes, source=path, size=(height, width))
