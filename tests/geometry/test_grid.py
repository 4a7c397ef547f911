"""Grids: the matrix both ways, and turns to the standard axes that keep every sample where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.geometry.grid import Grid, Turn

numbers = st.floats(-3, 3)


def matrix_of(angles: tuple[float, float, float], spacing: tuple[float, float, float], signs: tuple[int, int, int]):
    """An affine (x, y, z) with a rotation, and mirrored axes."""
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing) * np.array(signs)
    affine[:3, 3] = (12.5, -7.25, 3.0)
    return affine


affines = st.builds(
    matrix_of,
    st.tuples(numbers, numbers, numbers),
    st.tuples(*[st.floats(0.1, 5)] * 3),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
)


@given(affines)
def test_the_matrix_comes_back(affine: np.ndarray) -> None:
    np.testing.assert_allclose(Grid.from_affine(affine).affine, affine, atol=1e-12)


@given(affines, st.tuples(*[st.integers(1, 5)] * 3))
def test_a_turn_keeps_every_sample_at_its_place(affine: np.ndarray, shape: tuple[int, int, int]) -> None:
    grid = Grid.from_affine(affine)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).astype(float)
    places = np.einsum("ij,jzyx->izyx", affine[:3, :3], index[::-1]) + affine[:3, 3, None, None, None]
    turned = grid.turn.apply(places)
    moved = grid.turned(grid.turn, shape)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in turned.shape[1:]), indexing="ij")).astype(float)
    matrix = moved.affine
    expected = np.einsum("ij,jzyx->izyx", matrix[:3, :3], index[::-1]) + matrix[:3, 3, None, None, None]
    np.testing.assert_allclose(turned, expected, atol=1e-9)
    np.testing.assert_array_equal(grid.turn.undo(turned), places)
    assert moved.turn == Turn((0, 1, 2), (False, False, False))
    assert moved.orientation == "RAS"


def test_orientation_is_nibabels() -> None:
    nibabel = pytest.importorskip("nibabel")
    rng = np.random.default_rng(0)
    for _ in range(100):
        # near the axes: where two axes are about as near, any choice is right
        affine = matrix_of(tuple(rng.uniform(-0.3, 0.3, 3)), (1.0, 2.0, 3.0), tuple(rng.choice([-1, 1], 3)))
        affine[:, :3] = affine[:, rng.permutation(3)]
        assert Grid.from_affine(affine).orientation == "".join(nibabel.aff2axcodes(affine))


def test_grids_that_differ_say_how() -> None:
    grid = Grid.from_affine(np.diag([1.0, 1.0, 2.0, 1.0]))
    shape = (10, 20, 30)
    other = np.diag([1.0, 1.0, 2.0, 1.0])
    other[0, 3] = 0.05
    assert grid.difference(Grid.from_affine(other), shape) == ""
    other[0, 3] = 0.5
    assert grid.difference(Grid.from_affine(other), shape).startswith("origins")
    assert grid.difference(Grid.from_affine(np.diag([1.0, 1.0, 1.9, 1.0])), shape).startswith("spacing")
    assert grid.difference(Grid.from_affine(np.diag([-1.0, 1.0, 2.0, 1.0])), shape) == "orientations RAS and LAS"
    assert grid.difference(Grid(axes=grid.axes, spacing=grid.spacing, unit="millimeter"), shape) == ""
    assert grid.difference(Grid(axes=grid.axes, spacing=(9.0, 9.0, 9.0)), shape) == ""
    assert grid.difference(Grid(axes=grid.axes, spacing=grid.spacing, unit="micrometer"), shape).startswith("units")


@pytest.mark.parametrize("broken", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones((4, 4))])
def test_a_matrix_without_a_volume_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"steps|directions"):
        Grid.from_affine(broken)


def test_parts_must_fit() -> None:
    with pytest.raises(ValueError, match="spacing"):
        Grid(axes=("y", "x"), spacing=(1.0,))
    with pytest.raises(ValueError, match="together"):
        Grid(axes=("y", "x"), spacing=(1.0, 1.0), origin=(0.0, 0.0))


def test_millimetres() -> None:
    assert Grid(axes=("y", "x"), spacing=(500.0, 250.0), unit="micrometer").millimetres == (0.5, 0.25)
    assert Grid(axes=("y", "x"), spacing=(1.0, 1.0)).millimetres is None
