"""GeoPackages as labels, packed here byte by byte or written by `predict`; one file of polygons for all images."""

import json
import sqlite3
import struct
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.formats import map_geojson
from pixelwise.datasets.shapes.geopackage import read_geopackage
from pixelwise.datasets.writers.geopackage import geopackage_bytes
from pixelwise.errors import BadDataset, PixelwiseError
from pixelwise.io.read import read_place

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("pyproj")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio
NORTH_UP = rasterio.Affine(2, 0, 431_000.5, 0, -2, 5_340_777.25)
SIZE = (60, 80)


def scene(folder: Path, name: str, transform: Any, crs: str | None = "EPSG:32632") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "height": SIZE[0], "width": SIZE[1], "dtype": "uint8"}
    with rasterio.open(path := folder / f"{name}.tif", "w", crs=crs, transform=transform, **profile) as file:
        file.write(np.random.default_rng(list(name.encode())).integers(0, 250, (1, *SIZE)).astype(np.uint8))
    return path


def labels(seed: int) -> np.ndarray:
    """Objects 1 and 2, with a hole in the first."""
    drawn = np.zeros(SIZE, np.int32)
    drawn[5 + seed : 30, 8:40] = 1
    drawn[12:20, 15:25] = 0
    drawn[35:55, 30 + seed : 70] = 2
    return drawn


def well_known(polygons: list[list[list[tuple[float, ...]]]], axes: int = 2, order: str = "<") -> bytes:
    """Return a multipolygon of ISO well-known binary."""
    flag, more = (1 if order == "<" else 0), {2: 0, 3: 1000, 4: 3000}[axes]
    parts = [struct.pack(f"{order}BII", flag, 6 + more, len(polygons))]
    for rings in polygons:
        parts.append(struct.pack(f"{order}BII", flag, 3 + more, len(rings)))
        for ring in rings:
            parts.append(struct.pack(f"{order}I", len(ring)))
            parts += [struct.pack(f"{order}{axes}d", *point) for point in ring]
    return b"".join(parts)


def pack(path: Path, rows: list[tuple[bytes, str]], crs: tuple[int, str, int], layers: tuple[str, ...] = ()) -> None:
    """Write a GeoPackage with a table per layer, or one, with a column `class`."""
    with closing(sqlite3.connect(path)) as base:
        base.executescript(
            "CREATE TABLE gpkg_spatial_ref_sys(srs_name, srs_id, organization, organization_coordsys_id, definition);"
            "CREATE TABLE gpkg_geometry_columns(table_name, column_name, geometry_type_name, srs_id, z, m);"
        )
        base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES ('one', ?, ?, ?, '')", (crs[0], crs[1], crs[2]))
        for name in layers or ("fields",):
            base.execute(f'CREATE TABLE "{name}"(fid INTEGER PRIMARY KEY, geom BLOB, class TEXT)')
            base.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)", (name, crs[0]))
            for binary, label in rows:
                if not layers or label == name:
                    blob = b"GP" + struct.pack("<BBi", 0, 1, crs[0]) + binary
                    base.execute(f'INSERT INTO "{name}"(geom, class) VALUES (?, ?)', (blob, None if layers else label))
        base.commit()


