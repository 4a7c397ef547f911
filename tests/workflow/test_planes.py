"""Pictures of volumes: planes through the structure with square pixels, a projection, and a film."""

from io import BytesIO

import numpy as np
from PIL import Image

from pixelwise.geometry.grid import Grid
from pixelwise.workflow.planes import choose_planes
from pixelwise.workflow.reporting.film import volume_film


def test_planes_with_most_foreground() -> None:
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[2, 3, 1:9] = 1
    labels[2, 1:7, 4] = 1
    labels[0, 0, 0] = 255  # ignored
    assert choose_planes(labels, None).at == (2, 3, 4)


def test_a_plane_of_one_class_is_not_chosen() -> None:
    labels = np.ones((5, 6, 7), np.uint8)
    labels[3, 2:4, 1:6] = 0
    at = choose_planes(labels, None).at
    assert all(0 < labels.take(index, axis).mean() < 1 for axis, index in enumerate(at))
    assert choose_planes(np.ones((5, 6, 7), np.uint8), None).at == (2, 3, 3)


def test_each_panel_is_its_plane() -> None:
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    views = choose_planes(np.zeros((4, 5, 6), int), None)
    drawn = views.draw(volume)
    z, y, x = views.at
    np.testing.assert_array_equal(drawn[:5, :6], volume[z])
    np.testing.assert_array_equal(drawn[:4, 8 : 8 + 5], volume[:, :, x])
    np.testing.assert_array_equal(drawn[7 : 7 + 4, :6], volume[:, y])
    np.testing.assert_array_equal(drawn[7 : 7 + 5, 8 : 8 + 6], volume.max(0))


def test_pixels_are_square_and_the_head_is_at_the_top() -> None:
    volume = np.zeros((4, 5, 6), np.uint8)
    volume[3] = 9  # the highest slice
    grid = Grid.from_affine(np.diag([1.0, 1.0, 3.0, 1.0]))
    drawn = choose_planes(volume, grid).draw(volume[None])
    below = drawn[0, 4 * 3 + 2 :]  # the plane across the width is as high
    assert below.shape[0] == 4 * 3
    assert (below[:3, :6] == 9).all()
    assert (below[3:, :6] == 0).all()


def test_large_planes_are_drawn_smaller() -> None:
    drawn = choose_planes(np.zeros((2, 1000, 20), np.uint8), None).draw(np.zeros((2, 1000, 20), np.uint8))
    assert max(drawn.shape) < 1100


def test_a_film_of_the_slices_with_something() -> None:
    pixels = np.random.default_rng(0).normal(size=(1, 12, 30, 40)).astype(np.float32)
    truth = np.zeros((12, 30, 40), np.int32)
    truth[4:7, 5:20, 5:20] = 1
    with Image.open(BytesIO(volume_film(pixels, truth, truth * 0))) as film:
        assert getattr(film, "n_frames", 1) == 7
        assert film.size == (40, 30)
