"""Corrections of objects, on label images drawn here."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from pixelwise.errors import BadOption
from pixelwise.labels.label_image import components
from pixelwise.server.marks.raster import IGNORE, rasterise, rasterise_objects
from pixelwise.server.marks.records import Action, Objects, Point, Shape
from pixelwise.server.workers import corrections
from pixelwise.server.workers.corrections import Box, Shown, correct
from pixelwise.server.workers.label_tiles import Labels

SIDE = 24
WHOLE = (0, SIDE), (0, SIDE)


def boxes(labels: np.ndarray) -> list[Box]:
    places = [place for place in ndimage.find_objects(labels) if place]
    return [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in places]


def shown(labels: np.ndarray, shapes: Sequence[Shape] = (), *, instance: bool = True) -> Shown:
    return Shown(labels=Labels(labels), boxes=boxes(labels), shapes=shapes, instance=instance)


@pytest.fixture
def two() -> np.ndarray:
    """A bar that is two touching objects, 3 and 5, and one apart, 8."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[4:9, 3:8], labels[4:9, 8:15], labels[14:19, 14:20] = 3, 5, 8
    return labels


def objects_of(mark: Objects) -> np.ndarray:
    return rasterise_objects([mark], *WHOLE)


@pytest.mark.parametrize("points", [[(3.0, 4.0)], [(3.0, 4.0), (3.2, 20.0)], [(-9.0, 2.0), (-2.0, 20.0)]])
def test_a_frame_without_pixels_is_refused(two: np.ndarray, points: list[Point]) -> None:
    with pytest.raises(BadOption, match="rectangle"):
        correct(shown(two), "frame", points)


@given(arrays.arrays(np.int32, (9, 11), elements=st.integers(0, 3)))
def test_accepted_outlines_are_the_pixels(labels: np.ndarray) -> None:
    """Whatever the objects look like: holes, corners that touch, several parts."""
    line: list[Point] = [(x + 0.5, y + 0.5) for y in range(9) for x in range(11)]
    if not labels.any():
        with pytest.raises(BadOption):
            correct(shown(labels), "accept", line)
        return
    mark = correct(shown(labels), "accept", line)
    painted = rasterise_objects([mark], (0, 9), (0, 11))
    assert np.array_equal(painted > 0, labels > 0)
    for number in np.unique(labels[labels > 0]):
        assert len(np.unique(painted[labels == number])) == 1
    window = rasterise_objects([mark], (2, 7), (3, 9))
    assert np.array_equal(window, painted[2:7, 3:9]), "a window is a part of the whole"