RING = [(10.0, 10.0), (50.0, 12.0), (44.0, 50.0), (12.0, 45.0), (10.0, 10.0)]
HOLE = [(20.0, 20.0), (30.0, 21.0), (26.0, 33.0), (20.0, 20.0)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("axes", [2, 3, 4])
def test_every_byte_order_and_number_of_coordinates(tmp_path: Path, axes: int, order: str) -> None:
    rings = [[(*point, *[7.0] * (axes - 2)) for point in ring] for ring in (RING, HOLE)]
    pack(tmp_path / "a.gpkg", [(well_known([rings], axes, order), "roof")], (32632, "EPSG", 32632))
    (layer,) = read_geopackage(tmp_path / "a.gpkg", Counter())
    assert layer.crs == "EPSG:32632"
    assert [ring.tolist() for ring in layer.rows[0].rings] == [
        [list(point) for point in ring[:-1]] for ring in (RING, HOLE)
    ]
    assert layer.rows[0].properties["class"] == "roof"


@pytest.mark.parametrize("turned", [0, 25])
def test_what_predict_writes_is_read_back(tmp_path: Path, turned: int) -> None:
    """Polygons of masks become the same masks, on the same grid."""
    for seed in range(3):
        place = rasterio.Affine.translation(seed * 3000, 0) @ NORTH_UP @ rasterio.Affine.rotation(turned)
        image = scene(tmp_path, f"s{seed}", place)
        content, _ = geopackage_bytes(labels(seed), ("background", "roof", "road"), read_place(image)[0])
        assert content is not None
        (tmp_path / f"s{seed}.gpkg").write_bytes(content)
    data = load_dataset(tmp_path)
    assert data.classes == ("background", "road", "roof")
    for case in data.cases:
        expected = np.array([0, 2, 1])[labels(int(case.name[1:]))]
        assert np.array_equal(data.read_labels(case), expected)


@pytest.mark.parametrize("kind", ["geojson", "gpkg", "layers"])
def test_one_file_for_all_images(tmp_path: Path, kind: str) -> None:
    """Each image gets the polygons that touch it, also those that cross the border of two tiles."""
    for column in range(2):
        scene(tmp_path / "tiles", f"x{column}_y0", NORTH_UP @ rasterio.Affine.translation(column * SIZE[1], 0))
    scene(tmp_path / "tiles", "far", NORTH_UP @ rasterio.Affine.translation(9000, 9000))
    ring = [NORTH_UP @ point for point in ((70.0, 10.0), (95.0, 10.0), (95.0, 30.0), (70.0, 30.0), (70.0, 10.0))]
    other = [NORTH_UP @ point for point in ((10.0, 40.0), (30.0, 40.0), (30.0, 50.0), (10.0, 50.0), (10.0, 40.0))]
    rows = [(well_known([[ring]]), "roof"), (well_known([[other]]), "road")]
    if kind == "geojson":
        features = [
            {"type": "Feature", "properties": {"class": name}, "geometry": {"type": "Polygon", "coordinates": [points]}}
            for points, name in ((ring, "roof"), (other, "road"))
        ]
        crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
        content = {"type": "FeatureCollection", "crs": crs, "features": features}
        (tmp_path / "labels.geojson").write_text(json.dumps(content), encoding="utf-8")
    else:
        layers = ("road", "roof") if kind == "layers" else ()
        pack(tmp_path / "labels.gpkg", rows, (1, "EPSG", 32632), layers)
    data = load_dataset(tmp_path, allow_missing=True, task="multiclass")
    expected = {name: np.zeros(SIZE, np.int32) for name in ("x0_y0", "x1_y0")}
    expected["x0_y0"][40:50, 10:30] = data.classes.index("road")
    expected["x0_y0"][10:30, 70:] = expected["x1_y0"][10:30, :15] = data.classes.index("roof")
    found = {case.name.split("/")[-1]: data.read_labels(case) for case in data.cases}
    assert set(found) == set(expected), "an image beside all polygons is not annotated"
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    with pytest.raises(BadDataset, match="mask for every image"):
        load_dataset(tmp_path, task="multiclass")


def test_control_a_file_beside_masks_is_no_annotation(tmp_path: Path) -> None:
    """An outline of the area of interest beside folders of images and masks does not replace the masks."""
    for seed in range(3):
        place = NORTH_UP @ rasterio.Affine.translation(seed * 900, 0)
        scene(tmp_path / "images", f"s{seed}", place)
        scene(tmp_path / "masks", f"s{seed}", place)
    pack(tmp_path / "area.gpkg", [(well_known([[RING]]), "area")], (1, "EPSG", 32632))
    assert not map_geojson.recognise(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    (tmp_path / "masks").rmdir()
    assert map_geojson.recognise(tmp_path), "control: without masks it is"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "a.gpkg"
    pack(whole, [(well_known([[RING, HOLE]]), "roof")], (1, "EPSG", 32632))
    content = whole.read_bytes()
    read_geopackage(whole, Counter())
    rng, refused = np.random.default_rng(0), 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 30)):
            damaged[place] = rng.integers(256)
        if rng.random() < 0.3:
            del damaged[int(rng.integers(100, len(content))) :]
        (tmp_path / "b.gpkg").write_bytes(damaged)
        try:
            read_geopackage(tmp_path / "b.gpkg", Counter())
        except PixelwiseError:
            refused += 1
    assert refused > 5
    huge = struct.pack("<BII", 1, 3, 1) + struct.pack("<I", 2**31)
    whole.unlink()
    pack(whole, [(huge, "roof")], (1, "EPSG", 32632))
    with pytest.raises(BadDataset, match="complete geometry"):
        read_geopackage(whole, Counter())


