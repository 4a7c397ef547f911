"""Outlines of small defects, which follow edges of their images only where they belong."""

from dataclasses import replace

import numpy as np
import pytest

from pixelwise.datasets.checks import outlines
from pixelwise.datasets.checks.alignment import Alignment, Change
from pixelwise.datasets.checks.outlines import change_by_outline, compare_outline
from pixelwise.datasets.checks.shifts import move

AS_IT_IS = Alignment(own=0.1)


def defect(seed: int, size: tuple[int, int] = (80, 120)) -> tuple[np.ndarray, np.ndarray]:
    """A faint ellipse on noise with uneven light."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    mask = ((y - 24) / 9) ** 2 + ((x - 30) / 6) ** 2 < 1
    image = random.normal(size=size) + y / 9 + 2.5 * mask
    return image[None].astype(np.float32), mask


@pytest.mark.parametrize("seed", range(4))
def test_an_outline_that_follows_edges_stays(seed: int) -> None:
    assert change_by_outline(AS_IT_IS, compare_outline(*defect(seed))) == AS_IT_IS


@pytest.mark.parametrize(("axes", "found"), [((0,), (2, True)), ((1,), (0, True)), ((0, 1), (2, False))])
def test_a_flip_is_found(axes: tuple[int, ...], found: tuple[int, bool]) -> None:
    image, mask = defect(1)
    one = change_by_outline(AS_IT_IS, compare_outline(image, np.flip(mask, axes)))
    assert one.symmetry is not None
    assert (one.change, one.symmetry.quarters, one.symmetry.mirrored) == ("symmetry", *found)
    assert np.array_equal(one.symmetry.apply(np.flip(mask, axes)), mask)
    assert one.outline > 4


def test_a_turn_is_found_on_square_images_only() -> None:
    image, mask = defect(2, (96, 96))
    one = change_by_outline(AS_IT_IS, compare_outline(image, np.ascontiguousarray(mask.T)))
    assert one.symmetry is not None
    assert np.array_equal(one.symmetry.apply(mask.T), mask)
    assert all(symmetry.quarters % 2 == 0 for symmetry in compare_outline(*defect(2)).symmetries)


@pytest.mark.parametrize("times", [1, 3])
def test_a_shift_is_found_in_pixels_of_the_image(times: int) -> None:
    image, mask = (np.kron(values, np.ones((times, times))) for values in defect(3))
    moved = move(mask, -6 * times, 12 * times)
    scores = compare_outline(image.reshape(1, *mask.shape), moved)
    one = change_by_outline(AS_IT_IS, scores)
    assert (one.change, scores.factor) == ("shift", 1 if times == 1 else 2)
    assert np.abs(np.subtract(one.offset, (6 * times, -12 * times))).max() <= times


def test_nothing_is_found_in_noise() -> None:
    _, mask = defect(0)
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(size=(1, *mask.shape)).astype(np.float32)
        assert change_by_outline(AS_IT_IS, compare_outline(noise, mask)) == AS_IT_IS


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_without_an_outline_and_a_plain_image_decide_nothing(value: int) -> None:
    image, mask = defect(0)
    for plane in (image, np.zeros_like(image)):
        assert change_by_outline(AS_IT_IS, compare_outline(plane, np.full(mask.shape, value))) == AS_IT_IS
    assert change_by_outline(AS_IT_IS, compare_outline(np.zeros_like(image), mask)) == AS_IT_IS


def test_a_flip_takes_the_place_of_a_shift_and_a_shift_of_none() -> None:
    image, mask = defect(1)
    shifted = replace(AS_IT_IS, change="shift", offset=(3, 3))
    assert change_by_outline(shifted, compare_outline(image, np.flipud(mask))).change == "symmetry"
    assert change_by_outline(shifted, compare_outline(image, move(mask, -6, 12))) == shifted


@pytest.mark.parametrize("change", ["shift", "symmetry"])
def test_a_change_is_none_if_the_outline_follows_edges_as_it_is(change: Change) -> None:
    assert change_by_outline(replace(AS_IT_IS, change=change), compare_outline(*defect(1))) == AS_IT_IS


def test_shifts_are_scored_on_what_remains_of_the_outline() -> None:
    image, mask = defect(5)
    edges, normals = outlines._edges(image[0]), outlines._gradient(mask.astype(np.float32))
    found = outlines._scores_of_shifts(edges, normals)
    for place in ((0, 0), (7, -3), (-12, -20)):
        expected = outlines._score(edges, move(normals, *place))
        assert found.at(place) == pytest.approx(expected, rel=0.02)
