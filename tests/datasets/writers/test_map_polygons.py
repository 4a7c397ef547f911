"""Polygons lie where GDAL puts their pixels, and areas are those on the ellipsoid."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.writers.map_polygons import area_rows, outline_objects
from pixelwise.errors import BadImage, BadOption
from pixelwise.io import map_crs
from pixelwise.io.read import read_image

rasterio = pytest.importorskip("rasterio")
pyproj = pytest.importorskip("pyproj")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio
Affine = rasterio.Affine
NORTH_UP = Affine(0.5, 0, 431_000.25, 0, -0.5, 5_340_777.125)
GRIDS: list[tuple[str, Any]] = [
    ("EPSG:32632", NORTH_UP),
    ("EPSG:32632", NORTH_UP @ Affine.rotation(-33) @ Affine.scale(0.02)),
    ("EPSG:32733", Affine(30, 0, 3e5, 0, 30, 6.2e6)),
    ("EPSG:4326", Affine(1e-4, 0, 11.1, 0, -1e-4, 68.2)),
    ("EPSG:3857", Affine(10, 0, 1.2e6, 0, -10, 8.4e6)),
]


def place_of(folder: Path, crs: str | None, transform: Any) -> Any:
    path = folder / "a.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "uint8", "transform": transform}
    with rasterio.open(path, "w", crs=crs, **profile) as file:
        file.write(np.arange(16, dtype=np.uint8).reshape(1, 4, 4))
    return read_image(path).georeference


def draw() -> np.ndarray:
    """Return a ring with a hole, a diagonal pair, and a rectangle of more than 256 pixels."""
    labels = np.zeros((60, 400), np.int32)
    labels[5:20, 5:20] = 1
    labels[10:12, 9:15] = 0
    labels[30, 30] = labels[31, 31] = 2
    labels[40:55, 50:390] = 3
    return labels


@pytest.mark.parametrize(("crs", "transform"), GRIDS)
def test_polygons_cover_the_pixels_they_were_made_of(tmp_path: Path, crs: str, transform: Any) -> None:
    """GDAL transforms the polygons back and draws them: an independent way of both steps."""
    from rasterio.features import rasterize
    from rasterio.warp import transform_geom

    labels = draw()
    written = outline_objects(labels, ("", "a", "b", "c"), georeference=place_of(tmp_path, crs, transform))
    features = json.loads(written.content)["features"]
    shapes = [(transform_geom("OGC:CRS84", crs, feature["geometry"]), feature["id"]) for feature in features]
    drawn = rasterize(shapes, labels.shape, transform=transform, dtype="int32")
    assert np.array_equal(drawn, labels)
    for feature in features:
        many = feature["geometry"]["coordinates"]
        for polygon in many if feature["geometry"]["type"] == "MultiPolygon" else [many]:
            turns = [orientation(np.array(ring)) for ring in polygon]
            assert turns == [1.0] + [-1.0] * (len(turns) - 1), "RFC 7946: holes run the other way"


def orientation(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return float(np.sign(x[:-1] @ y[1:] - y[:-1] @ x[1:]))


@pytest.mark.parametrize(("crs", "transform"), GRIDS)
def test_areas_are_geodesic_whatever_the_projection(tmp_path: Path, crs: str, transform: Any) -> None:
    written = outline_objects(draw(), ("", "a", "b", "c"), georeference=place_of(tmp_path, crs, transform))
    geod = pyproj.Geod(ellps="WGS84")
    for area, feature in zip(written.areas, json.loads(written.content)["features"], strict=True):
        many = feature["geometry"]["coordinates"]
        polygons = many if feature["geometry"]["type"] == "MultiPolygon" else [many]
        signed = [geod.polygon_area_perimeter(*np.array(ring).T)[0] for polygon in polygons for ring in polygon]
        assert area.m2 == pytest.approx(sum(signed), rel=1e-4, abs=0.05), "corners of geodesics are rounded"
        assert area.to_json()["area_ha"] == pytest.approx(area.to_json()["area_m2"] / 1e4, rel=1e-9)
    if crs == "EPSG:3857":  # control: areas of Web Mercator are wrong by the square of its scale
        assert written.areas[0].m2 != pytest.approx(written.areas[0].pixels * 100, rel=0.1)


def test_a_square_centimetre_is_one(tmp_path: Path) -> None:
    place = place_of(tmp_path, "EPSG:32632", Affine(0.01, 0, 500_000, 0, -0.01, 5_340_777))
    labels = np.zeros((4, 4), np.int32)
    labels[1, 1] = 1
    area = outline_objects(labels, ("", "stone"), georeference=place).areas[0]
    assert area.m2 == pytest.approx(1e-4 / 0.9996**2, rel=1e-4), "the scale on the meridian of UTM is 0.9996"


@pytest.mark.parametrize("crs", [None, "EPSG:32632"])
def test_elsewhere_coordinates_and_areas_are_those_of_pixels(tmp_path: Path, crs: str | None) -> None:
    place = None if crs else place_of(tmp_path, None, NORTH_UP)
    written = outline_objects(draw(), ("", "a", "b", "a"), georeference=place, spacing=(0.5, 2.0))
    content = json.loads(written.content)
    assert "pixels" in content["coordinates"]
    assert content["features"][2]["geometry"]["coordinates"][0][0] == [50, 40]
    assert content["features"][2]["properties"] == {"class": "a", "area_px": 5100, "area_um2": 5100}
    assert bool(written.messages) == (crs is None), "a map without a CRS is reported"
    assert area_rows(written.areas, ("a", "b", "c")) == [
        ["a", "2", "5313", "5313", "", ""],
        ["b", "1", "2", "2", "", ""],
        ["c", "0", "0", "", "", ""],
    ]


def test_a_map_outside_of_its_crs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="area of its CRS"):
        outline_objects(
            draw(),
            ("", "a", "b", "c"),
            georeference=place_of(tmp_path, "EPSG:32632", Affine(1e7, 0, 1e12, 0, -1e7, 1e12)),
        )


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(tmp_path, "EPSG:25833", NORTH_UP)

    def fail(name: str) -> Any:
        raise ImportError(name)

    map_crs._read_crs.cache_clear()
    monkeypatch.setattr(map_crs.importlib, "import_module", fail)
    with pytest.raises(BadOption, match=r"pixelwise\[maps\]"):
        outline_objects(draw(), ("", "a", "b", "c"), georeference=place)
