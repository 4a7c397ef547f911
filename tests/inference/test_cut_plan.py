"""Counted work of tiles, which is planned for headers that claim any size."""

from hypothesis import given
from hypothesis import strategies as st

from exports import make_network
from pixelwise.geometry.tiles import read_pixels, tile_grid
from pixelwise.runtimes.torch import TorchRuntime

STAGES = TorchRuntime(make_network()[0]).stages


@given(height=st.integers(1, 700), width=st.integers(1, 700), core=st.integers(1, 300))
def test_the_pixels_of_all_tiles_are_those_of_the_grid(height: int, width: int, core: int) -> None:
    assert STAGES is not None
    reads = [tile.read for tile in tile_grid((height, width), core, STAGES.geometry)]
    expected = sum((rows[1] - rows[0]) * (columns[1] - columns[0]) for rows, columns in reads)
    assert read_pixels((height, width), core, STAGES.geometry) == expected
