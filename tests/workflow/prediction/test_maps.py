"""Results of georeferenced images lie where the images lie, for GDAL as an independent reader."""

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.io import tiff
from pixelwise.io.read import read_mask
from pixelwise.labels.targets import TargetOptions
from pixelwise.progress import Progress
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from tiny import make_recipe, write_model

rasterio = pytest.importorskip("rasterio")
Affine = rasterio.Affine
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio

NORTH_UP = Affine(0.5, 0, 431_000.25, 0, -0.5, 5_340_777.125)
ROTATED = NORTH_UP @ Affine.rotation(17.3) @ Affine.scale(1.3, 0.9)
OWN_CRS = "+proj=laea +lat_0=47.5 +lon_0=8.25 +ellps=bessel +towgs84=674,15,405 +units=m"
PLACES: dict[str, dict[str, Any]] = {
    "projected": {"crs": "EPSG:32632", "transform": NORTH_UP},
    "rotated": {"crs": "EPSG:32632", "transform": ROTATED},
    "south up": {"crs": "EPSG:32733", "transform": Affine(2, 0, 5e5, 0, 2, 8e6)},
    "degrees": {"crs": "EPSG:4326", "transform": Affine(1e-5, 0, 11.1, 0, -1e-5, 48.2)},
    "of its own": {"crs": OWN_CRS, "transform": NORTH_UP},
    "big-endian": {"crs": "EPSG:32632", "transform": NORTH_UP, "endianness": "BIG"},
    "no CRS": {"transform": NORTH_UP},
}


def write_map(path: Path, *, values: np.ndarray | None = None, point: bool = False, **profile: Any) -> np.ndarray:
    """Write a GeoTIFF of random values with GDAL; return them."""
    if values is None:
        values = np.random.default_rng(3).integers(1, 250, (1, 90, 130)).astype(np.uint8)
    count, height, width = values.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as file:
        file.write(values)
        if point:
            file.update_tags(AREA_OR_POINT="Point")
    return values


def run(folder: Path, task: str = "multiclass", target: TargetOptions | None = None, **options: Any) -> list[Path]:
    card = make_recipe(task)
    write_model(folder / "model.safetensors", card if target is None else replace(card, target=target))
    chosen = PredictOptions(runtime="torch", tile=64, **options)
    done = predict(folder / "model.safetensors", [folder / "in"], folder / "out", chosen, progress=Progress())
    assert not done.failed
    return [path for path in done.outputs if path.suffix == ".tif"]


def assert_same_place(result: Path, image: Path) -> None:
    with rasterio.open(result) as found, rasterio.open(image) as expected:
        assert found.crs == expected.crs
        assert found.transform == expected.transform
        assert found.bounds == expected.bounds
        assert found.shape == expected.shape
        assert found.tags().get("AREA_OR_POINT") == expected.tags().get("AREA_OR_POINT")


@pytest.mark.parametrize("options", [{}, {"format": "tiff"}], ids=["in memory", "streamed"])
@pytest.mark.parametrize("place", PLACES)
def test_a_mask_has_the_grid_of_its_image(tmp_path: Path, place: str, options: dict[str, Any]) -> None:
    write_map(tmp_path / "in/a.tif", **PLACES[place])
    (mask,) = run(tmp_path, **options)
    assert mask.name == "a.tif"
    assert_same_place(mask, tmp_path / "in/a.tif")


@pytest.mark.parametrize("options", [{}, {"format": "tiff"}], ids=["in memory", "streamed"])
def test_the_tags_are_copied_byte_for_byte(tmp_path: Path, options: dict[str, Any]) -> None:
    write_map(tmp_path / "in/a.tif", point=True, **PLACES["of its own"])
    (mask,) = run(tmp_path, **options)
    assert_same_place(mask, tmp_path / "in/a.tif")
    with tifffile.TiffFile(mask) as found, tifffile.TiffFile(tmp_path / "in/a.tif") as expected:
        for code in (33550, 33922, 34735, 34736, 34737):
            assert found.pages.first.tags[code].value == expected.pages.first.tags[code].value


@pytest.mark.parametrize("options", [{}, {"format": "tiff"}], ids=["in memory", "streamed"])
@pytest.mark.parametrize("task", ["multiclass", "instance"])
def test_control_without_the_tags_the_place_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, options: dict[str, Any]
) -> None:
    write_map(tmp_path / "in/a.tif", **PLACES["rotated"])
    (labels,) = run(tmp_path, task, **options)
    assert_same_place(labels, tmp_path / "in/a.tif")
    monkeypatch.setattr(tiff, "read_georeference", lambda *_: (None, ()))
    run(tmp_path, task, overwrite=True, **options)
    with pytest.raises(AssertionError), pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        assert_same_place(tmp_path / "out" / ("a.tif" if options else "a.png"), tmp_path / "in/a.tif")


def test_the_mask_is_still_class_numbers_with_colours(tmp_path: Path) -> None:
    write_map(tmp_path / "in/a.tif", **PLACES["projected"])
    (mask,) = run(tmp_path)
    values = read_mask(mask)
    with rasterio.open(mask) as file:
        assert np.array_equal(file.read(1), values.values)
        assert file.colormap(1)[2][:3] == (0, 158, 115)
    assert values.palette is not None
    assert values.palette[2] == (0, 158, 115)


