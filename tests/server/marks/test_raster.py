"""Marks as pixels: every point is painted, circles are circles, windows agree with the whole."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.server.marks.raster import IGNORE, bounds, rasterise
from pixelwise.server.marks.records import UNKNOWN, Polygon, Stroke

SIDE = 40
places = st.floats(0, SIDE - 0.01)
strokes = st.builds(
    Stroke,
    kind=st.just("stroke"),
    class_index=st.integers(UNKNOWN, 3),
    radius=st.floats(0.01, 12),
    points=st.lists(st.tuples(places, places), min_size=1, max_size=6),
)


@given(strokes)
def test_every_point_of_a_stroke_is_painted(stroke: Stroke) -> None:
    stroke = stroke.model_copy(update={"class_index": 2})
    window = rasterise([stroke], (0, SIDE), (0, SIDE))
    assert all(window[int(y), int(x)] == 2 for x, y in stroke.points)


@given(st.lists(strokes, max_size=5), st.integers(0, 20), st.integers(0, 20))
def test_a_window_is_a_part_of_the_whole(shapes: list[Stroke], row: int, column: int) -> None:
    whole = rasterise(shapes, (0, SIDE), (0, SIDE))
    part = rasterise(shapes, (row, row + 15), (column, column + 18))
    assert np.array_equal(part, whole[row : row + 15, column : column + 18])


@given(strokes)
def test_a_stroke_is_what_is_near_its_line(stroke: Stroke) -> None:
    """Compared with the smallest distance to many points on the line."""
    stroke = stroke.model_copy(update={"class_index": 1})
    points = np.array(stroke.points)
    line = [points[:1]]
    for start, end in pairwise(points):
        line.append(start + (end - start) * np.linspace(0, 1, 400)[:, None])
    along = np.concatenate(line)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    near = np.min((x[..., None] - along[:, 0]) ** 2 + (y[..., None] - along[:, 1]) ** 2, axis=-1) ** 0.5
    painted = rasterise([stroke], (0, SIDE), (0, SIDE)) == 1
    assert painted[near <= stroke.radius - 0.1].all()
    held = np.zeros_like(painted)
    held[tuple(np.floor(points[:, ::-1]).astype(int).T)] = True
    # 0.08: half of the largest distance of two points on the line
    assert not painted[(near > stroke.radius + 0.08) & ~held].any()


def test_a_polygon_and_an_eraser() -> None:
    square = Polygon(kind="polygon", class_index=1, points=[(2, 1), (6, 1), (6, 5), (2, 5)])
    eraser = Stroke(kind="stroke", class_index=UNKNOWN, radius=0.5, points=[(3.5, 2.5)])
    window = rasterise([square, eraser], (0, 8), (0, 8))
    expected = np.full((8, 8), IGNORE)
    expected[1:5, 2:6] = 1
    expected[2, 3] = IGNORE
    assert np.array_equal(window, expected)
    assert bounds(square) == (2, 1, 6, 5)
