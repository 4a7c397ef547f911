"""Valid regions of tiles cover each pixel once, for any size."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import (
    Tile,
    blended_grid,
    mirror_indices,
    padded_size,
    round_to_stride,
    tile_grid,
    tile_over,
)

PADDED = Geometry(total_stride=8, reach=51, halo=48, margin=0, legal_first=8, legal_step=8, receptive_field=90)
VALID = Geometry(total_stride=16, reach=107, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=204)
sides = st.integers(1, 300)


@given(height=sides, width=sides, core=st.integers(1, 200), geometry=st.sampled_from([PADDED, VALID]))
def test_every_pixel_is_written_once_from_a_valid_read(height: int, width: int, core: int, geometry: Geometry) -> None:
    covered = np.zeros((height, width), int)
    for tile in tile_grid((height, width), core, geometry):
        for (r0, r1), (k0, k1), (w0, w1) in zip(tile.read, tile.keep, tile.write, strict=True):
            assert geometry.is_valid(r1 - r0)
            assert 0 <= k0 < k1 <= geometry.output_size(r1 - r0)
            assert k1 - k0 == w1 - w0
            assert (r0 + geometry.margin) % geometry.total_stride == 0
            assert r0 + geometry.margin + k0 == w0
        (top, bottom), (left, right) = tile.write
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@given(
    size=st.tuples(sides, sides), ends=st.tuples(*[st.integers(0, 299)] * 4), geometry=st.sampled_from([PADDED, VALID])
)
def test_any_region_has_an_exact_tile(size: tuple[int, int], ends: tuple[int, ...], geometry: Geometry) -> None:
    region: list[tuple[int, int]] = []
    for side, one, other in zip(size, ends[::2], ends[1::2], strict=True):
        first, last = sorted((one % side, other % side))
        region.append((first, last + 1))
    tile = tile_over(region, size, geometry)
    assert tile.write == tuple(region)
    for (r0, r1), (k0, k1), (w0, w1), side in zip(tile.read, tile.keep, tile.write, size, strict=True):
        assert geometry.is_valid(r1 - r0)
        assert 0 <= k0 < k1 <= geometry.output_size(r1 - r0)
        assert (k1 - k0, r0 + geometry.margin + k0) == (w1 - w0, w0)
        assert (r0 + geometry.margin) % geometry.total_stride == 0
        assert r0 <= 0 or w0 - r0 >= max(geometry.halo, geometry.margin)
        assert r1 >= padded_size(side, geometry) or r1 - w1 >= max(geometry.halo, geometry.margin)


def without_halo(tiles: list[Tile], size: tuple[int, ...], geometry: Geometry, halo: int) -> list[Tile]:
    """Return the tiles that read less than `halo` pixels around their valid region inside the padded image."""
    return [
        tile
        for tile in tiles
        for (r0, r1), (w0, w1), side in zip(tile.read, tile.write, size, strict=True)
        if not (r0 == 0 or w0 - r0 >= halo) or not (r1 == padded_size(side, geometry) or r1 - w1 >= halo)
    ]


@given(size=st.tuples(sides, sides), core=st.integers(1, 200), overlapping=st.booleans())
def test_tiles_read_the_whole_halo(size: tuple[int, int], core: int, overlapping: bool) -> None:
    overlap = 8 * (round_to_stride(core, PADDED) // 16) * overlapping
    tiles = blended_grid(size, core, PADDED, overlap) if overlap else tile_grid(size, core, PADDED)
    assert without_halo(tiles, size, PADDED, PADDED.halo) == []


def test_control_a_halo_one_stride_short_is_detected() -> None:
    size = (300, 300)
    short = tile_grid(size, 64, replace(PADDED, halo=PADDED.halo - PADDED.total_stride))
    assert without_halo(short, size, PADDED, PADDED.halo) != []


def test_a_tile_as_large_as_the_image_is_the_only_one() -> None:
    (tile,) = tile_grid((100, 50), 512, PADDED)
    assert tile.read == ((0, 104), (0, 56))
    assert tile.keep == tile.write == ((0, 100), (0, 50))
    assert padded_size(100, VALID) == 100


def test_an_empty_image_raises() -> None:
    with pytest.raises(BadOption, match="tiles of at least 1 pixel"):
        tile_grid((0, 5), 16, PADDED)


@given(size=st.integers(2, 20), before=st.integers(0, 60), after=st.integers(0, 60))
def test_mirror_indices_equal_numpys_reflect(size: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    assert np.array_equal(mirror_indices(-before, size + after, size), expected)


def test_a_single_pixel_is_repeated() -> None:
    assert mirror_indices(-2, 3, 1).tolist() == [0] * 5
