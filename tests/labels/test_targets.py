"""Encoding of targets and decoding of objects."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.segmentation import watershed

from pixelwise.errors import BadOption
from pixelwise.labels.instances import decode
from pixelwise.labels.label_image import renumber
from pixelwise.labels.targets import (
    IGNORE,
    TargetOptions,
    border_weights,
    class_channels,
    edge_distance,
    encode,
    probabilities_of,
    separate,
    target_channels,
    target_classes,
    target_objects,
)

BOUNDARY = TargetOptions(kind="boundary")
DISTANCE = TargetOptions(kind="distance")


def certain(target: np.ndarray, classes: int) -> np.ndarray:
    """Return the prediction of a perfect network for a target."""
    return np.eye(classes, dtype=np.float32)[target].transpose(2, 0, 1)


def certain_depths(labels: np.ndarray) -> np.ndarray:
    """Return the prediction of a perfect network for a label image, including distances."""
    classes = certain(encode(labels, DISTANCE), 3)
    return np.concatenate([classes, edge_distance(labels)[None].astype(np.float32)])


def same_objects(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two label images are equal up to relabelling."""
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    zero = pairs[0][pairs[1] == 0].tolist() in ([], [0])
    return zero and len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


@st.composite
def tilings(draw: st.DrawFn):
    """Rectangles of at least 5 x 5 that touch all around, some of them left out."""
    heights = draw(st.lists(st.integers(5, 12), min_size=1, max_size=4))
    widths = draw(st.lists(st.integers(5, 12), min_size=1, max_size=4))
    labels = np.zeros((sum(heights), sum(widths)), np.int32)
    number, top = 0, 0
    for height in heights:
        left = 0
        for width in widths:
            if draw(st.booleans()):
                number += 1
                labels[top : top + height, left : left + width] = number
            left += width
        top += height
    return labels


def touching_cells(seed: int) -> np.ndarray:
    """Twelve convex cells that touch, in a disk."""
    rng = np.random.default_rng(seed)
    points = np.array([(r, c) for r in (25, 50, 75) for c in (20, 40, 60, 80)]) + rng.integers(-4, 5, (12, 2))
    grid = np.indices((100, 100)).reshape(2, -1).T
    distance = cdist(grid, points)
    labels = (distance.argmin(1) + 1) * (distance.min(1) < 16)
    return labels.reshape(100, 100).astype(np.int32)


@given(tilings())
def test_boundary_round_trip_of_touching_rectangles(labels: np.ndarray):
    decoded = decode(certain(encode(labels, BOUNDARY), 3), BOUNDARY)
    assert same_objects(decoded, labels)


@pytest.mark.parametrize("seed", range(4))
def test_boundary_round_trip_of_touching_cells(seed: int):
    labels = touching_cells(seed)
    decoded = decode(certain(encode(labels, BOUNDARY), 3), BOUNDARY)
    assert decoded.max() == 12
    np.testing.assert_array_equal(decoded > 0, labels > 0)
    best = [np.bincount(decoded[labels == n]).max() for n in range(1, 13)]
    assert sum(best) / (labels > 0).sum() > 0.995  # at corners a pixel may go to the neighbour
    # control: without the boundary class touching cells are one
    joined = TargetOptions(kind="components")
    assert decode(certain(encode(labels, joined), 2), joined).max() == 1


@given(tilings())
def test_distance_round_trip_of_touching_rectangles(labels: np.ndarray):
    assert same_objects(decode(certain_depths(labels), DISTANCE), labels)


@pytest.mark.parametrize("seed", range(4))
def test_distance_round_trip_of_touching_cells(seed: int):
    labels = touching_cells(seed)
    decoded = decode(certain_depths(labels), DISTANCE)
    assert decoded.max() == 12
    np.testing.assert_array_equal(decoded > 0, labels > 0)
    best = [np.bincount(decoded[labels == n]).max() for n in range(1, 13)]
    assert sum(best) / (labels > 0).sum() > 0.995  # at corners a pixel may go to the neighbour
    # without the boundary class the distances alone separate them
    blurred = certain_depths(labels)
    blurred[1:3] = (blurred[1] + blurred[2]) / 2
    assert decode(blurred, replace(DISTANCE, seed_threshold=0.3)).max() == 12
    # control: with constant distances as well, touching cells are one object
    blurred[3] = labels > 0
    assert decode(blurred, replace(DISTANCE, seed_threshold=0.3)).max() == 1


