"""Tile size: the largest that fits into memory, aligned with the network and the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.geometry.sizes import Geometry
from pixelwise.inference.memory import tile_budget
from pixelwise.inference.tile_size import (
    MAX_CORE,
    MEMORY,
    MIN_CORE,
    stored_core,
    stored_tile,
    streamed_core,
    tile_side,
)

PADDED = Geometry(total_stride=16, reach=100, halo=112, margin=0, legal_first=16, legal_step=16, receptive_field=200)
VALID = Geometry(total_stride=16, reach=93, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=187)


@pytest.mark.parametrize("base", [4, 16, 32, 64])
@pytest.mark.parametrize("geometry", [PADDED, VALID])
def test_the_tiles_of_large_images_fit_into_the_memory(base: int, geometry: Geometry) -> None:
    core = streamed_core(base, geometry)
    assert MIN_CORE <= core <= MAX_CORE + geometry.total_stride
    needed = tile_side(core, geometry) ** 2 * tile_budget(base).tile_pixel
    assert core == MIN_CORE or needed <= MEMORY
    larger = tile_side(core + 256, geometry) ** 2 * tile_budget(base).tile_pixel
    assert core >= MAX_CORE or larger > MEMORY, "the largest that fits: its halo is the smallest part"


@given(core=st.integers(1, 3000), geometry=st.sampled_from([PADDED, VALID]))
def test_cores_are_multiples_of_stride_and_file_tile(core: int, geometry: Geometry) -> None:
    result = stored_core(core, geometry)
    assert result >= core
    assert result % geometry.total_stride == 0
    assert result % stored_tile(result) == 0
    assert stored_tile(result) >= (256 if core >= 256 else 16)
    assert geometry.is_valid(tile_side(result, geometry))
