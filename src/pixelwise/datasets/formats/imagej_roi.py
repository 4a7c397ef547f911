"""ImageJ regions of interest: a ROI set, or one ROI, beside each image.

Source: ImageJ, ij/io/RoiDecoder.java, read with roifile. Areas are in pixels from the top left corner of the image.
"""

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats.image_index import ImageIndex, name_indexed_images, split_of
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.formats.qupath import IGNORE_CLASS
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import MAX_COORDINATE
from pixelwise.datasets.shapes.trace import signed_area
from pixelwise.errors import BadDataset, needs_extra, printable
from pixelwise.text import pluralise

CLASS = "class"  # the property of a region that names its class
# What zipfile raises on damaged archives; NotImplementedError is a RuntimeError.
_DAMAGE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
_MAX_REGIONS = 1_000_000
_MAX_BYTES = 1 << 30  # of all regions of a set, unpacked
_MAX_REGION = 1 << 25  # bytes of one region: four million points
_NAME = re.compile(r"(?i)[_ -]*roi[_ -]?s(?:ets?)?|[_ -]*rois?$|roi[_ -]*set[_ -]*")
_CIRCLE = np.linspace(0, 2 * np.pi, 256, endpoint=False)


def roi_library() -> ModuleType:
    """Import `roifile`.

    Raises
    ------
    BadOption
        It is not installed.
    """
    with needs_extra("roifile", "ImageJ regions", "imagej"):
        import roifile
    return roifile


def recognise(root: Path) -> bool:
    """Return whether a folder contains ROI sets, or single ROI files, of ImageJ."""
    return any(_is_roi_file(path) for path in _roi_files(root, some=3))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the regions of each image: ``NAME.zip``, ``NAME_rois.zip``, ``NAME_RoiSet.zip``, ``NAME.roi``.

    Those of the class ``Ignore*`` are excluded from loss and scores, as in QuPath.

    Regions are objects, unless they are of several classes (by the property "class", else by ImageJ's group), or one
    composite region in each image.

    Raises
    ------
    BadDataset
        A file is damaged or too large, or fits no image.
    BadOption
        `roifile` is not installed.
    """
    index = ImageIndex(root)
    shapes: dict[Path, Shapes] = {}
    groups: dict[str, int] = {}
    left_out: Counter[str] = Counter()
    for path in _roi_files(root):
        if not _is_roi_file(path):
            continue
        image = _image_of(path, index)
        if image is None:
            expected = "an image with the name of each ROI file, such as a.tif and a_rois.zip"
            raise BadDataset(expected, f"none for {printable(path.name)}", "Rename the file.", path)
        if image in shapes:
            both = f"{printable(shapes[image].source.name)} and {printable(path.name)}"
            raise BadDataset("one ROI file per image", f"{both} for {printable(image.name)}", "Keep one.", path)
        shapes[image] = Shapes(shapes=tuple(_read_regions(path, groups, left_out)), source=path)
    names = sorted(groups, key=lambda name: (groups[name], natural_key(name)))
    instances = options.task == "instance"
    if options.task == "auto":
        instances = len(names) < 2 and _are_objects(shapes.values())
    if names and not instances:
        shapes = {image: _with_class(found, left_out) for image, found in shapes.items()}
    messages = [f"{pluralise(count, 'region')} left out: {reason}." for reason, count in left_out.items()]
    if options.task == "auto":
        kind = "objects: task instance" if instances else f"areas of {pluralise(max(1, len(names)), 'class')}"
        messages.append(f"ImageJ regions are {kind} (--task).")
    return AnnotatedSet(
        format="ImageJ ROI",
        images=name_indexed_images(index, shapes),
        classes=tuple(names),
        instances=instances,
        messages=tuple(messages),
    )


def _are_objects(found: Iterable[Shapes]) -> bool:
    """Return whether regions of one class are objects; one composite region in each image is an area."""
    counts = [[_parts(shape) for shape in shapes.shapes if not shape.ignore] for shapes in found]
    return any(len(parts) > 1 for parts in counts) or all(part < 2 for parts in counts for part in parts)


def _parts(shape: Shape) -> int:
    """Return the number of outer rings: those that run as the largest one; holes run the other way."""
    areas = [signed_area(ring) for ring in shape.rings]
    largest = max(areas, key=abs, default=0.0)
    return sum(area * largest > 0 for area in areas)


def _with_class(found: Shapes, left_out: Counter[str]) -> Shapes:
    """Return the shapes of a class: between classes a region without one has no meaning."""
    kept = tuple(shape for shape in found.shapes if shape.class_name)
    if len(kept) < len(found.shapes):
        left_out["without a class"] += len(found.shapes) - len(kept)
    return replace(found, shapes=kept)


def _roi_files(root: Path, some: int | None = None) -> Iterator[Path]:
    for suffix in (".zip", ".roi"):
        yield from find_files(root, suffix, some=some)


def _is_roi_file(path: Path) -> bool:
    """Return whether a file is a ROI, or a zip archive of ROIs."""
    try:
        if path.suffix.casefold() == ".roi":
            with path.open("rb") as file:
                return file.read(4) == b"Iout"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        empty = not names and _NAME.search(path.stem) is not None  # of an image without objects
        return empty or any(name.casefold().endswith(".roi") for name in names[:20])
    except _DAMAGE:
        return False


def _image_of(path: Path, index: ImageIndex) -> Path | None:
    """Return the image of a ROI file: by its name without the word ROI, or the only image of its folder."""
    split = split_of(path.relative_to(index.root).parts[:-1])
    for name in (path.stem, _NAME.sub("", path.stem)):
        image = index.find(name, path.parent, split) or index.find(f"{name}.png", path.parent, split, by_stem=True)
        if image is not None:
            return image
    beside = [image for image in index.files if image.parent == path.parent]
    return beside[0] if len(beside) == 1 else None


def _read_regions(path: Path, groups: dict[str, int], left_out: Counter[str]) -> Iterator[Shape]:
    """Yield the areas of a file; `groups` receives the group of each class."""
    library = roi_library()
    for number, (name, content) in enumerate(_contents(path), 1):
        try:
            roi = library.ImagejRoi.frombytes(content)
            rings = _rings(library, roi)
        # on damaged files roifile raises ValueError, struct.error, IndexError and others
        except Exception as error:
            raise BadDataset("an ImageJ ROI", f"a damaged one, {printable(name)}", "Save it again.", path) from error
        if rings is None:
            left_out["lines and points have no area"] += 1
        elif max(roi.position, roi.z_position, roi.t_position) > 1:
            left_out["on another slice of a stack"] += 1
        elif not all(np.all(np.abs(ring) <= MAX_COORDINATE) for ring in rings):
            got = f"values out of range in region {number}, {printable(name)}"
            raise BadDataset("coordinates in pixels", got, "Remove the region.", path)
        else:
            name = _class_name(roi)
            ignore = name.casefold() == IGNORE_CLASS.casefold()
            if name and not ignore:
                groups.setdefault(name, roi.group)
            yield Shape(class_name=name, rings=rings, ignore=ignore)


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each region of a file."""
    if path.suffix.casefold() == ".roi":
        _check_region(path.stat().st_size, path)
        yield path.name, path.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.casefold().endswith(".roi")]
            size = sum(entry.file_size for entry in entries)
            if len(entries) > _MAX_REGIONS or size > _MAX_BYTES:
                got = f"{len(entries):,} regions of {size:,} bytes"
                raise BadDataset("at most 1,000,000 regions of 1 GB", got, "Split the set.", path)
            _check_region(max((entry.file_size for entry in entries), default=0), path)
            for entry in entries:
                yield entry.filename, archive.read(entry)
    except _DAMAGE as error:
        raise BadDataset("a ROI set of ImageJ", "a damaged zip file", "Save it again.", path) from error