@given(tilings(), st.integers(0, 3))
def test_distances_are_relative_to_the_largest(labels: np.ndarray, quarters: int):
    found = edge_distance(labels)
    outside = found[labels == 0]
    assert (outside == 0).all()
    for number in np.unique(labels[labels > 0]):
        inside, rest = np.argwhere(labels == number), np.argwhere(labels != number)
        depths = cdist(inside, rest).min(1) if len(rest) else np.ones(len(inside))
        np.testing.assert_allclose(found[labels == number], depths / depths.max(), atol=1e-3)
    np.testing.assert_array_equal(edge_distance(np.rot90(labels, quarters)), np.rot90(found, quarters))


def test_distances_of_a_small_example():
    labels = np.zeros((7, 9), np.int32)
    labels[1:6, 0:5], labels[6, 8], labels[0, 7:] = 3, 8, -1
    expected = np.zeros((7, 9))
    # the image border is not an object border
    expected[1:6, 0:5] = (
        np.array([[1, 1, 1, 1, 1], [2, 2, 2, 2, 1], [3, 3, 3, 2, 1], [2, 2, 2, 2, 1], [1, 1, 1, 1, 1]]) / 3
    )
    expected[6, 8] = 1
    np.testing.assert_allclose(edge_distance(labels), expected, atol=1e-3)
    assert (edge_distance(np.full((4, 4), 2)) == 1).all()


def test_only_the_distance_is_outside_the_softmax(rng: np.random.Generator):
    logits = rng.normal(0, 3, (4, 5, 6)).astype(np.float32)
    probabilities = probabilities_of(logits, DISTANCE)
    np.testing.assert_allclose(probabilities[:3].sum(0), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities[3], 1 / (1 + np.exp(-logits[3])), rtol=1e-5)
    np.testing.assert_array_equal(
        probabilities_of(np.stack([logits, logits]), DISTANCE, channel_axis=1)[1], probabilities
    )
    np.testing.assert_allclose(probabilities_of(logits, TargetOptions()).sum(0), 1, rtol=1e-5)


@given(st.lists(st.booleans(), min_size=9, max_size=9), st.integers(2, 5))
def test_components_round_trip_of_separate_objects(present: list[bool], side: int):
    labels = np.zeros((3 * side + 3, 3 * side + 3), np.int32)
    for place, there in enumerate(present):
        row, column = divmod(place, 3)
        top, left = row * (side + 1), column * (side + 1)
        labels[top : top + side, left : left + side] = (place + 1) * there
    options = TargetOptions(kind="components")
    np.testing.assert_array_equal(decode(certain(encode(labels, options), 2), options), renumber(labels))


def test_classes_and_ignored_pixels_are_unchanged():
    mask = np.array([[0, 3], [IGNORE, 1]])
    target = encode(mask, TargetOptions())
    np.testing.assert_array_equal(target, mask)
    decoded = decode(certain(np.where(target == IGNORE, 0, target), 4), TargetOptions())
    np.testing.assert_array_equal(decoded, [[0, 3], [0, 1]])


def test_boundary_of_a_small_example():
    labels = np.zeros((5, 8), np.int32)
    labels[:, 1:4], labels[:, 4:8] = 1, 2
    labels[0, 7] = -1
    expected = np.array([[0, 2, 1, 2, 2, 1, 2, 255]] + [[0, 2, 1, 2, 2, 1, 1, 1]] * 4)
    expected[1, 7] = 2  # what lies beside ignored pixels is boundary as well
    np.testing.assert_array_equal(encode(labels, BOUNDARY), expected)


def test_wide_boundaries_reach_deeper():
    labels = np.zeros((12, 12), np.int32)
    labels[1:11, 1:11] = 1
    for width in (1, 2, 3):
        target = encode(labels, TargetOptions(kind="boundary", boundary_width=width))
        expected = np.zeros((12, 12), bool)
        expected[1 + width : 11 - width, 1 + width : 11 - width] = True
        np.testing.assert_array_equal(target == 1, expected)


def test_thin_objects_keep_a_seed():
    labels = np.zeros((9, 9), np.int32)
    labels[4, 1:8] = 5
    labels[7:9, 7:9] = 2000
    target = encode(labels, BOUNDARY)
    assert (target[labels == 5] == 1).any()
    assert same_objects(decode(certain(target, 3), BOUNDARY), labels)


