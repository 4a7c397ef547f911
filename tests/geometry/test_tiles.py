"""Kept parts cover each pixel once, for any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import canvas_size, mirror_indices, tile_grid

PADDED = Geometry(total_stride=8, reach=51, halo=48, margin=0, legal_first=8, legal_step=8, receptive_field=90)
VALID = Geometry(total_stride=16, reach=107, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=204)
sides = st.integers(1, 300)


@given(height=sides, width=sides, core=st.integers(1, 200), geometry=st.sampled_from([PADDED, VALID]))
def test_every_pixel_is_written_once_from_a_legal_read(height: int, width: int, core: int, geometry: Geometry) -> None:
    covered = np.zeros((height, width), int)
    for tile in tile_grid((height, width), core, geometry):
        for (r0, r1), (k0, k1), (w0, w1) in zip(tile.read, tile.keep, tile.write, strict=True):
            assert geometry.is_legal(r1 - r0)
            assert 0 <= k0 < k1 <= geometry.output_size(r1 - r0)
            assert k1 - k0 == w1 - w0
            assert (r0 + geometry.margin) % geometry.total_stride == 0
            assert r0 + geometry.margin + k0 == w0
        (top, bottom), (left, right) = tile.write
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_a_core_as_large_as_the_image_is_one_tile() -> None:
    (tile,) = tile_grid((100, 50), 512, PADDED)
    assert tile.read == ((0, 104), (0, 56))
    assert tile.keep == tile.write == ((0, 100), (0, 50))
    assert canvas_size(100, VALID) == 100


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(BadOption, match="expected sides and a core of at least 1 pixel"):
        tile_grid((0, 5), 16, PADDED)


@given(size=st.integers(2, 20), before=st.integers(0, 60), after=st.integers(0, 60))
def test_mirroring_is_numpys_reflect(size: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    assert np.array_equal(mirror_indices(-before, size + after, size), expected)


def test_a_single_pixel_is_repeated() -> None:
    assert mirror_indices(-2, 3, 1).tolist() == [0] * 5
