"""World files beside images: the same place that GDAL reads, kept by results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from pixelwise.io.read import read_image, read_place
from pixelwise.io.write import write_map_mask

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore")  # of GDAL, about images without coordinates
NORTH_UP = (10.0, 0.0, 0.0, -10.0, 600_005.0, 5_399_995.0)
ROTATED = (8.0, -6.0, -6.0, -8.0, 600_001.5, 5_399_993.0)
WORLD_FILES = [("a.tif", ".tfw"), ("a.tif", ".TFW"), ("b.png", ".pgw"), ("c.jpg", ".wld")]


def write(folder: Path, name: str, ending: str, numbers: tuple[float, ...] | str) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    path = folder / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Pillow.fromarray(pixels).save(path)
    text = numbers if isinstance(numbers, str) else "\n".join(map(str, numbers))
    path.with_suffix(ending).write_text(text, encoding="ascii")
    return path


@pytest.mark.parametrize("numbers", [NORTH_UP, ROTATED], ids=["north up", "rotated"])
@pytest.mark.parametrize(("name", "ending"), WORLD_FILES)
def test_the_place_is_that_of_gdal(tmp_path: Path, name: str, ending: str, numbers: Any) -> None:
    path = write(tmp_path, name, ending, numbers)
    found, size = read_place(path)
    assert found is not None
    assert size == (20, 30)
    with rasterio.open(path) as file:
        assert found.transform == pytest.approx(tuple(file.transform)[:6], abs=1e-6)
    assert not found.crs
    image = read_image(path)
    assert image.georeference == found
    mask = (image.pixels[0] > 99).astype(np.uint8)
    write_map_mask(tmp_path / "out.tif", mask, ((0, 0, 0), (9, 9, 9)), found)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert tuple(file.transform)[:6] == pytest.approx(found.transform, abs=1e-6)


@pytest.mark.parametrize("text", ["", "1 2 3", "0 0 0 0 1 1", "nan 0 0 1 2 3", "10 0 0 -10 1 2 3 4", "\0" * 100])
def test_damaged_world_files_are_ignored(tmp_path: Path, text: str) -> None:
    assert read_place(write(tmp_path, "a.tif", ".tfw", text))[0] is None


def test_a_world_file_that_appears_later_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tif", ".tfw", NORTH_UP)
    path.with_suffix(".tfw").unlink()
    assert read_place(path)[0] is None
    write(tmp_path, "a.tif", ".tfw", NORTH_UP)
    assert read_place(path)[0] is not None


def test_tags_of_the_image_come_first(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": 4, "width": 5, "dtype": "uint8", "crs": "EPSG:32632"}
    transform = rasterio.Affine(2, 0, 100, 0, -2, 50)
    with rasterio.open(tmp_path / "a.tif", "w", transform=transform, **profile) as file:
        file.write(np.ones((1, 4, 5), np.uint8))
    (tmp_path / "a.tfw").write_text("\n".join(map(str, NORTH_UP)), encoding="ascii")
    found, _ = read_place(tmp_path / "a.tif")
    assert found is not None
    assert found.transform == pytest.approx(tuple(transform)[:6])