def test_small_objects_are_removed_in_decoding():
    labels = np.zeros((20, 20), np.int32)
    labels[1:4, 1:4], labels[8:18, 8:18] = 1, 2
    options = TargetOptions(kind="boundary", min_area=10)
    assert decode(certain(encode(labels, options), 3), options).max() == 1


def test_holes_inside_an_object_are_filled():
    probabilities = np.zeros((3, 15, 15), np.float32)
    probabilities[1, 2:13, 2:13] = 1
    probabilities[1, 7, 7] = 0
    probabilities[0] = 1 - probabilities[1]
    assert decode(probabilities, BOUNDARY)[7, 7] == 1


def test_empty_images_have_no_objects():
    for kind, classes in (("components", 2), ("boundary", 3)):
        options = TargetOptions(kind=kind)
        empty = np.zeros((6, 6), np.int32)
        assert decode(certain(encode(empty, options), classes), options).max() == 0


@pytest.mark.parametrize(("kind", "expected"), [("classes", 7), ("components", 2), ("boundary", 3), ("distance", 3)])
def test_target_classes(kind: Any, expected: int):
    options = TargetOptions(kind=kind)
    assert target_classes(options, 7) == expected
    channels = target_channels(options, 7)
    assert channels == expected + (kind == "distance")
    assert class_channels(options, channels) == expected


def test_a_threshold_for_more_than_two_classes_raises():
    options = TargetOptions(foreground_threshold=0.7)
    with pytest.raises(BadOption, match=r"masks of more than two classes; got 0\.7 for 3 classes"):
        target_channels(options, 3)
    with pytest.raises(BadOption, match=r"split_depth 0 for masks of more than two classes; got 5 for 3 classes"):
        target_channels(TargetOptions(split_depth=5), 3)
    assert target_channels(options, 2) == target_channels(replace(options, kind="components"), 3) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed_threshold": 1.0},
        {"foreground_threshold": 0.0},
        {"split_threshold": 1.5},
        {"split_depth": -1},
        {"split_depth": 1000},
        {"split_depth": 5, "kind": "boundary"},
        {"boundary_width": 0},
        {"separate": -1},
        {"class_areas": (5, 5)},
        {"class_areas": (0, -5)},
        {"class_areas": (0, 5), "kind": "components"},
    ],
)
def test_invalid_options_raise(wrong: dict[str, Any]):
    with pytest.raises(BadOption, match=next(iter(wrong))):
        TargetOptions(**wrong)


def test_border_weights_are_equation_2_of_the_paper():
    labels = watershed(np.zeros((30, 34)), np.eye(30, 34, k=2, dtype=int) * np.repeat([[9], [4], [7]], 10, axis=0))
    labels[:, 10:16] = labels[12:20] = 0
    found = border_weights(labels)
    row_column = np.indices(labels.shape).reshape(2, -1).T
    distances = np.stack([cdist(row_column, np.argwhere(labels == n)).min(1) for n in np.unique(labels)[1:]])
    nearest = np.sort(distances, 0)[:2].sum(0).reshape(labels.shape)
    expected = np.where(labels > 0, 0, 10 * np.exp(-(nearest**2) / 50))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.max() > 5


def test_border_weights_need_two_objects():
    assert border_weights(np.eye(5, dtype=np.int32)).max() == 0


def test_separation_of_a_small_example():
    labels = np.zeros((4, 7), np.int32)
    labels[:, :3], labels[:2, 3:6], labels[2:, 3:6] = 7, 2, 9
    labels[0, 6] = -1
    # the object with the higher label is cut, at corners too
    expected = np.array([[7, 7, 0, 2, 2, 2, -1], [7, 7, 0, 2, 2, 2, 0], [7, 7, 0, 0, 0, 0, 0], [7, 7, 7, 0, 9, 9, 0]])
    np.testing.assert_array_equal(separate(labels), expected)
    target = encode(labels, TargetOptions(kind="components", separate=1))
    np.testing.assert_array_equal(target, np.where(expected < 0, IGNORE, expected > 0))


