"""GeoPackages hold the polygons on the grid of their image; GDAL reads them where pyogrio is installed."""

import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.writers.geopackage import geopackage_bytes
from pixelwise.datasets.writers.map_polygons import outline_objects
from pixelwise.io.georeference import Georeference
from pixelwise.io.read import read_image

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("pyproj")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio
Affine = rasterio.Affine
NORTH_UP = Affine(0.5, 0, 431_000.25, 0, -0.5, 5_340_777.125)
OWN_CRS = "+proj=laea +lat_0=47.5 +lon_0=8.25 +ellps=bessel +towgs84=674,15,405 +units=m"
PLACES: list[tuple[str | None, Any, int]] = [
    ("EPSG:32632", NORTH_UP, 32632),
    ("EPSG:32632", NORTH_UP @ Affine.rotation(-33) @ Affine.scale(1.2, 0.8), 32632),
    ("EPSG:4326", Affine(1e-4, 0, 11.1, 0, -1e-4, 48.2), 4326),
    (OWN_CRS, NORTH_UP, 100_000),
    (None, NORTH_UP, -1),
]
NAMES = ("", "roof", "pond", "field \N{SNOWMAN}")


def place_of(folder: Path, crs: str | None, transform: Any) -> Georeference:
    path = folder / "a.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 4, "dtype": "uint8", "transform": transform}
    with rasterio.open(path, "w", crs=crs, **profile) as file:
        file.write(np.arange(16, dtype=np.uint8).reshape(1, 4, 4))
    found = read_image(path).georeference
    assert found is not None
    return found


def draw() -> np.ndarray:
    """A ring with a hole, a diagonal pair, and a rectangle."""
    labels = np.zeros((60, 80), np.int32)
    labels[5:20, 5:20] = 1
    labels[10:12, 9:15] = 0
    labels[30, 30] = labels[31, 31] = 2
    labels[40:55, 50:70] = 3
    return labels


def parse(blob: bytes) -> tuple[int, tuple[float, ...], dict[str, Any]]:
    """Read a geometry by the words of the standard: CRS, envelope, and a GeoJSON geometry."""
    magic, version, flags, number = struct.unpack_from("<2sBBi", blob)
    assert (magic, version, flags & 1, flags >> 1 & 7) == (b"GP", 0, 1, 1)
    envelope, at = struct.unpack_from("<4d", blob, 8), 40
    assert struct.unpack_from("<BI", blob, at) == (1, 6)
    (count,) = struct.unpack_from("<I", blob, at + 5)
    at, polygons = at + 9, []
    for _ in range(count):
        assert struct.unpack_from("<BI", blob, at) == (1, 3)
        (rings,) = struct.unpack_from("<I", blob, at + 5)
        at, polygon = at + 9, []
        for _ in range(rings):
            (points,) = struct.unpack_from("<I", blob, at)
            values = struct.unpack_from(f"<{2 * points}d", blob, at + 4)
            polygon.append([list(point) for point in zip(values[::2], values[1::2], strict=True)])
            at += 4 + 16 * points
        polygons.append(polygon)
    assert at == len(blob)
    return number, envelope, {"type": "MultiPolygon", "coordinates": polygons}


def open_package(folder: Path, content: bytes | None) -> sqlite3.Connection:
    assert content is not None
    (folder / "a.gpkg").write_bytes(content)
    return sqlite3.connect(folder / "a.gpkg")


@pytest.mark.parametrize(("crs", "transform", "number"), PLACES)
def test_polygons_drawn_by_gdal_are_the_pixels_they_were_made_of(
    tmp_path: Path, crs: str | None, transform: Any, number: int
) -> None:
    from rasterio.features import rasterize

    labels = draw()
    content, messages = geopackage_bytes(labels, NAMES, place_of(tmp_path, crs, transform))
    base = open_package(tmp_path, content)
    rows = base.execute("SELECT geom, object, class, area_px FROM objects ORDER BY fid").fetchall()
    parsed = [parse(row[0]) for row in rows]
    assert {one[0] for one in parsed} == {number}
    drawn = rasterize(
        [(one[2], row[1]) for one, row in zip(parsed, rows, strict=True)], labels.shape, transform=transform
    )
    assert np.array_equal(drawn, labels)
    assert [row[2] for row in rows] == list(NAMES[1:])
    assert [row[3] for row in rows] == [int((labels == index).sum()) for index in (1, 2, 3)]
    (extent,) = base.execute("SELECT min_x, min_y, max_x, max_y FROM gpkg_contents").fetchall()
    boxes = np.array([one[1] for one in parsed])
    assert extent == (boxes[:, 0].min(), boxes[:, 2].min(), boxes[:, 1].max(), boxes[:, 3].max())
    assert bool(messages) == (crs is None)


