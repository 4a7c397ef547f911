"""Tiles of every level, of images and of labels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import BadImage
from pixelwise.io.windows import InMemoryReader
from pixelwise.io.write import write_labels
from pixelwise.server.workers.label_tiles import Labels, label_tile, open_labels
from pixelwise.server.workers.pyramid import TILE, Pyramid, read_scaled, scale_down, tile_window, to_display, top_level


def gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows + columns).astype(np.uint16)[None]


def test_the_tiles_of_a_level_make_up_the_image() -> None:
    image = gradient(1300, 2600)
    pyramid = Pyramid(InMemoryReader(image))
    assert pyramid.top == 3
    for level in range(pyramid.top + 1):
        factor = 2 ** (pyramid.top - level)
        across, down = (-(-size // (TILE * factor)) for size in (2600, 1300))
        rows = [np.concatenate([pyramid.tile(level, x, y) for x in range(across)], axis=2) for y in range(down)]
        whole = np.concatenate(rows, axis=1)
        assert whole.shape == (1, -(-1300 // factor), -(-2600 // factor))
        inner = whole[:, :-1, :-1].astype(int)
        exact = (image[0, : inner.shape[1] * factor, : inner.shape[2] * factor]
                 .reshape(inner.shape[1], factor, inner.shape[2], factor).mean((1, 3)))  # fmt: skip
        assert np.abs(inner[0] - exact).max() <= 1
    for level, column, row in (
        (4, 0, 0),
        (-1, 0, 0),
        (-(10**12), 0, 0),
        (10**30, 0, 0),
        (3, 6, 0),
        (3, 0, 3),
        (3, -1, 0),
    ):
        with pytest.raises(BadImage):
            pyramid.tile(level, column, row)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_level_zero_is_one_tile_and_tiles_cover_the_image(height: int, width: int) -> None:
    top = top_level(height, width)
    rows, columns, factor = tile_window(height, width, 0, 0, 0)
    assert (rows, columns) == ((0, height), (0, width))
    assert factor == 2**top
    assert max(height, width) <= TILE * factor


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]))
def test_bands_do_not_matter(height: int, width: int, factor: int) -> None:
    image = gradient(height, width)
    read = read_scaled(InMemoryReader(image), (0, height), (0, width), factor)
    assert np.array_equal(read, scale_down(image, factor))


def test_contrast() -> None:
    image = gradient(64, 64)
    low, high = Pyramid(InMemoryReader(image)).default_range()[0]
    assert 0 <= low < high <= image.max()
    assert Pyramid(InMemoryReader(image.astype(np.uint8))).default_range() == [(0, 255)]
    shown = to_display(image, [(0.0, 10.0)], 2.0)
    assert (shown[image >= 10] == 255).all()
    assert shown[0, 0, 1] == round(255 * 0.1**0.5)


def test_label_tiles(tmp_path: Path) -> None:
    labels = np.zeros((600, 700), np.int32)
    labels[10:20, 30:40], labels[500:, 600:], labels[0, 0] = 7, 70_000, -1
    uncertainty = np.full(labels.shape, 55, np.uint8)
    big = write_labels(tmp_path / "big.png", labels.clip(0))
    for source in (Labels(labels), open_labels(big)):
        tile = label_tile(source, Labels(uncertainty), 1, 1, 0).astype(int)
        numbers = tile[0] * 256 + tile[1]
        expected = (labels[:512, 512:].astype(np.int64) - 1) % 65_535 + 1
        assert np.array_equal(numbers, np.where(labels[:512, 512:] > 0, expected, 0))
        assert (tile[2] == 200).all()
        coarse = label_tile(source, None, 0, 0, 0).astype(int)
        assert np.array_equal(coarse[0] * 256 + coarse[1] > 0, labels[1::2, 1::2] > 0)
    assert big.suffix == ".tif"
    assert open_labels(big).at(15, 35) == 7
