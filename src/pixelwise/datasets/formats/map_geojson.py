"""Vectors of maps: GeoJSON or GeoPackage beside GeoTIFF images of equal names, or one file for all images.

Sources: RFC 7946, whose coordinates are longitude and latitude of WGS84; the member ``crs`` of GeoJSON 2008, which it
replaced, names another CRS; `shapes.geopackage`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats.image_index import ImageIndex, name_indexed_images, split_of
from pixelwise.datasets.formats.json_content import field, find_files, read_ends, read_json
from pixelwise.datasets.formats.qupath import read_rings
from pixelwise.datasets.formats.qupath import recognise as is_qupath
from pixelwise.datasets.naming.folder_names import read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.edges import divide_edges
from pixelwise.datasets.shapes.geopackage import read_geopackage
from pixelwise.errors import BadDataset, PixelwiseError, printable
from pixelwise.io.georeference import Georeference
from pixelwise.io.map_crs import WGS84, parse_crs, read_crs, reproject
from pixelwise.io.read import ReadOptions, read_place
from pixelwise.text import pluralise

_CLASS_KEYS = ("class", "class_name", "classname", "label", "category", "name", "type", "layer")
_SHARED = 3  # files for several images: one, or one per split
_DEFAULT_CLASS = "object"


@dataclass(frozen=True, kw_only=True)
class _Feature:
    """Polygons with the properties of their object, and their CRS; None: that of the image."""

    rings: tuple[np.ndarray, ...]
    properties: dict[str, Any]
    crs: str | None


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """An image with the features of its file, or of a file of several images."""

    place: Georeference
    size: tuple[int, int]
    source: Path
    features: tuple[_Feature, ...]


def recognise(root: Path) -> bool:
    """Return whether a folder contains vectors that are not QuPath's, with a GeoTIFF of their name, or for all images.

    Files of other names hold the polygons of all images if there are at most three, every image is a GeoTIFF, and no
    folder is one of masks.
    """
    files = list(_find_vectors(root, some=3))
    if not files or is_qupath(root):
        return False
    index = ImageIndex(root)
    if any(_find_scene(index, path) is not None for path in files):
        return True
    parts = {part for image in index.files for part in image.relative_to(root).parts[:-1]}
    masked = any(read_folder_name(part)[1] == "mask" for part in parts)
    some = index.files[:: max(1, len(index.files) // 3)]
    return len(files) <= _SHARED and bool(some) and not masked and all(_is_placed(image) for image in some)


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the polygons of each image, moved onto its grid; what no polygon covers is background.

    Raises
    ------
    BadDataset
        A file is damaged, a CRS is unknown, or no polygon lies on its image.
    BadOption
        The libraries for maps are not installed.
    """
    index = ImageIndex(root)
    left_out: Counter[str] = Counter()
    scenes: dict[Path, _Scene] = {}
    shared: dict[Path, tuple[_Feature, ...]] = {}
    for path in _find_vectors(root):
        image, features = _find_scene(index, path), _read_file(path, left_out)
        if image is None:
            shared[path] = features
        else:
            scenes[image] = _scene_of(image, path, features, options)
    for path, features in shared.items():
        found = _share(index, path, features, options, [image for image in index.files if image not in scenes])
        scenes |= found
        if not found:
            left_out["file without a GeoTIFF of its name or at its place"] += 1
    if not scenes:
        expected = "a GeoTIFF with the name of each vector file, such as a.tif and a.geojson, or below its polygons"
        raise BadDataset(expected, "none", "Add the images, or check the CRS of the polygons.", root)
    everything = [feature for scene in scenes.values() for feature in scene.features]
    key = _class_key(everything)
    shapes = {image: _place_features(scene, key) for image, scene in scenes.items()}
    _check_places(scenes, shapes, root)
    classes = tuple(sorted({shape.class_name for found in shapes.values() for shape in found.shapes}))
    instances = options.task == "instance"
    return AnnotatedSet(
        format="GeoJSON of maps"
        if not any(_is_geopackage(scene.source) for scene in scenes.values())
        else "GeoPackage",
        images=name_indexed_images(index, shapes),
        classes=() if instances else classes,
        instances=instances,
        messages=_describe(scenes, key, classes, left_out),
    )


def _find_vectors(root: Path, some: int | None = None) -> Iterator[Path]:
    yield from (path for path in find_files(root, ".geojson", some=some) if _is_map(path))
    yield from (path for path in find_files(root, ".gpkg", some=some) if _is_geopackage(path))


def _is_map(path: Path) -> bool:
    return '"type":"Feature' in "".join(read_ends(path)[:4096].split())


def _is_geopackage(path: Path) -> bool:
    return read_ends(path).startswith("SQLite format 3\0")


def _find_scene(index: ImageIndex, path: Path) -> Path | None:
    """Return the GeoTIFF with the name of a file; None if there is none, or one without coordinates."""
    split = split_of(path.relative_to(index.root).parts[:-1])
    image = index.find(f"{path.stem}.tif", path.parent, split, by_stem=True)
    return image if image is not None and _is_placed(image) else None


def _is_placed(image: Path) -> bool:
    try:
        place, _ = read_place(image)
    except PixelwiseError:
        return False  # reported when the image is read
    return place is not None and place.transform is not None


def _scene_of(image: Path, path: Path, features: tuple[_Feature, ...], options: DataOptions) -> _Scene:
    place, size = read_place(image, ReadOptions(exif="ignore" if options.exif == "ignore" else "apply"))
    if place is None or place.transform is None:
        raise BadDataset("a GeoTIFF with a regular grid", "an image without", "Give it coordinates.", image)
    return _Scene(place=place, size=size, source=path, features=features)