def test_outer_rings_run_counterclockwise_and_holes_clockwise(tmp_path: Path) -> None:
    content, _ = geopackage_bytes(draw(), NAMES, place_of(tmp_path, "EPSG:32632", NORTH_UP))
    (first,) = open_package(tmp_path, content).execute("SELECT geom FROM objects WHERE object=1").fetchone()
    (outer, hole) = (np.array(ring) - ring[0] for ring in parse(first)[2]["coordinates"][0])
    areas = [float((r[:-1, 0] * r[1:, 1] - r[1:, 0] * r[:-1, 1]).sum()) / 2 for r in (outer, hole)]
    assert areas[0] > 0 > areas[1]


def test_areas_are_those_of_the_polygons_in_geojson(tmp_path: Path) -> None:
    place = place_of(tmp_path, "EPSG:3857", Affine(10, 0, 1.2e6, 0, -10, 8.4e6))
    content, _ = geopackage_bytes(draw(), NAMES, place)
    rows = open_package(tmp_path, content).execute("SELECT area_m2, area_ha FROM objects ORDER BY fid").fetchall()
    expected = [area.m2 for area in outline_objects(draw(), NAMES, georeference=place).areas]
    assert [row[0] for row in rows] == pytest.approx(expected, rel=1e-9)
    assert [row[1] * 1e4 for row in rows] == pytest.approx(expected, rel=1e-9)


def test_the_file_declares_itself_and_its_reference_systems(tmp_path: Path) -> None:
    content, _ = geopackage_bytes(draw(), NAMES, place_of(tmp_path, OWN_CRS, NORTH_UP))
    assert content is not None
    assert content[:16] == b"SQLite format 3\0"
    assert struct.unpack(">I", content[68:72]) == (0x47504B47,)
    base = open_package(tmp_path, content)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    systems = dict(base.execute("SELECT srs_id, definition FROM gpkg_spatial_ref_sys").fetchall())
    assert {-1, 0, 4326, 100_000} == systems.keys()
    assert "Lambert_Azimuthal_Equal_Area" in systems[100_000]


def test_equal_images_give_equal_files(tmp_path: Path) -> None:
    place = place_of(tmp_path, "EPSG:32632", NORTH_UP)
    assert geopackage_bytes(draw(), NAMES, place) == geopackage_bytes(draw(), NAMES, place)


def test_without_objects_the_layer_is_empty_and_without_a_grid_there_is_no_file(tmp_path: Path) -> None:
    content, _ = geopackage_bytes(np.zeros((4, 4), np.int32), ("",), place_of(tmp_path, "EPSG:32632", NORTH_UP))
    assert open_package(tmp_path, content).execute("SELECT count(*) FROM objects").fetchone() == (0,)
    assert geopackage_bytes(draw(), NAMES, None)[0] is None


@pytest.mark.parametrize(("crs", "transform", "number"), PLACES[:4])
def test_gdal_reads_it_in_the_reference_system_of_the_image(
    tmp_path: Path, crs: str, transform: Any, number: int
) -> None:
    pyogrio = pytest.importorskip("pyogrio")
    content, _ = geopackage_bytes(draw(), NAMES, place_of(tmp_path, crs, transform))
    open_package(tmp_path, content).close()
    meta, _, geometry, fields = pyogrio.raw.read(tmp_path / "a.gpkg", layer="objects")
    assert meta["geometry_type"] == "MultiPolygon"
    assert len(geometry) == 3
    assert list(fields[list(meta["fields"]).index("class")]) == list(NAMES[1:])
    with rasterio.open(tmp_path / "a.tif") as image:
        assert rasterio.crs.CRS.from_user_input(meta["crs"]) == image.crs
