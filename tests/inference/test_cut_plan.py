"""Counted work of tiles, which is planned for headers that claim any size."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.cut_plan import _uncut_pixels

GEOMETRY = Geometry(total_stride=16, reach=40, halo=48, margin=0, legal_first=16, legal_step=16, receptive_field=81)


@given(height=st.integers(1, 700), width=st.integers(1, 700), core=st.integers(1, 300))
def test_the_pixels_of_all_tiles_are_those_of_the_grid(height: int, width: int, core: int) -> None:
    stages: Any = SimpleNamespace(geometry=GEOMETRY)
    reads = [tile.read for tile in tile_grid((height, width), core, GEOMETRY)]
    expected = sum((rows[1] - rows[0]) * (columns[1] - columns[0]) for rows, columns in reads)
    assert _uncut_pixels(stages, (height, width), core) == expected
