"""Outlines: they cover the pixels of each object, and nothing else."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.datasets.annotations import Shape, Shapes
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.datasets.writers.outlines import find_outlines, outline_region


def drawn_again(shapes: list[Shape], size: tuple[int, int]) -> np.ndarray:
    return rasterise(Shapes(shapes=tuple(shapes), source=Path("a")), size, (), "instance")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_outlines_cover_each_object_exactly(seed: int, numbers: int, size: tuple[int, int]) -> None:
    labels = np.random.default_rng(seed).integers(0, numbers + 1, size).astype(np.int32)
    outlines = find_outlines(labels)
    assert [outline.number for outline in outlines] == [n for n in range(1, numbers + 1) if (labels == n).any()]
    for outline in outlines:
        expected = (labels == outline.number).astype(np.int32)
        assert np.array_equal(drawn_again([Shape(rings=outline.rings)], size), expected)
        # each polygon by itself is a part: an outer ring that holds its holes
        parts = [drawn_again([Shape(rings=polygon)], size) for polygon in outline.polygons]
        assert np.array_equal(sum(parts), expected)
        outer = [drawn_again([Shape(rings=polygon[:1])], size) for polygon in outline.polygons]
        assert all((whole >= part).all() for whole, part in zip(outer, parts, strict=True))


def test_a_ring_within_the_hole_of_another_is_a_polygon_of_its_own() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    mask[0, 0] = True
    assert sorted(len(polygon) for polygon in outline_region(mask)) == [1, 1, 2]
