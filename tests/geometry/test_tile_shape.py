"""Tiles of volumes fit into the memory, cover the volume, and divide it where that costs least."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tile_shape import fit_tile, shrink_tile
from pixelwise.geometry.tiles import tile_grid

AXIS = Geometry(total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18)


@given(
    size=st.tuples(*(st.integers(1, 150),) * 3),
    voxels=st.integers(1, 2_000_000),
    multiple=st.sampled_from([(1, 1, 1), (1, 32, 32)]),
)
@settings(max_examples=20)
def test_fitted_tiles_fit_and_cover(size: tuple[int, ...], voxels: int, multiple: tuple[int, ...]) -> None:
    core = fit_tile(size, AXIS, voxels, multiple)
    assert all(side == length or side % step == 0 for side, length, step in zip(core, size, multiple, strict=True))
    smallest = np.prod(
        [min(-(-max(4, step) // 4) * 4 + 16, -(-side // 4) * 4) for side, step in zip(size, multiple, strict=True)]
    )
    reads = [tile.read for tile in tile_grid(size, core, AXIS)]
    assert max(np.prod([stop - start for start, stop in read]) for read in reads) <= max(voxels, smallest)


def test_the_whole_volume_is_one_tile_if_it_fits_and_shrunk_tiles_keep_their_form() -> None:
    assert fit_tile((40, 50, 60), AXIS, 40 * 52 * 60) == (40, 50, 60)
    assert shrink_tile((20, 200, 200), AXIS, 10**9, 128) == (20, 128, 128)


def test_no_division_into_equal_tiles_reads_less() -> None:
    size, voxels = (60, 90, 40), 60_000

    def read(core: tuple[int, ...]) -> int:
        reads = [np.prod([stop - start for start, stop in tile.read]) for tile in tile_grid(size, core, AXIS)]
        return int(sum(reads)) if max(reads) <= voxels else 10**9

    chosen = read(fit_tile(size, AXIS, voxels))
    others = (read((z, y, x)) for z in range(4, 61, 8) for y in range(4, 91, 8) for x in range(4, 41, 8))
    assert chosen <= min(others) < 10**9


def test_an_axis_without_halo_is_divided_first() -> None:
    flat = replace(AXIS, total_stride=1, halo=0, reach=0, legal_first=1, legal_step=1, receptive_field=1)
    geometry = replace(AXIS, axes=(flat, AXIS, AXIS))
    core = fit_tile((40, 64, 64), geometry, 64 * 64 * 4)
    assert core[1:] == (64, 64)
    assert core[0] <= 4
