"""Pascal VOC: masks with a palette, and lists of the images of each split (VOC2012 development kit, section 3).

Indices are class or object numbers, 255 is void. Class names come from ``labelmap.txt`` (CVAT), ``class_names.txt``
(Labelme) or the lists in ``ImageSets/Main``. With a label map, masks may also hold its colours.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pixelwise.atomic_write import atomic_write_text, new_folder
from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.formats.image_index import SPLITS, FoundImage, name_images
from pixelwise.datasets.formats.output_folder import objects_of, place_images
from pixelwise.datasets.masks.class_table import Entry, parse_table
from pixelwise.datasets.masks.values import packed
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Colour, Split
from pixelwise.datasets.shapes.rasterise import is_background, rasterise
from pixelwise.datasets.shapes.vectorise import to_shapes
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.read import SUFFIXES, probe
from pixelwise.io.write import write_mask
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT
from pixelwise.text import pluralise

NAME = "Pascal VOC"
# SBD adds SegmentationClassAug to the folders of VOC2012
_CLASS_FOLDERS = ("SegmentationClassAug", "SegmentationClass", "SegmentationClassPNG", "SegmentationClassRaw")
_OBJECT_FOLDERS = ("SegmentationObject", "SegmentationObjectPNG")
_IMAGE_FOLDERS = ("JPEGImages", "Images", "images")
_VOID_COLOUR = 224 << 16 | 224 << 8 | 192
_MAX_BYTES = 64 << 20  # of a list of names
_DEPTH = 2  # VOCdevkit/VOC2012


def recognise(root: Path) -> bool:
    """Return whether a folder contains VOC masks beside images."""
    return _find_base(root) is not None


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read a Pascal VOC folder; object masks with ``task="instance"``, or if there are no others.

    Raises
    ------
    BadDataset
        A list names an image or mask that does not exist.
    """
    base = _find_base(root)
    if base is None:
        raise BadDataset("SegmentationClass and JPEGImages", "other folders", "Check the path.", root)
    classes, objects = _folder(base, _CLASS_FOLDERS), _folder(base, _OBJECT_FOLDERS)
    as_objects = objects is not None and (classes is None or options.task == "instance")
    folder = objects if as_objects else classes
    if folder is None:
        raise BadDataset("SegmentationClass", "no such folder", "Check the path.", base)
    images = {path.relative_to(path_root).with_suffix("").as_posix(): path for path_root, path in _images(base)}
    masks = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.png"))}
    splits = _read_splits(base, images, masks)
    messages: list[str] = []
    if classes is not None and objects is not None:
        other = ("SegmentationClass", "multiclass") if as_objects else ("SegmentationObject", "instance")
        messages.append(f"Masks are read from {folder.name}; {other[0]} exists too (--task {other[1]}).")
    names = [name for name in masks if name in images and (not splits or name in splits)]
    messages += _describe_unused(images, masks, names)
    if not names:
        raise BadDataset("masks with the names of images", "none", "Check the folders.", base)
    found = [
        FoundImage(image=images[name], annotation=MaskFile(path=masks[name]), split=splits.get(name)) for name in names
    ]
    entries = [] if as_objects else _read_classes(base)
    coloured = not as_objects and any(_is_coloured(masks[name]) for name in names[:5])
    colours = tuple(entry.colour for entry in entries if entry.colour is not None)
    values = tuple(entry.value for entry in entries if entry.value is not None)
    return AnnotatedSet(
        format=NAME,
        images=name_images(root, found),
        classes=tuple(entry.name for entry in entries),
        values=tuple(map(packed, colours)) if coloured else values,
        colours=colours if coloured else (),
        ignore_value=_VOID_COLOUR if coloured else IGNORE,
        instances=as_objects,
        messages=tuple(messages),
    )


def write(dataset: AnnotatedSet, out: Path) -> tuple[str, ...]:
    """Write a data set as a new folder of images, class masks, object masks if there are objects, and lists.

    Parameters and result are those of `coco.write`: what VOC cannot express.

    Raises
    ------
    BadDataset
        More than 254 classes, or objects in an image.
    """
    messages: list[str] = []
    overlapping = 0
    stems = [image.name.removeprefix(f"{image.split}/").casefold() for image in dataset.images]
    nested = len(set(stems)) < len(stems)
    with new_folder(out) as folder:
        images = folder / "JPEGImages"
        placed = place_images(dataset, folder, lambda s: f"JPEGImages/{s}" if nested and s else "JPEGImages", messages)
        lists: dict[str, list[str]] = {}
        for image, path in placed:
            name = path.relative_to(images).with_suffix("").as_posix()
            lists.setdefault(image.split or "default", []).append(name)
            overlapping += _write_masks(folder, name, image, dataset)
        for split, members in lists.items():
            atomic_write_text(folder / f"ImageSets/Segmentation/{split}.txt", "".join(f"{name}\n" for name in members))
        atomic_write_text(folder / "labelmap.txt", _label_map(dataset.classes or ("object",)))
    if overlapping:
        messages.append(f"Overlapping objects in {pluralise(overlapping, 'image')}: the covered parts are lost.")
    return tuple(messages)


