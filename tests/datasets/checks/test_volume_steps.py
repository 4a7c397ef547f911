"""Steps of volumes: compared with the same changes of whole arrays, and with coordinates in space."""

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.datasets.checks.finding import Step
from pixelwise.datasets.checks.volume_steps import (
    apply_volume_steps,
    move_voxels,
    refine_volume_shift,
    resample_step,
    step_in_planes,
    steps_to_stored_order,
)
from pixelwise.geometry.grid import Grid
from pixelwise.geometry.symmetries import SYMMETRIES

SHAPE = (5, 6, 7)


def labels(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_symmetries_of_planes_are_those_of_each_plane(axis: int) -> None:
    values = labels()
    for symmetry in SYMMETRIES:
        changed = apply_volume_steps(values, [step_in_planes("symmetry", axis, symmetry=symmetry)])
        for index in range(SHAPE[axis]):
            assert np.array_equal(changed.take(index, axis), symmetry.apply(values.take(index, axis)))


@pytest.mark.parametrize("offset", [(1, -2, 3), (0, 0, 0), (-4, 5, -6), (5, 0, 0)])
def test_moves(offset: tuple[int, int, int]) -> None:
    values = labels() + 1
    padded = np.pad(values, 8)
    start = [8 - step for step in offset]
    expected = padded[tuple(slice(first, first + side) for first, side in zip(start, SHAPE, strict=True))]
    assert np.array_equal(move_voxels(values, offset), expected)


def test_labels_are_taken_at_the_nearest_voxel_in_space() -> None:
    """Two grids whose axes run differently: every voxel has the label of the nearest voxel of the mask."""
    other = drawn.OBLIQUE @ np.array([[0, 1.5, 0, 1.0], [-1.2, 0, 0, 6.0], [0, 0, 0.7, -1.0], [0, 0, 0, 1.0]])
    values, size = labels(shape=(9, 6, 7)), (5, 8, 6)
    step = resample_step(Grid.from_affine(drawn.OBLIQUE), size, Grid.from_affine(other))
    found = apply_volume_steps(values, [step], fill=9)
    points = np.moveaxis(drawn.world(size, drawn.OBLIQUE), 0, -1).reshape(-1, 3)
    indices = np.c_[points, np.ones(len(points))] @ np.linalg.inv(other).T
    near = np.rint(indices[:, 2::-1]).astype(int)
    clear = (np.abs(indices[:, 2::-1] - near) < 0.49).all(1)
    inside = ((near >= 0) & (near < np.array(values.shape))).all(1)
    assert inside.sum() > 50
    assert np.array_equal(found.ravel()[inside & clear], values[tuple(near[inside & clear].T)])
    far = ((indices[:, 2::-1] < -0.6) | (indices[:, 2::-1] > np.array(values.shape) - 0.4)).any(1)
    assert (found.ravel()[far] == 9).all()


def test_a_mask_without_its_header_lies_voxel_by_voxel_on_its_volume() -> None:
    """An image that is stored obliquely; masks that are stored alike or transposed, with the identity as header."""
    image, mask = Grid.from_affine(drawn.OBLIQUE), Grid.from_affine(np.eye(4))
    as_stored = labels()
    for stored in (as_stored, as_stored.transpose(2, 1, 0)):
        ((step, exchanged),) = steps_to_stored_order(image, SHAPE, mask, stored.shape)
        assert np.array_equal(apply_volume_steps(mask.turn.apply(stored), [step]), image.turn.apply(as_stored))
        assert exchanged == (stored.shape != SHAPE)
    assert steps_to_stored_order(image, SHAPE, mask, (6, 7, 5)) == []


def test_steps_follow_one_another() -> None:
    values = labels()
    moved = Step(action="shift", offset=(1, 0, 0))
    swapped = Step(action="replace values", values=((1, 2), (2, 1)))
    expected = np.choose(move_voxels(values, (1, 0, 0)), [0, 2, 1, 3])
    assert np.array_equal(apply_volume_steps(values, [moved, swapped]), expected)


def test_a_shift_is_refined_at_the_edges_of_the_volume() -> None:
    image, mask = np.zeros((1, 30, 32, 28)), np.zeros((30, 32, 28), np.int32)
    image[:, 10:20, 9:21, 8:18] = 9
    mask[5:15, 12:24, 9:19] = 1
    assert refine_volume_shift(image, mask, (4, -2, -2), 2) == (5, -3, -1)