def _share(
    index: ImageIndex, path: Path, features: tuple[_Feature, ...], options: DataOptions, images: Sequence[Path]
) -> dict[Path, _Scene]:
    """Return the images that lie within the box of the polygons of a file, each with the polygons that touch it.

    A file in the folder of a split is for the images of this split.
    """
    split = split_of((*path.relative_to(index.root).parts[:-1], path.stem))
    boxes: dict[str, np.ndarray] = {}
    found: dict[Path, _Scene] = {}
    for image in filter(_is_placed, images):
        if split not in (None, split_of(image.relative_to(index.root).parts[:-1])):
            continue
        scene = _scene_of(image, path, (), options)
        key = repr(scene.place.crs)
        if key not in boxes:
            boxes[key] = np.array([_box(feature, scene) for feature in features]).reshape(-1, 4)
        corners = np.array([(0, 0), (scene.size[1], 0), (0, scene.size[0]), scene.size[::-1]], np.float64)
        low, high = (reduce(scene.place.locate(corners), axis=0) for reduce in (np.min, np.max))
        near = (boxes[key][:, :2] < high).all(1) & (boxes[key][:, 2:] > low).all(1)
        whole = boxes[key][:, :2].min(0), boxes[key][:, 2:].max(0)
        if (whole[0] < high).all() and (whole[1] > low).all():
            chosen = tuple(feature for feature, touches in zip(features, near, strict=True) if touches)
            found[image] = replace(scene, features=chosen)
    return found


def _box(feature: _Feature, scene: _Scene) -> list[float]:
    """Return the ends of a feature in the CRS of a scene: x and y of the lower, then of the upper corner."""
    target = read_crs(scene.place)
    source = target if feature.crs is None else parse_crs(feature.crs)
    points = np.concatenate(feature.rings)
    moved = reproject(points, source, target) if source is not None and target is not None else points
    return [*moved.min(0).tolist(), *moved.max(0).tolist()]


def _read_file(path: Path, left_out: Counter[str]) -> tuple[_Feature, ...]:
    if path.suffix.casefold() == ".gpkg":
        layers = [layer for layer in read_geopackage(path, left_out) if layer.rows]
        named = ["layer"] if len(layers) > 1 else []
        return tuple(
            _Feature(rings=row.rings, properties={**dict.fromkeys(named, layer.name), **row.properties}, crs=layer.crs)
            for layer in layers
            for row in layer.rows
        )
    content = read_json(path)
    records = [content]
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        records = field(content, "features", list, "the collection", path)
    features = list(_read_features(records, path, left_out))
    crs = _stated_crs(content, path) or _implied_crs(features)
    return tuple(replace(feature, crs=crs) for feature in features)


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
            properties = field(record, "properties", dict, where, path, {})
            yield _Feature(rings=rings, properties=properties, crs=None)


def _class_key(features: Sequence[_Feature]) -> str | None:
    """Return the property that holds the class: the first of the usual names that all features have."""
    shared = [{key for key, value in one.properties.items() if value is not None} for one in features]
    common = set.intersection(*shared) if shared else set()
    by_name = {key.casefold(): key for key in sorted(common)}
    return next((by_name[key] for key in _CLASS_KEYS if key in by_name), None)


def _place_features(scene: _Scene, key: str | None) -> Shapes:
    """Return the features in pixels of their image, large ones first: of two that overlap the smaller is on top."""
    target, known = read_crs(scene.place), {crs: parse_crs(crs) for feature in scene.features if (crs := feature.crs)}
    source = {None: target, **known}
    if None in (lacking := {feature.crs: source[feature.crs] for feature in scene.features}).values():
        hint = "Assign a CRS to the image, or give the polygons in that of the image."
        unknown = next(crs for crs, found in lacking.items() if found is None)
        raise BadDataset("a known CRS of image and polygons", unknown or "none", hint, scene.source)
    placed = [
        Shape(
            class_name=_DEFAULT_CLASS if key is None else str(feature.properties[key]),
            rings=tuple(
                _to_pixels(ring, scene, source[feature.crs], target or source[feature.crs]) for ring in feature.rings
            ),
        )
        for feature in scene.features
    ]
    return Shapes(shapes=tuple(sorted(placed, key=lambda shape: -shape.extent)), source=scene.source)


def _to_pixels(ring: np.ndarray, scene: _Scene, source: Any, target: Any) -> np.ndarray:
    moved = reproject(ring, source, target)
    if not np.isfinite(moved).all():
        hint = "Check the CRS of the polygons and of the image."
        raise BadDataset(f"polygons inside the area of {target.name}", "some outside", hint, scene.source)
    in_pixels = scene.place.find(moved)
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
    systems = {scene.source: feature.crs for scene in scenes.values() for feature in scene.features[:1]}
    counts = Counter(crs or "that of the image" for crs in systems.values())
    named = ", ".join(f"{printable(name[:60])} ({pluralise(count, 'file')})" for name, count in counts.items())
    kinds = f"the property `{key}` ({', '.join(classes[:10])})" if key is not None else "one, no property names it"
    return (
        f"The polygons were moved onto the grids of {pluralise(len(scenes), 'image')}; their CRS: {named}.",
        f"Classes of the polygons: {kinds}; they are regions, or objects with --task instance.",
        *(f"{pluralise(count, 'entry')} left out: {kind}." for kind, count in left_out.items()),
    )