def test_views_of_a_file_are_not_run(tmp_path: Path) -> None:
    pack(tmp_path / "a.gpkg", [(well_known([[RING]]), "roof")], (1, "EPSG", 32632))
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as base:
        base.execute("CREATE VIEW hidden AS SELECT fid, geom, class FROM fields")
        base.execute("INSERT INTO gpkg_geometry_columns VALUES ('hidden', 'geom', 'POLYGON', 1, 0, 0)")
        base.commit()
    assert [layer.name for layer in read_geopackage(tmp_path / "a.gpkg", Counter())] == ["fields"]


def test_geometries_without_an_area_are_counted(tmp_path: Path) -> None:
    line = struct.pack("<BII", 1, 2, 2) + struct.pack("<4d", 0, 0, 5, 5)
    path = tmp_path / "a.gpkg"
    pack(path, [(line, "path"), (well_known([[RING]]), "roof")], (1, "EPSG", 32632))
    with closing(sqlite3.connect(path)) as base:
        empty = b"GP" + struct.pack("<BBi", 0, 0x11, 1) + well_known([])
        base.executemany("INSERT INTO fields(geom, class) VALUES (?, 'none')", [(empty,), (None,)])
        base.commit()
    left_out: Counter[str] = Counter()
    (layer,) = read_geopackage(path, left_out)
    assert [len(row.rings) for row in layer.rows if row.rings] == [1]
    assert left_out == {"no geometry has no area": 2, "a geometry that is no polygon has no area": 1}


@pytest.mark.parametrize("number", [-1, 0, 7])
def test_an_undefined_crs_is_none(tmp_path: Path, number: int) -> None:
    pack(tmp_path / "a.gpkg", [(well_known([[RING]]), "roof")], (1 if number == 7 else number, "NONE", number))
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as base:
        base.execute("UPDATE gpkg_geometry_columns SET srs_id = ?", (number,))
        base.commit()
    assert [layer.crs for layer in read_geopackage(tmp_path / "a.gpkg", Counter())] == [None]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DROP TABLE gpkg_spatial_ref_sys", "a GeoPackage with geometries"),
        ("UPDATE gpkg_geometry_columns SET column_name = 'shape'", "a column `shape`"),
        ("UPDATE fields SET geom = x'0102030405060708090a'", "a geometry of GeoPackage"),
        ("UPDATE fields SET geom = x'47500001010000000100400000'", "well-known binary"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, change: str, expected: str) -> None:
    path = tmp_path / "a.gpkg"
    pack(path, [(well_known([[RING]]), "roof")], (1, "EPSG", 32632))
    read_geopackage(path, Counter())
    with closing(sqlite3.connect(path)) as base:
        base.execute(change)
        base.commit()
    with pytest.raises(BadDataset) as refused:
        read_geopackage(path, Counter())
    assert refused.value.expected == expected


def test_a_folder_is_no_geopackage(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="GeoPackage of at most"):
        read_geopackage(tmp_path, Counter())
