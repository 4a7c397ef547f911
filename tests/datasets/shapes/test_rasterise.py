"""Shapes drawn as labels, and regions outlined as rings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.draw import polygon2mask

from pixelwise.datasets.annotations import Bitmap, Shape, Shapes
from pixelwise.datasets.shapes.rasterise import find_region, group_objects, rasterise
from pixelwise.datasets.shapes.trace import trace
from pixelwise.errors import BadDataset, BadImage

SIZE = (12, 16)
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def shapes(*members: Shape, **fields: object) -> Shapes:
    return Shapes(shapes=members, source=Path("a.json"), **fields)


def outline(*rings: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    return rasterise(shapes(Shape(rings=rings)), size, (), "binary")


@given(st.tuples(*(st.integers(-3, 20) for _ in range(4))))
def test_integer_rectangles_are_exact_and_clipped(corners: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = *sorted(corners[:2]), *sorted(corners[2:])
    expected = np.zeros(SIZE, np.int32)
    expected[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
    assert np.array_equal(outline(box(left, top, right, bottom)), expected)


def test_a_ring_inside_another_is_a_hole() -> None:
    drawn = outline(box(1, 1, 9, 9), box(3, 3, 6, 6))
    assert drawn.sum() == 64 - 9
    assert drawn[4, 4] == 0


def test_a_region_that_covers_the_centre_of_a_pixel_has_it() -> None:
    assert outline(box(0.4, 0.4, 1.6, 1.4)).sum() == 2
    assert outline(box(0.6, 0.6, 1.4, 1.4)).sum() == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 22)), min_size=3, max_size=8))
def test_outlines_that_share_an_edge_neither_overlap_nor_leave_a_gap(points: list[tuple[int, int]]) -> None:
    half = np.array(points) / 2  # centres lie on edges often
    centre = np.array([8.0, 6.0])
    fan = [np.array([centre, a, b]) for a, b in zip(half, np.roll(half, -1, axis=0), strict=True)]
    parity = sum(outline(triangle) for triangle in fan) % 2
    assert np.array_equal(parity, outline(half))


@given(st.lists(st.tuples(st.floats(-4, 20), st.floats(-4, 20)), min_size=3, max_size=9))
def test_pixels_are_those_of_scikit_image(points: list[tuple[float, float]]) -> None:
    ring = np.array(points).round(3) + 0.0301  # no centre lies on an edge, where the rules differ
    expected = polygon2mask((30, 30), ring[:, ::-1] + 4.5)[5:25, 5:25]
    near = np.array([[edge_distance(ring, (x + 0.5, y + 0.5)) < 1e-6 for x in range(20)] for y in range(20)])
    assert np.array_equal(outline(ring, size=(20, 20))[~near], expected[~near])


def edge_distance(ring: np.ndarray, point: tuple[float, float]) -> float:
    a, b, p = ring, np.roll(ring, -1, axis=0), np.array(point)
    along = np.clip(((p - a) * (b - a)).sum(1) / np.maximum(((b - a) ** 2).sum(1), 1e-12), 0, 1)
    return float(np.hypot(*(a + along[:, None] * (b - a) - p).T).min())


def test_classes_are_numbered_in_order_and_later_shapes_cover_earlier_ones() -> None:
    drawn = shapes(
        Shape(class_name="dog", rings=(box(0, 0, 4, 4),)),
        Shape(class_name="cat", rings=(box(2, 2, 6, 6),)),
        Shape(class_name="_background_", rings=(box(3, 3, 5, 5),)),
    )
    labels = rasterise(drawn, SIZE, ("cat", "dog"), "multiclass")
    assert (labels[0, 0], labels[2, 2], labels[4, 4], labels[9, 9]) == (2, 1, 0, 0)
    assert set(np.unique(rasterise(drawn, SIZE, ("cat", "dog"), "binary"))) == {0, 1}


def test_objects_are_numbered_and_parts_are_joined_by_number_and_class() -> None:
    parts = shapes(
        Shape(class_name="a", rings=(box(0, 0, 2, 2),), object_id=7),
        Shape(class_name="b", rings=(box(3, 0, 5, 2),), object_id=7),
        Shape(class_name="a", rings=(box(6, 0, 8, 2),), object_id=7),
        Shape(class_name="a", rings=(box(9, 0, 11, 2),)),
        Shape(class_name="a", rings=(box(12, 0, 14, 2),)),
    )
    labels = rasterise(parts, SIZE, (), "instance")
    assert [labels[0, x] for x in (0, 3, 6, 9, 12)] == [1, 2, 1, 3, 4]
    assert [len(members) for members in group_objects(parts)] == [2, 1, 1, 1]


@pytest.mark.parametrize(("task", "value"), [("multiclass", 255), ("instance", -1)])
def test_ignored_shapes_and_unknown_background(task: str, value: int) -> None:
    drawn = shapes(Shape(class_name="a", rings=(box(0, 0, 4, 4),)), Shape(rings=(box(2, 0, 6, 2),), ignore=True))
    labels = rasterise(drawn, SIZE, ("a",), task)
    assert (labels[0, 0], labels[0, 3], labels[9, 9]) == (1, value, 0)
    sparse = rasterise(shapes(*drawn.shapes, complete=False), SIZE, ("a",), task)
    assert (sparse[0, 0], sparse[0, 3], sparse[9, 9]) == (1, value, value)


def test_bitmaps_and_outlines_keep_their_order_and_bitmaps_are_clipped() -> None:
    square = Bitmap(row=-1, column=14, pixels=np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool))
    drawn = shapes(
        Shape(class_name="a", rings=(box(0, 0, 16, 12),)),
        Shape(class_name="b", bitmap=square),
        Shape(class_name="c", rings=(box(14, 1, 15, 2),)),
    )
    labels = rasterise(drawn, SIZE, ("a", "b", "c"), "multiclass")
    assert labels[:3, 13:].tolist() == [[1, 2, 1], [1, 3, 2], [1, 1, 1]]


def test_a_region_is_cropped_to_its_pixels() -> None:
    parts = [Shape(rings=(box(2, 3, 4, 5),)), Shape(rings=(box(5, 4, 99, 5),))]
    found = find_region(parts, SIZE, shapes())
    assert (found.row, found.column, found.pixels.shape, int(found.pixels.sum())) == (3, 2, (2, 14), 15)
    assert find_region([Shape(rings=(box(50, 0, 60, 9),))], SIZE, shapes()).pixels.size == 0


def test_wrong_shapes_are_refused() -> None:
    known = Shape(class_name="a", rings=(box(0, 0, 2, 2),))
    with pytest.raises(BadDataset, match="zebra"):
        rasterise(shapes(Shape(class_name="zebra", rings=known.rings)), SIZE, ("a",), "multiclass")
    with pytest.raises(BadDataset, match="finite"):
        rasterise(shapes(Shape(rings=(box(0, 0, np.nan, 2),))), SIZE, (), "binary")
    with pytest.raises(BadDataset, match="254"):
        rasterise(shapes(known), SIZE, [str(i) for i in range(300)], "multiclass")
    with pytest.raises(BadImage, match="EXIF"):
        rasterise(shapes(known, size=SIZE[::-1]), SIZE, ("a",), "multiclass")
    with pytest.raises(BadImage, match="24 × 32"):
        rasterise(shapes(known, size=(24, 32)), SIZE, ("a",), "multiclass")


def test_an_outline_that_crosses_the_image_without_end_is_refused() -> None:
    zigzag = np.tile([(0, 0), (1, 1000)], (20_000, 1)).astype(float)
    with pytest.raises(BadDataset, match="shape 1"):
        outline(zigzag, size=(1000, 8))


def test_thousands_of_objects_get_numbers_of_their_own() -> None:
    side = 100
    grid = [box(4 * (i % side), 4 * (i // side), 4 * (i % side) + 3, 4 * (i // side) + 3) for i in range(side**2)]
    labels = rasterise(shapes(*(Shape(rings=(ring,)) for ring in grid)), (4 * side, 4 * side), (), "instance")
    assert np.array_equal(np.bincount(labels.ravel())[1:], np.full(side**2, 9))


@settings(max_examples=300)
@given(MASKS)
def test_tracing_is_the_opposite_of_rasterising(mask: np.ndarray) -> None:
    assert np.array_equal(outline(*trace(mask), size=mask.shape).astype(bool), mask)


@given(MASKS)
def test_outlines_are_counted_and_directed(mask: np.ndarray) -> None:
    rings = trace(mask)
    outer = [ring for ring in rings if area(ring) > 0]
    assert len(outer) == count_parts(mask)
    holes = count_parts(~np.pad(mask, 1), np.ones((3, 3))) - 1
    assert len(rings) - len(outer) == holes
    assert sum(area(ring) for ring in rings) == mask.sum()
    for ring in rings:
        turns = np.roll(ring, -1, axis=0) - ring
        assert ((turns == 0).sum(axis=1) == 1).all()
        assert len({tuple(point) for point in ring.tolist()}) == len(ring), "no ring touches itself"


def area(ring: np.ndarray) -> float:
    following = np.roll(ring, -1, axis=0)
    return float((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum() / 2)


def test_a_tolerance_simplifies_an_outline() -> None:
    rows, columns = np.mgrid[:80, :80]
    disc = (rows - 40) ** 2 + (columns - 40) ** 2 < 900
    exact, simple = trace(disc)[0], trace(disc, tolerance=1.0)[0]
    assert len(simple) < len(exact) / 3
    drawn = outline(simple, size=disc.shape).astype(bool)
    assert (drawn & disc).sum() / (drawn | disc).sum() > 0.95


def count_parts(mask: np.ndarray, neighbours: np.ndarray | None = None) -> int:
    labelled: Any = ndimage.label(mask, neighbours)
    return labelled[1]