@pytest.mark.parametrize("seed", range(3))
def test_separated_cells_are_recovered(seed: int):
    labels = touching_cells(seed)
    options = TargetOptions(kind="components", separate=1)
    decoded = decode(certain(encode(labels, options), 2), options)
    assert decoded.max() == 12
    assert (decoded > 0).sum() > 0.85 * (labels > 0).sum()
    # control: without separation they are one object
    joined = replace(options, separate=0)
    assert decode(certain(encode(labels, joined), 2), joined).max() == 1


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_border_has_the_given_width(width: int):
    labels = np.repeat([[1] * 8 + [2] * 8], 6, axis=0)
    assert ((separate(labels, width) == 0).sum(1) == width).all()


@given(tilings())
def test_no_object_is_lost_by_separating(labels: np.ndarray):
    cut = separate(labels)
    assert set(np.unique(cut)) - {0} == set(np.unique(labels)) - {0}
    assert ((cut == labels) | (cut == 0)).all()


def test_an_object_of_one_pixel_keeps_it():
    labels = np.ones((5, 5), np.int32)
    labels[2, 2] = 2
    assert (separate(labels) == 2).sum() == 1


def test_objects_of_a_target():
    mask = np.array([[0, 1, 1, 0, 1], [0, 0, 2, 2, IGNORE]])
    plain = TargetOptions()
    np.testing.assert_array_equal(target_objects(mask, encode(mask, plain), plain), [[0, 1, 1, 0, 2], [0, 0, 3, 3, 0]])
    labels = np.repeat([[4, 4, 4, 9, 9, 9]], 6, axis=0)
    options = TargetOptions(kind="components", separate=1)
    objects = target_objects(labels, encode(labels, options), options)
    np.testing.assert_array_equal(objects[0], [1, 1, 1, 0, 2, 2])
    inner = target_objects(labels, encode(labels, BOUNDARY), BOUNDARY)
    np.testing.assert_array_equal(inner[3], [1, 1, 0, 0, 2, 2])
    # on the seam both objects are a pixel away: 10 exp(-(1 + 1)^2 / 50)
    assert border_weights(objects)[3, 3] == pytest.approx(10 * np.exp(-4 / 50))


def volume_of_objects() -> np.ndarray:
    """Two touching boxes, a voxel, and an ignored slice."""
    labels = np.zeros((8, 12, 12), np.int32)
    labels[1:6, 2:6, 2:8], labels[1:6, 6:10, 2:8], labels[3, 3, 10] = 4, 7, 9
    labels[7] = -1
    return labels


def test_targets_of_volumes_are_those_of_every_slice_and_more() -> None:
    labels = volume_of_objects()
    target = encode(labels, TargetOptions(kind="boundary"))
    assert (target[7] == IGNORE).all()
    assert target[3, 3, 10] == 1, "an object without interior keeps its innermost voxel"
    inside = np.zeros(labels.shape, bool)
    inside[2:5, 3:5, 3:7] = inside[2:5, 7:9, 3:7] = True
    inside[3, 3, 10] = True
    np.testing.assert_array_equal(target == 1, inside)
    np.testing.assert_array_equal((target > 0) & (target != IGNORE), labels > 0)
    gap = encode(labels, TargetOptions(kind="components", separate=1))
    assert (gap[1:6, 6, 2:8] == 0).all()
    assert (gap[1:6, 5, 2:8] == 1).all()


def test_distances_and_weights_of_volumes_use_the_third_axis() -> None:
    labels = volume_of_objects()
    distance = edge_distance(labels)
    assert distance[3, 3, 5] == distance[labels == 4].max() == 1
    assert distance[1, 3, 5] < distance[3, 3, 5]
    weights = border_weights(np.maximum(labels, 0), 10.0, 2.0)
    one, two = (ndimage.distance_transform_edt(labels != number) for number in (4, 7))
    three = ndimage.distance_transform_edt(labels != 9)
    near = np.sort(np.array([one, two, three]), axis=0)[:2].sum(0)
    expected = np.where(labels > 0, 0, 10 * np.exp(-(near**2) / 8))
    np.testing.assert_allclose(weights, expected, atol=1e-4)


def test_a_volume_of_one_slice_has_the_targets_of_an_image() -> None:
    """Control for the axes: what depends on neighbours within the slice alone is equal."""
    labels = volume_of_objects()[3]
    for options in (TargetOptions(kind="components", separate=2), TargetOptions(kind="classes")):
        np.testing.assert_array_equal(encode(labels[None], options)[0], encode(labels, options))
    np.testing.assert_array_equal(border_weights(labels[None])[0], border_weights(labels))
    np.testing.assert_array_equal(edge_distance(labels[None])[0], edge_distance(labels))