@pytest.mark.parametrize("instance", [True, False])
@pytest.mark.parametrize(
    ("action", "points"),
    [
        ("accept", [(4.5, 5.5)]),
        ("delete", [(16.5, 14.5), (9.5, 8.5)]),
        ("merge", [(12.5, 7.5), (16.5, 16.5)]),
        ("split", [(5.5, 3.0), (5.5, 10.0)]),
        ("frame", [(6.0, 6.0), (16.0, 16.0)]),
    ],
)
def test_objects_of_which_no_boxes_are_known_are_whole_too(
    two: np.ndarray, action: Action, points: list[Point], instance: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a large image, of which no table is kept."""
    monkeypatch.setattr(corrections, "MARGIN", 1)
    labels = two if instance else (two > 0).astype(np.int32)
    known = correct(shown(labels, instance=instance), action, points)
    alone = correct(Shown(labels=Labels(labels), boxes=(), shapes=(), instance=instance), action, points)
    assert np.array_equal(objects_of(alone), objects_of(known))
    assert np.array_equal(rasterise([alone], *WHOLE), rasterise([known], *WHOLE))


def test_delete_makes_background(two: np.ndarray) -> None:
    mark = correct(shown(two), "delete", [(4.5, 5.5)])
    classes = rasterise([mark], *WHOLE)
    assert np.array_equal(classes == 0, two == 3)
    assert (classes[two != 3] == IGNORE).all()


def test_merge(two: np.ndarray) -> None:
    touching = objects_of(correct(shown(two), "merge", [(4.5, 5.5), (12.5, 5.5)]))
    assert np.array_equal(touching > 0, np.isin(two, [3, 5]))
    apart = objects_of(correct(shown(two), "merge", [(12.5, 7.5), (16.5, 16.5)]))
    assert components(apart > 0).max() == 1, "the line joins what does not touch"
    assert (apart > 0)[np.isin(two, [5, 8])].all()
    with pytest.raises(BadOption, match="one object"):
        correct(shown(two), "merge", [(4.5, 5.5)])


@given(st.floats(8.6, 14.4), st.floats(8.6, 14.4))
def test_split_keeps_every_pixel(top: float, bottom: float) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[4:9, 8:15] = 1
    try:
        mark = correct(shown(labels), "split", [(top, 1.0), (bottom, 12.0)])
    except BadOption:
        assert min(top, bottom) < 9.5 or max(top, bottom) > 13.5, "only lines along an edge cut nothing off"
        return
    pieces = objects_of(mark)
    assert np.array_equal(pieces > 0, labels > 0)
    assert len(mark.objects) == 2
    columns = np.mgrid[:SIDE, :SIDE][1] + 0.5
    left = np.unique(pieces[(labels > 0) & (columns < min(top, bottom) - 2)])
    right = np.unique(pieces[(labels > 0) & (columns > max(top, bottom) + 2)])
    assert not set(left) & set(right)


@pytest.mark.parametrize("line", [[(10.5, 5.5), (12.5, 5.5)], [(11.5, 6.5)]])
def test_a_line_that_does_not_cross(two: np.ndarray, line: list[Point]) -> None:
    with pytest.raises(BadOption, match="leaves it whole"):
        correct(shown(two), "split", line)


def test_a_frame_knows_its_background(two: np.ndarray) -> None:
    mark = correct(shown(two), "frame", [(16.2, 11.9), (0.1, 1.2)])
    numbers = objects_of(mark)
    inside = np.zeros_like(two, bool)
    inside[1:12, 0:16] = True
    assert np.array_equal(numbers == 0, inside & (two == 0))
    assert np.array_equal(numbers > 0, np.isin(two, [3, 5]))
    assert len(mark.objects) == 2
    assert (numbers[~inside] == -1).all()


def test_an_object_that_a_frame_cuts_is_whole(two: np.ndarray) -> None:
    mark = correct(shown(two), "frame", [(0.0, 0.0), (10.0, 10.0)])
    assert np.array_equal(objects_of(mark) > 0, np.isin(two, [3, 5]))


def test_a_correction_sees_those_before(two: np.ndarray) -> None:
    gone = correct(shown(two), "delete", [(4.5, 5.5)])
    frame = correct(shown(two, [gone]), "frame", [(0.0, 0.0), (24.0, 24.0)])
    assert np.array_equal(objects_of(frame) > 0, np.isin(two, [5, 8])), "what was deleted stays deleted"
    pieces = correct(shown(two), "split", [(11.5, 2.0), (11.5, 11.0)])
    one = correct(shown(two, [pieces]), "accept", [(9.5, 5.5)])
    assert set(np.nonzero(objects_of(one) > 0)[1]) <= set(range(8, 13)), "one piece, not the object of the result"


def test_regions_of_classes() -> None:
    classes = np.zeros((SIDE, SIDE), np.uint8)
    classes[2:6, 2:6], classes[2:6, 6:9], classes[10:12, 2:9] = 1, 2, 1
    mark = correct(shown(classes, instance=False), "accept", [(3.5, 3.5), (7.5, 3.5)])
    assert sorted(outline.class_index for outline in mark.objects) == [1, 2]
    painted = rasterise([mark], *WHOLE)
    assert np.array_equal(painted == 1, (classes == 1) & (np.arange(SIDE)[:, None] < 8))
    assert np.array_equal(painted == 2, classes == 2)


@pytest.mark.parametrize("action", ["accept", "delete", "merge", "split"])
def test_nothing_there(two: np.ndarray, action: Action) -> None:
    with pytest.raises(BadOption, match="background"):
        correct(shown(two), action, [(0.5, 0.5), (1.5, 1.5)])
    with pytest.raises(BadOption, match="outside"):
        correct(shown(two), action, [(500.0, 500.0)])


@pytest.mark.parametrize(
    ("limit", "expected"), [("MAX_PIXELS", "pixels"), ("MAX_OBJECTS", "objects"), ("MAX_OUTLINE", "points")]
)
def test_corrections_have_limits(limit: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.repeat(np.arange(1, 9, dtype=np.int32), 4)[None].repeat(4, axis=0)
    assert len(correct(shown(values), "accept", [(0.5, 1.5), (31.5, 1.5)]).objects) == 8
    monkeypatch.setattr(corrections, limit, 3)
    with pytest.raises(BadOption) as refused:
        correct(shown(values), "accept", [(0.5, 1.5), (31.5, 1.5)])
    assert refused.value.expected.endswith(f"at most 3 {expected}")