def voc_palette(count: int = 256) -> tuple[Colour, ...]:
    """Return the colours of the VOC palette: the bits of an index, spread over red, green and blue.

    Examples
    --------
    >>> voc_palette(4)
    ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    colours: list[Colour] = []
    for index in range(count):
        red, green, blue = (
            sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)
        )
        colours.append((red, green, blue))
    return tuple(colours)


def _write_masks(folder: Path, name: str, image: AnnotatedImage, dataset: AnnotatedSet) -> bool:
    """Write the masks of an image; return whether objects overlap."""
    shapes = to_shapes(image, dataset)
    size, members = objects_of(image, dataset)
    palette = voc_palette()
    classes = rasterise(shapes, size, dataset.classes, "multiclass")
    write_mask(folder / f"SegmentationClass/{name}.png", classes.astype(np.uint8), palette)
    if not dataset.instances:
        return False
    objects = rasterise(shapes, size, dataset.classes, "instance")
    if objects.max(initial=0) >= IGNORE:
        got, hint = f"{objects.max()}", "Use another format, such as COCO."
        raise BadDataset(f"at most {IGNORE - 1} objects in an image", got, hint, image.image)
    objects[objects == IGNORE_OBJECT] = IGNORE
    write_mask(folder / f"SegmentationObject/{name}.png", objects.astype(np.uint8), palette)
    covered = sum(int(member.region.pixels.sum()) for member in members if not member.ignore)
    return covered > int(((objects > 0) & (objects != IGNORE)).sum())


def _label_map(classes: Sequence[str]) -> str:
    colours = voc_palette(len(classes) + 1)
    rows = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(("background", *classes), colours, strict=True)]
    return "\n".join(["# label:color_rgb:parts:actions", *rows, ""])


def _find_base(root: Path) -> Path | None:
    """Return the folder that contains the mask folders, `root` or one at most two levels below."""
    level = [root]
    for _ in range(_DEPTH + 1):
        for base in level:
            masks = _folder(base, (*_CLASS_FOLDERS, *_OBJECT_FOLDERS))
            if masks is not None and _folder(base, _IMAGE_FOLDERS) is not None:
                return base
        level = [path for base in level for path in sorted(base.iterdir()) if path.is_dir()][:100]
    return None


def _folder(base: Path, names: Sequence[str]) -> Path | None:
    """Return the first of the folders that exists; Labelme puts arrays, which are no masks, into one of them."""
    found = [base / name for name in names if (base / name).is_dir()]
    return next((folder for folder in found if not any(folder.glob("*.npy"))), found[0] if found else None)


def _images(base: Path) -> Iterator[tuple[Path, Path]]:
    folder = _folder(base, _IMAGE_FOLDERS) or base
    for path in sorted(folder.rglob("*")):
        if path.name.casefold().endswith(SUFFIXES) and not path.name.startswith("."):
            yield folder, path


def _read_splits(base: Path, images: dict[str, Path], masks: dict[str, Path]) -> dict[str, Split]:
    """Return the split of every image in the lists train, val and test; empty without such lists."""
    splits: dict[str, Split] = {}
    for split in SPLITS:
        path = base / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            continue
        for line in path.read_text("utf-8-sig", "replace").splitlines():
            name = line.strip()
            if not name or (split == "test" and name not in masks):
                continue  # the masks of the test split of VOC are not public
            for kind, files in (("an image", images), ("a mask", masks)):
                if name not in files:
                    hint = "Add it, or remove its line."
                    raise BadDataset(f"{kind} for every line", f"none for {printable(name)}", hint, path)
            splits.setdefault(name, split)
    return splits


def _read_classes(base: Path) -> list[Entry]:
    """Return the classes of class masks with their values, without the background; empty if unknown."""
    table = base / "labelmap.txt"
    if table.is_file() and table.stat().st_size < 1 << 20:
        try:
            listed = parse_table(table.read_text("utf-8-sig", "replace"))
        except ValueError as error:
            hint = "Write a line `name:r,g,b::` per class."
            raise BadDataset("a label map", str(error), hint, table) from error
        numbered = [Entry(name=e.name, value=i, colour=e.colour) for i, e in enumerate(listed)]
        return [entry for entry in numbered if not is_background(entry.name)]
    names = base / "class_names.txt"
    if names.is_file() and names.stat().st_size < 1 << 20:
        lines = names.read_text("utf-8-sig", "replace").split()
        first = 1 if lines[:1] == ["__ignore__"] else 0
        return [Entry(name=n, value=i) for i, n in enumerate(lines[first:]) if not is_background(n)]
    main = base / "ImageSets" / "Main"
    found = sorted(path.stem.removesuffix("_train") for path in main.glob("*_train.txt")) if main.is_dir() else []
    return [Entry(name=name, value=value) for value, name in enumerate(found, start=1)]


def _is_coloured(path: Path) -> bool:
    try:
        info = probe(path)
    except BadImage:  # reported with all others when the masks are read
        return False
    return info.channels == 3 and not info.palette


def _describe_unused(images: dict[str, Path], masks: dict[str, Path], used: Sequence[str]) -> Iterator[str]:
    without = sum(name not in masks for name in images)
    if without:
        yield f"{pluralise(without, 'image')} without a mask: left out."
    unlisted = sum(name in images for name in masks) - len(used)
    if unlisted:
        yield f"{pluralise(unlisted, 'mask')} in no list of ImageSets/Segmentation: left out."
    orphans = sum(name not in images for name in masks)
    if orphans:
        yield f"{pluralise(orphans, 'mask')} without an image: left out."
