"""GeoJSON beside GeoTIFF: the labels are those that GDAL draws from the same polygons."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.detect import detect_format
from pixelwise.datasets.formats import map_geojson, qupath
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("pyproj")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio
Affine = rasterio.Affine
NORTH_UP = Affine(2, 0, 431_000.5, 0, -2, 5_340_777.25)
ROTATED = NORTH_UP @ Affine.rotation(25)
SIZE = (90, 120)
RINGS = {
    "roof": [(10.2, 8.1), (50.7, 12.3), (44.4, 60.2), (12.5, 55.1)],
    "road": [(60.3, 5.2), (110.1, 9.4), (80.7, 80.3)],
}
HOLE = [(20.1, 20.4), (30.3, 21.2), (26.2, 33.3)]


def write_scene(folder: Path, name: str, transform: Any, crs: str | None = "EPSG:32632") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "height": SIZE[0], "width": SIZE[1], "dtype": "uint8"}
    with rasterio.open(folder / f"{name}.tif", "w", crs=crs, transform=transform, **profile) as file:
        file.write(np.random.default_rng(len(name)).integers(0, 250, (1, *SIZE)).astype(np.uint8))


def polygons(transform: Any, system: str, **member: Any) -> dict[str, Any]:
    """Return the drawn outlines in the CRS `system`, transformed by GDAL."""
    from rasterio.warp import transform_geom

    features: list[dict[str, Any]] = []
    for name, ring in RINGS.items():
        rings = [ring, HOLE] if name == "roof" else [ring]
        placed = [[transform @ point for point in [*each, each[0]]] for each in rings]
        geometry = transform_geom("EPSG:32632", system, {"type": "Polygon", "coordinates": placed})
        features.append({"type": "Feature", "geometry": geometry, "properties": {"id": 1, "class": name}})
    return {"type": "FeatureCollection", **member, "features": features}


def drawn_by_gdal() -> np.ndarray:
    from rasterio.features import rasterize

    classes = {"road": 1, "roof": 2}
    shapes = [
        (
            {"type": "Polygon", "coordinates": [[*ring, ring[0]], *([[*HOLE, HOLE[0]]] if name == "roof" else [])]},
            classes[name],
        )
        for name, ring in RINGS.items()
    ]
    return rasterize(shapes, SIZE, transform=Affine.identity(), dtype="int32")


MEMBER = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}}


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north up", "rotated"])
@pytest.mark.parametrize(("crs", "member"), [("OGC:CRS84", {}), ("EPSG:32632", {}), ("EPSG:3035", MEMBER)])
def test_polygons_become_labels_on_the_grid_of_the_image(
    tmp_path: Path, crs: str, member: dict[str, Any], transform: Any
) -> None:
    for name in ("a", "b1", "c22"):
        write_scene(tmp_path, name, transform)
        (tmp_path / f"{name}.geojson").write_text(json.dumps(polygons(transform, crs, **member)), "utf-8")
    data = load_dataset(tmp_path)
    assert data.classes == ("background", "road", "roof")
    assert any("property `class`" in text for text in data.messages)
    cases = [case for cases in data.splits.values() for case in cases]
    assert len(cases) == 3
    for case in cases:
        labels = data.read(case)[1]
        assert (labels != drawn_by_gdal()).mean() < 1e-3, "centres on an edge at most"


def test_control_without_reprojection_the_polygons_are_beside_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scene(tmp_path, "a", NORTH_UP)
    (tmp_path / "a.geojson").write_text(json.dumps(polygons(NORTH_UP, "OGC:CRS84")), "utf-8")
    monkeypatch.setattr(map_geojson, "reproject", lambda points, *_: points)
    with pytest.raises(BadDataset, match="beside their images"):
        map_geojson.read(tmp_path, DataOptions())


def test_objects_on_request(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", NORTH_UP)
    (tmp_path / "a.geojson").write_text(json.dumps(polygons(NORTH_UP, "OGC:CRS84")), "utf-8")
    found = detect_format(tmp_path, DataOptions(task="instance"))
    assert found is not None
    assert found.format == "GeoJSON of maps"
    assert found.instances


def test_qupath_and_maps_are_told_apart_by_their_content(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", NORTH_UP)
    content = polygons(NORTH_UP, "OGC:CRS84")
    (tmp_path / "a.geojson").write_text(json.dumps(content), "utf-8")
    assert map_geojson.recognise(tmp_path)
    assert not qupath.recognise(tmp_path)
    for feature in content["features"]:
        feature["properties"] = {"objectType": "annotation", "classification": {"name": "roof"}}
    (tmp_path / "a.geojson").write_text(json.dumps(content), "utf-8")
    assert qupath.recognise(tmp_path)
    assert not map_geojson.recognise(tmp_path), "QuPath's are pixels, also beside a GeoTIFF"


def test_an_unknown_crs_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", NORTH_UP)
    content = polygons(NORTH_UP, "OGC:CRS84", crs={"type": "name", "properties": {"name": "no such CRS"}})
    (tmp_path / "a.geojson").write_text(json.dumps(content), "utf-8")
    with pytest.raises(BadDataset, match="no such CRS"):
        map_geojson.read(tmp_path, DataOptions())


def test_polygons_without_images_below_them_are_refused(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", Affine.translation(9000, 9000) @ NORTH_UP)
    (tmp_path / "labels.geojson").write_text(json.dumps(polygons(NORTH_UP, "OGC:CRS84")), "utf-8")
    with pytest.raises(BadDataset) as refused:
        map_geojson.read(tmp_path, DataOptions())
    assert refused.value.expected.startswith("a GeoTIFF with the name of each vector file")


def square(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """A feature of WGS 84: the rectangle between places (column, row) of the image with the grid NORTH_UP."""
    from rasterio.warp import transform_geom

    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    ring = [NORTH_UP @ corner for corner in corners]
    geometry = transform_geom("EPSG:32632", "OGC:CRS84", {"type": "Polygon", "coordinates": [ring]})
    return {"type": "Feature", "geometry": geometry, "properties": {"class": "roof"}}


def test_a_file_may_hold_one_feature_and_edges_may_be_far_outside(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_scene(tmp_path / split, split, NORTH_UP)
        (tmp_path / split / f"{split}.geojson").write_text(json.dumps(square(30, -3000, 3000, 3000)), "utf-8")
    data = load_dataset(tmp_path)
    labels = data.read(data.cases[0]).labels
    assert labels is not None
    expected = np.broadcast_to(np.arange(SIZE[1]) >= 30, SIZE)
    assert (labels != expected).mean() < 0.02, "long edges are straight in degrees, not on the map"


def test_what_has_no_area_and_files_of_damaged_images_are_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scene(tmp_path, name, NORTH_UP)
        point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [9, 48]}, "properties": {}}
        features = [square(10, 10, 40, 40), point]
        content = {"type": "FeatureCollection", "features": features}
        (tmp_path / f"{name}.geojson").write_text(json.dumps(content), "utf-8")
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    found = map_geojson.read(tmp_path, DataOptions())
    assert {image.image.name: image.annotation is None for image in found.images} == {"a.tif": False, "b.tif": True}
    assert any("Point has no area" in message for message in found.messages)
    assert any("file without a GeoTIFF" in message for message in found.messages)


def test_a_file_in_the_folder_of_a_split_is_for_its_images(tmp_path: Path) -> None:
    for split, box in (("train", (10, 10, 40, 40)), ("val", (50, 20, 90, 60))):
        write_scene(tmp_path / split, f"{split}_tile", NORTH_UP)
        content = {"type": "FeatureCollection", "features": [square(*box)]}
        (tmp_path / split / "labels.geojson").write_text(json.dumps(content), "utf-8")
    data = load_dataset(tmp_path)
    for split, (left, top, right, bottom) in (("train", (10, 10, 40, 40)), ("val", (50, 20, 90, 60))):
        (case,) = data.splits[split]
        labels = data.read(case).labels
        expected = np.zeros(SIZE, int)
        expected[top:bottom, left:right] = 1
        assert labels is not None
        assert (labels != expected).mean() < 1e-2


def test_polygons_where_the_projection_of_the_image_does_not_reach_are_refused(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", NORTH_UP)
    ring = [[9, 48], [99, 0], [9, 49], [9, 48]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), "utf-8")
    with pytest.raises(BadDataset, match="inside the area of"):
        map_geojson.read(tmp_path, DataOptions())
