"""Map tiles are split by place: overlapping tiles together, neighbours in blocks, scenes apart."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.datasets.dataset import DataOptions, detect_dataset
from pixelwise.datasets.splitting.map_blocks import Footprint, find_blocks
from pixelwise.progress import Progress


def tiles(rows: int, columns: int, *, step: float = 100.0, side: float = 100.0, left: float = 0.0) -> list[Footprint]:
    return [
        Footprint(crs=b"a", box=(left + step * x, step * y, left + step * x + side, step * y + side))
        for y in range(rows)
        for x in range(columns)
    ]


def neighbours_across(footprints: list[Footprint], blocks: np.ndarray) -> float:
    """The fraction of the pairs of touching tiles that are in two blocks."""
    boxes = np.array([one.box for one in footprints])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = np.abs(middle[:, None] - middle[None]).sum(-1) < 101
    one, other = np.nonzero(np.triu(near, 1))
    return float((blocks[one] != blocks[other]).mean())


def test_blocks_of_a_grid_are_compact_and_of_equal_size() -> None:
    grid = tiles(16, 16)
    blocks = find_blocks(grid).blocks
    assert sorted(np.bincount(blocks).tolist()) == [32] * 8
    shuffled = np.random.default_rng(0).permutation(blocks)
    assert neighbours_across(grid, blocks) < 0.2 < 0.8 < neighbours_across(grid, shuffled)


def test_scenes_are_never_joined() -> None:
    scenes = tiles(2, 2) + tiles(2, 2, left=1000.0) + [Footprint(crs=b"b", box=(0.0, 0.0, 100.0, 100.0))]
    found = find_blocks(scenes)
    assert found.scenes == 3
    parts = [set(found.blocks[part].tolist()) for part in (slice(4), slice(4, 8), slice(8, 9))]
    assert all(not one & other for one in parts for other in parts if one is not other)


def test_tiles_that_overlap_stay_together_and_those_that_touch_need_not() -> None:
    pairs = [box for x in range(10) for box in tiles(1, 2, step=50.0, left=1000.0 * x)]
    found = find_blocks(pairs)
    assert found.blocks[::2].tolist() == found.blocks[1::2].tolist()
    assert len(set(found.blocks.tolist())) == 10
    assert len(set(find_blocks(tiles(2, 2)).blocks.tolist())) == 4


def test_if_all_tiles_overlap_there_is_one_block() -> None:
    assert set(find_blocks(tiles(4, 4, step=60.0)).blocks.tolist()) == {0}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=40, unique=True))
def test_every_tile_is_in_one_block_and_overlaps_never_cross(corners: list[tuple[int, int]]) -> None:
    boxes = [Footprint(crs=b"", box=(10.0 * x, 10.0 * y, 10.0 * x + 15, 10.0 * y + 15)) for x, y in corners]
    found = find_blocks(boxes)
    assert set(found.blocks.tolist()) == set(range(int(found.blocks.max()) + 1))
    for first in set(found.overlapping.tolist()):
        assert len(set(found.blocks[found.overlapping == first].tolist())) == 1


def write_tiles(folder: Path, rows: int, columns: int) -> None:
    rasterio = pytest.importorskip("rasterio")
    rng = np.random.default_rng(0)
    for y in range(rows):
        for x in range(columns):
            transform = rasterio.Affine(1, 0, 5e5 + 32 * x, 0, -1, 5e6 - 32 * y)
            for kind in ("images", "masks"):
                values = rng.integers(0, 255, (32, 32)) if kind == "images" else rng.integers(0, 2, (32, 32))
                path = folder / kind / f"tile_{y * columns + x:03}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                profile = {"height": 32, "width": 32, "count": 1, "dtype": "uint8", "crs": "EPSG:32632"}
                with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as file:
                    file.write(values.astype(np.uint8), 1)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio
def test_a_data_set_of_map_tiles_is_split_by_place_unless_it_must_not(tmp_path: Path) -> None:
    write_tiles(tmp_path, 8, 8)
    dataset = detect_dataset(tmp_path, DataOptions(), 0, Progress())
    text = " ".join(dataset.messages)
    assert "by place" in text
    assert len({case.group for case in dataset.cases}) == 8
    boxes = [case.split == "val" for case in dataset.cases]
    assert 0.1 < np.mean(boxes) < 0.4
    by_chance = detect_dataset(tmp_path, DataOptions(group_by="none"), 0, Progress())
    assert "by place" not in " ".join(by_chance.messages)
    assert len({case.group for case in by_chance.cases}) == 64
