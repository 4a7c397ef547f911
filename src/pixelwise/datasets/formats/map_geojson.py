"""GeoJSON of a map: polygons in longitude and latitude, or in a projected CRS, beside GeoTIFF images of equal names.

Source: RFC 7946, whose coordinates are longitude and latitude of WGS84; the member ``crs`` of GeoJSON 2008, which it
replaced, names another CRS.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats.image_index import ImageIndex, name_indexed_images, split_of
from pixelwise.datasets.formats.json_content import field, find_files, read_ends, read_json
from pixelwise.datasets.formats.qupath import read_rings
from pixelwise.datasets.formats.qupath import recognise as is_qupath
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.edges import divide_edges
from pixelwise.errors import BadDataset, PixelwiseError
from pixelwise.io.georeference import Georeference
from pixelwise.io.map_crs import WGS84, parse_crs, read_crs, reproject
from pixelwise.io.read import ReadOptions, read_place
from pixelwise.text import pluralise

_CLASS_KEYS = ("class", "class_name", "classname", "label", "category", "name", "type")
_DEFAULT_CLASS = "object"


@dataclass(frozen=True, kw_only=True)
class _Feature:
    """Polygons in the coordinates of their file, with the properties of their object."""

    rings: tuple[np.ndarray, ...]
    properties: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """An image with the features of its file, and the CRS of these; None: that of the image."""

    place: Georeference
    size: tuple[int, int]
    source: Path
    features: tuple[_Feature, ...]
    crs: str | None


def recognise(root: Path) -> bool:
    """Return whether a folder contains GeoJSON that is not QuPath's, with a GeoTIFF of its name."""
    files = [path for path in find_files(root, ".geojson", some=3) if _is_map(path)]
    if not files or is_qupath(root):
        return False
    index = ImageIndex(root)
    return any(_find_scene(index, path) is not None for path in files)


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the polygons of each image, moved onto its grid; what no polygon covers is background.

    Raises
    ------
    BadDataset
        A file is not GeoJSON, a CRS is unknown, or no polygon lies on its image.
    BadOption
        The libraries for maps are not installed.
    """
    index = ImageIndex(root)
    left_out: Counter[str] = Counter()
    scenes: dict[Path, _Scene] = {}
    for path in filter(_is_map, find_files(root, ".geojson")):
        image = _find_scene(index, path)
        if image is None:
            left_out["GeoJSON file without a GeoTIFF of its name"] += 1
        else:
            scenes[image] = _read_scene(image, path, options, left_out)
    if not scenes:
        expected = "a GeoTIFF with the name of each GeoJSON file, such as a.tif and a.geojson"
        raise BadDataset(expected, "none", "Add the images.", root)
    everything = [feature for scene in scenes.values() for feature in scene.features]
    key = _class_key(everything)
    shapes = {image: _place_features(scene, key) for image, scene in scenes.items()}
    _check_places(scenes, shapes, root)
    classes = tuple(sorted({shape.class_name for found in shapes.values() for shape in found.shapes}))
    instances = options.task == "instance"
    return AnnotatedSet(
        format="GeoJSON of maps",
        images=name_indexed_images(index, shapes),
        classes=() if instances else classes,
        instances=instances,
        messages=_describe(scenes, key, classes, left_out),
    )


def _is_map(path: Path) -> bool:
    return '"type":"Feature' in "".join(read_ends(path)[:4096].split())


def _find_scene(index: ImageIndex, path: Path) -> Path | None:
    """Return the GeoTIFF with the name of a GeoJSON file; None if there is none, or one without coordinates."""
    split = split_of(path.relative_to(index.root).parts[:-1])
    image = index.find(f"{path.stem}.tif", path.parent, split, by_stem=True)
    if image is None:
        return None
    try:
        place, _ = read_place(image)
    except PixelwiseError:
        return None  # reported when the image is read
    return image if place is not None and place.transform is not None else None


def _read_scene(image: Path, path: Path, options: DataOptions, left_out: Counter[str]) -> _Scene:
    place, size = read_place(image, ReadOptions(exif="ignore" if options.exif == "ignore" else "apply"))
    content = read_json(path)
    stated = _stated_crs(content, path)
    records = [content]
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        records = field(content, "features", list, "the collection", path)
    features = tuple(_read_features(records, path, left_out))
    if place is None or place.transform is None:
        raise BadDataset("a GeoTIFF with a regular grid", "an image without", "Give it coordinates.", image)
    return _Scene(place=place, size=size, source=path, features=features, crs=stated or _implied_crs(features))


def _stated_crs(content: Any, path: Path) -> str | None:
    """Return the name in the member ``crs``; None without it."""
    if not isinstance(content, dict) or content.get("crs") is None:
        return None
    properties = field(field(content, "crs", dict, "the file", path), "properties", dict, "the crs", path)
    return field(properties, "name", str, "the crs", path)


def _implied_crs(features: Sequence[_Feature]) -> str | None:
    """Return WGS84 if all coordinates can be degrees; None, the CRS of the image, if they cannot."""
    points = np.concatenate([np.zeros((1, 2)), *(ring for feature in features for ring in feature.rings)])
    return WGS84 if bool((np.abs(points) <= (180, 90)).all()) else None


def _read_features(records: Sequence[Any], path: Path, left_out: Counter[str]) -> Iterator[_Feature]:
    for number, record in enumerate(records, 1):
        where = f"feature {number}"
        geometry = field(record, "geometry", dict, where, path, {})
        rings = tuple(read_rings(geometry, where, path, left_out, 0))
        if rings:
            yield _Feature(rings=rings, properties=field(record, "properties", dict, where, path, {}))


def _class_key(features: Sequence[_Feature]) -> str | None:
    """Return the property that holds the class: the first of the usual names that all features have."""
    shared = [set(feature.properties) for feature in features]
    common = set.intersection(*shared) if shared else set()
    by_name = {key.casefold(): key for key in sorted(common)}
    return next((by_name[key] for key in _CLASS_KEYS if key in by_name), None)


def _place_features(scene: _Scene, key: str | None) -> Shapes:
    """Return the features in pixels of their image, large ones first: of two that overlap the smaller is on top."""
    target = read_crs(scene.place)
    source = target if scene.crs is None else parse_crs(scene.crs)
    if source is None:
        hint = "Assign a CRS to the image, or give the polygons in that of the image."
        raise BadDataset("a known CRS of image and polygons", scene.crs or "none", hint, scene.source)
    placed = [
        Shape(
            class_name=_DEFAULT_CLASS if key is None else str(feature.properties[key]),
            rings=tuple(_to_pixels(ring, scene, source, target or source) for ring in feature.rings),
        )
        for feature in scene.features
    ]
    return Shapes(shapes=tuple(sorted(placed, key=lambda shape: -shape.extent)), source=scene.source)


def _to_pixels(ring: np.ndarray, scene: _Scene, source: Any, target: Any) -> np.ndarray:
    in_pixels = scene.place.find(reproject(ring, source, target))
    if not np.isfinite(in_pixels).all():
        hint = "Check the CRS of the polygons and of the image."
        raise BadDataset(f"polygons inside the area of {target.name}", "some outside", hint, scene.source)
    limit = 4.0 * max(scene.size)  # far outside no precision is needed
    if len(ring) and np.abs(np.diff(in_pixels, axis=0)).max(initial=0.0) < limit:
        return scene.place.find(reproject(divide_edges(ring, in_pixels), source, target))
    return in_pixels


def _check_places(scenes: dict[Path, _Scene], shapes: dict[Path, Shapes], root: Path) -> None:
    """Raise `BadDataset` if there are polygons, and none of them touches its image."""
    touching = [_touches(shape, scenes[image].size) for image, found in shapes.items() for shape in found.shapes]
    if touching and not any(touching):
        got = f"{pluralise(len(touching), 'polygon')}, all beside their images"
        hint = "Check the CRS of the polygons: without the member crs they are in degrees, or in the CRS of the image."
        raise BadDataset("polygons on their images", got, hint, root)


def _touches(shape: Shape, size: tuple[int, int]) -> bool:
    points = np.concatenate(shape.rings)
    low, high = points.min(0), points.max(0)
    return bool((high > 0).all() and low[0] < size[1] and low[1] < size[0])


def _describe(
    scenes: dict[Path, _Scene], key: str | None, classes: Sequence[str], left_out: Counter[str]
) -> tuple[str, ...]:
    systems = Counter("that of the image" if scene.crs is None else scene.crs for scene in scenes.values())
    named = ", ".join(f"{name} ({pluralise(count, 'file')})" for name, count in systems.items())
    kinds = f"the property `{key}` ({', '.join(classes[:10])})" if key is not None else "one, no property names it"
    return (
        f"GeoJSON polygons were moved onto the grids of {pluralise(len(scenes), 'image')}; their CRS: {named}.",
        f"Classes of the polygons: {kinds}; they are regions, or objects with --task instance.",
        *(f"{pluralise(count, 'entry')} left out: {kind}." for kind, count in left_out.items()),
    )