def _check_region(size: int, path: Path) -> None:
    if size > _MAX_REGION:
        raise BadDataset(f"regions of at most {_MAX_REGION >> 20} MB", f"{size:,} bytes", "Simplify it.", path)


def _rings(library: Any, roi: Any) -> tuple[np.ndarray, ...] | None:
    """Return the outlines of an area; None for a line or points."""
    kinds = library.ROI_TYPE
    if roi.roitype == kinds.RECT and not roi.composite:
        left, top, right, bottom = _bounds(roi)
        return (np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float),)
    if roi.roitype == kinds.OVAL:
        left, top, right, bottom = _bounds(roi)
        x = (left + right) / 2 + (right - left) / 2 * np.cos(_CIRCLE)
        y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(_CIRCLE)
        return (np.stack([x, y], axis=1),)
    if roi.composite or roi.roitype in (kinds.POLYGON, kinds.FREEHAND, kinds.TRACED):
        rings = tuple(_open(np.asarray(ring, np.float64)) for ring in roi.coordinates(multi=True))
        return rings if any(len(ring) > 2 for ring in rings) else None
    return None


def _open(ring: np.ndarray) -> np.ndarray:
    """Return a ring without a last point that repeats the first."""
    return ring[:-1] if len(ring) > 1 and np.array_equal(ring[0], ring[-1]) else ring


def _bounds(roi: Any) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a rectangle or an ellipse."""
    if roi.subpixelrect:
        return roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    return float(roi.left), float(roi.top), float(roi.right), float(roi.bottom)


def _class_name(roi: Any) -> str:
    name = roi.properties.get(CLASS)
    if name is not None:
        return str(name)
    return f"group_{roi.group}" if roi.group else ""
