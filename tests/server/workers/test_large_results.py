"""Outlines, corrected masks and useful places of results of any size: in memory that does not grow with them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelwise.io.label_writer import PixelMetadata, TiledLayout, TileFile, finish
from pixelwise.server.marks.records import Stroke
from pixelwise.server.workers import ranking
from pixelwise.server.workers.label_tiles import Labels, open_labels
from pixelwise.server.workers.ranking import PLACE, most_useful_place

MAKE = """
import sys
from pathlib import Path
from pixelwise.inference.memory import peak_memory
from pixelwise.io import tiff_windows
from pixelwise.server.marks.records import Stroke
from pixelwise.server.workers import corrected_mask, outlines, ranking
from pixelwise.server.workers.label_tiles import open_labels

tiff_windows.CACHE = 2**22
outlines.BAND, corrected_mask.WINDOW, corrected_mask.MAX_PNG = 2**18, 512, 2**18
ranking.WINDOW, ranking.MAX_CELLS = 512, 2**16
folder, stroke = Path(sys.argv[1]), Stroke(kind="stroke", class_index=0, radius=5, points=[(9, 9), (300, 300)])
labels = open_labels(folder / "labels.tif")
outlines.write_geojson(folder / "a.geojson", labels, ("background", "cell"), objects=True)
corrected_mask.write_corrected(folder / "c.png", labels, [stroke], instance=True)
print(ranking.most_useful_place(open_labels(folder / "unsure.tif"), [stroke]))
print(peak_memory())
"""
SMALL, LARGE = 512, 4096


def write_squares(folder: Path, side: int) -> None:
    """Write a result with a square of 20 pixels every 64, all but the first row of them unsure."""
    for name, dtype in (("labels", "uint32"), ("unsure", "uint8")):
        tiles = TileFile(folder / f"{name}.tif", TiledLayout(height=side, width=side, dtype=dtype), "x")
        columns = np.arange(side)[None]
        for top in range(0, side, 512):
            rows = np.arange(top, top + 512)[:, None]
            inside = (rows % 64 < 20) & (columns % 64 < 20)
            values = 1 + rows // 64 * (side // 64) + columns // 64 if dtype == "uint32" else 200 * (rows >= 64)
            tiles.write(((top, top + 512), (0, side)), np.where(inside, values, 0).astype(dtype))
        finish(tiles, "tiff", PixelMetadata())


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    peaks = dict[int, int]()
    for side in (SMALL, LARGE):
        folder = tmp_path / str(side)
        folder.mkdir()
        write_squares(folder, side)
        made = subprocess.run(
            [sys.executable, "-c", MAKE, str(folder)], capture_output=True, text=True, check=True, timeout=600
        )
        peaks[side] = int(made.stdout.split()[-1])
        lines = (folder / "a.geojson").read_text("utf-8").splitlines()
        assert len(lines) == (side // 64) ** 2 + 2
        assert sum('"id": 9,' in line or '"id": 9}' in line for line in lines) == 1
        corrected = open_labels(folder / "c.tif" if side == LARGE else folder / "c.png")
        assert corrected.at(5, 5) == 0
        assert corrected.at(side - 64 + 1, side - 64 + 1) == (side // 64) ** 2
        corrected.close()
    assert peaks[LARGE] - peaks[SMALL] < LARGE * LARGE * 4, "less than the labels of the image"


@pytest.mark.parametrize("cells", [2**9, 2**12, 2**16])
def test_the_place_of_a_large_image_is_that_of_its_parts(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "MAX_CELLS", cells)
    unsure = np.zeros((700, 900), np.uint8)
    unsure[300:320, 500:520], unsure[600:610, 100:110] = 255, 255
    mark = Stroke(kind="stroke", class_index=1, radius=PLACE, points=[(510, 310)])
    boxes = dict[int, list[tuple[int, ...] | None]]()
    for window in (64, 2048):
        monkeypatch.setattr(ranking, "WINDOW", window)
        boxes[window] = [most_useful_place(Labels(unsure), marks) for marks in ((), [mark])]
    assert boxes[64] == boxes[2048]
    for box, (row, column) in zip(boxes[64], ((310, 510), (605, 105)), strict=True):
        assert box is not None
        assert box[0] <= row < box[2]
        assert box[1] <= column < box[3]