@pytest.mark.parametrize(
    "target", [TargetOptions(kind="classes"), TargetOptions(kind="classes", class_areas=(0, 5, 5))]
)
@pytest.mark.parametrize(
    ("nodata", "dtype", "written"), [(254, "uint8", 254), (0, "uint8", 255), (-9999, "float32", 255)]
)
def test_missing_pixels_stay_missing(
    tmp_path: Path, nodata: float, dtype: str, written: int, target: TargetOptions
) -> None:
    values = np.random.default_rng(3).integers(1, 250, (1, 90, 130)).astype(dtype)
    values[:, 20:50, 40:] = nodata
    write_map(tmp_path / "in/a.tif", values=values, nodata=nodata, **PLACES["projected"])
    masks: list[np.ndarray] = []
    for options in ({}, {"format": "tiff", "overwrite": True}):
        (mask,) = run(tmp_path, target=target, **options)
        with rasterio.open(mask) as file:
            assert file.nodata == written
            masks.append(file.read(1))
        assert np.array_equal(masks[-1] == written, values[0] == nodata)
    assert (masks[0] != masks[1]).mean() < 1e-3


def test_an_image_with_an_orientation_is_turned_on_the_map(tmp_path: Path) -> None:
    """A point of the upright mask has the coordinates of the same point of the stored image."""
    transform = PLACES["rotated"]["transform"]
    for orientation in range(1, 9):
        folder = tmp_path / str(orientation)
        values = write_map(folder / "in/a.tif", **PLACES["rotated"])
        with tifffile.TiffFile(folder / "in/a.tif", mode="r+") as file:
            tags = [
                (t.code, t.dtype, t.count, t.value)
                for t in file.pages.first.tags
                if t.code in (34264, 34735, 34736, 34737)
            ]
        extra = [*tags, (274, 3, 1, orientation)]
        tifffile.imwrite(folder / "in/a.tif", values[0], extratags=extra, photometric="minisblack", metadata=None)
        (mask,) = run(folder)
        columns, rows = np.meshgrid(np.arange(130), np.arange(90))
        stored = np.stack([columns, rows])
        with rasterio.open(mask) as found:
            upright = np.stack([turn(plane, orientation) for plane in stored])
            height, width = found.shape
            assert upright.shape[1:] == (height, width)
            for row, column in ((0, 0), (height - 1, 3), (7, width - 1)):
                expected = transform @ (upright[0, row, column] + 0.5, upright[1, row, column] + 0.5)
                assert found.xy(row, column) == pytest.approx(expected, abs=1e-6)


def turn(plane: np.ndarray, orientation: int) -> np.ndarray:
    """Return a stored plane as viewers show it: orientations 2...8 as numpy operations."""
    turned = {
        1: plane,
        2: np.fliplr(plane),
        3: np.rot90(plane, 2),
        4: np.flipud(plane),
        5: plane.T,
        6: np.rot90(plane, -1),
        7: np.rot90(plane.T, 2),
        8: np.rot90(plane),
    }
    return turned[orientation]


def test_probabilities_and_uncertainty_lie_on_the_map_too(tmp_path: Path) -> None:
    write_map(tmp_path / "in/a.tif", **PLACES["rotated"])
    results = run(tmp_path, probabilities=True, confidence=True)
    assert sorted(path.name for path in results) == ["a.probabilities.tif", "a.tif", "a.uncertainty.tif"]
    for path in results:
        assert_same_place(path, tmp_path / "in/a.tif")
    with rasterio.open(tmp_path / "out/a.probabilities.tif") as file:
        assert file.count == 3, "a band per class"


def test_an_image_without_a_place_stays_a_png(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8))
    assert run(tmp_path) == []
    assert (tmp_path / "out/a.png").is_file()


def test_damaged_coordinates_are_reported_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    values = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "in/a.tif", values, extratags=[(33550, 3, 3, (1, 1, 0), True)])
    assert run(tmp_path) == []
    assert any("33550" in text for text in read_warnings(tmp_path / "in/a.tif"))


def read_warnings(path: Path) -> tuple[str, ...]:
    from pixelwise.io.read import read_image

    return read_image(path).warnings


def test_polygons_and_areas_of_classes_are_saved(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(1, 250, (1, 90, 130)).astype(np.uint8)
    values[:, 20:50, 40:] = 0
    write_map(tmp_path / "in/a.tif", values=values, nodata=0, **PLACES["rotated"])
    (mask,) = run(tmp_path, save=("polygons",))
    features = json.loads((tmp_path / "out/a.polygons.geojson").read_text("utf-8"))["features"]
    rows = list(csv.DictReader((tmp_path / "out/areas.csv").read_text("utf-8").splitlines()))
    with rasterio.open(mask) as file:
        numbers = file.read(1)
        pixel = abs(file.transform.determinant)
    counted = {row["class"]: int(row["area_px"]) for row in rows}
    assert sum(counted.values()) == ((numbers != 255) & (numbers != 0)).sum() or "sky" in counted
    for row in rows:
        mine = [feature["properties"] for feature in features if feature["properties"]["class"] == row["class"]]
        assert len(mine) == int(row["objects"])
        assert sum(each["area_px"] for each in mine) == int(row["area_px"])
        if mine:
            assert float(row["area_m2"]) == pytest.approx(int(row["area_px"]) * pixel, rel=2e-3), "the scale of UTM"


def test_objects_are_written_as_a_geopackage_in_the_crs_of_the_image(tmp_path: Path) -> None:
    write_map(tmp_path / "in/a.tif", **PLACES["rotated"])
    run(tmp_path, "instance", save=("geopackage",))
    with closing(sqlite3.connect(tmp_path / "out" / "a.gpkg")) as base:
        assert base.execute("SELECT srs_id FROM gpkg_contents").fetchall() == [(32632,)]
        (count,) = base.execute("SELECT count(*) FROM objects").fetchone()
    with (tmp_path / "out" / "objects.csv").open(encoding="utf-8", newline="") as file:
        assert count == len(list(csv.DictReader(file)))
