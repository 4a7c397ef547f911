"""Instance metrics, compared with hand-computed values, definitions and torchmetrics."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from torchmetrics.functional.detection import panoptic_quality as reference_quality

from pixelwise.metrics.instance import (
    THRESHOLDS,
    average_precision,
    match,
    mean_average_precision,
    panoptic_quality,
    pool,
    seg,
)

World = tuple[np.ndarray, np.ndarray]

pictures = arrays(np.int32, (4, 6), elements=st.integers(0, 3))


@pytest.fixture
def world():
    """Four true objects of 10 pixels, predicted at IoU 1, 8/10, 5/10 and 0, and one false positive."""
    truth, predicted = np.zeros((9, 20), np.int32), np.zeros((9, 20), np.int32)
    for number, row in enumerate((0, 2, 4, 6), start=1):
        truth[row, :10] = number
    predicted[0, :10], predicted[2, :8], predicted[4, :5], predicted[8, 12:20] = 9, 4, 7, 2
    return truth, predicted


def test_values_by_hand(world: World):
    matching = match(*world)
    assert (matching.truths, matching.predictions, matching.count_error) == (4, 4, 0)
    assert sorted(matching.ious) == [0.8, 1.0]
    assert average_precision(matching, 0.5) == 2 / 6  # IoU must be above the threshold: 5/10 is not
    assert average_precision(matching, 0.8) == 1 / 7
    assert mean_average_precision(matching) == pytest.approx((6 * 2 / 6 + 4 * 1 / 7) / 10)
    quality = panoptic_quality(matching)
    assert quality.sq == pytest.approx(0.9)
    assert quality.rq == pytest.approx(2 / 4)
    assert quality.pq == pytest.approx(0.45)
    assert seg(matching) == pytest.approx((1 + 0.8 + 0 + 0) / 4)  # half of an object is not more than half


@pytest.mark.parametrize("shared", range(11, 20))
def test_an_iou_at_a_threshold_is_not_above_it(shared: int):
    truth, predicted = np.ones((1, 20), np.int32), np.zeros((1, 20), np.int32)
    predicted[0, :shared] = 1
    assert average_precision(match(truth, predicted), shared / 20) == 0
    assert mean_average_precision(match(truth, predicted)) == pytest.approx((shared - 10) / 10)


def brute_iou(truth: np.ndarray, predicted: np.ndarray):
    t, p = np.unique(truth[truth > 0]), np.unique(predicted[predicted > 0])
    return np.array(
        [[((truth == i) & (predicted == j)).sum() / ((truth == i) | (predicted == j)).sum() for j in p] for i in t]
    ).reshape(len(t), len(p))


@given(pictures, pictures)
def test_matches_are_those_of_the_best_assignment(truth: np.ndarray, predicted: np.ndarray):
    iou = brute_iou(truth, predicted)
    matching = match(truth, predicted)
    for threshold in THRESHOLDS:
        allowed = iou > threshold
        hits = int(allowed[linear_sum_assignment(-allowed.astype(float))].sum())
        objects = sum(iou.shape) - hits
        assert average_precision(matching, threshold) == (hits / objects if objects else None)


@given(pictures, pictures)
def test_seg_is_its_definition(truth: np.ndarray, predicted: np.ndarray):
    values = []
    for number in np.unique(truth[truth > 0]):
        inside = truth == number
        best = 0.0
        for other in np.unique(predicted[predicted > 0]):
            found = predicted == other
            if 2 * (inside & found).sum() > inside.sum():
                best = (inside & found).sum() / (inside | found).sum()
        values.append(best)
    assert seg(match(truth, predicted)) == (pytest.approx(np.mean(values)) if values else None)


@given(pictures, pictures)
def test_panoptic_quality_is_that_of_torchmetrics(truth: np.ndarray, predicted: np.ndarray):
    import torch

    quality = panoptic_quality(match(truth, predicted))
    if quality.pq is None:
        assert not truth.any()
        assert not predicted.any()
        return
    assert quality.rq is not None
    assert quality.pq == pytest.approx((quality.sq or 0) * quality.rq)
    pair = [
        torch.from_numpy(np.stack([(labels > 0).astype(np.int64), labels.astype(np.int64)], -1))[None]
        for labels in (predicted, truth)
    ]
    reference = reference_quality(*pair, things={1}, stuffs={0}, return_sq_and_rq=True, return_per_class=True)
    values = reference.squeeze(0)[0].tolist() if reference.ndim == 3 else reference[0].tolist()
    assert [quality.pq, quality.sq or 0.0, quality.rq] == pytest.approx(values, abs=1e-6)


def test_empty_images_are_undefined_and_false_alarms_are_not(world: World):
    empty = np.zeros((9, 20), np.int32)
    both = match(empty, empty)
    assert average_precision(both, 0.5) is mean_average_precision(both) is seg(both) is None
    assert panoptic_quality(both).pq is panoptic_quality(both).sq is None
    invented = match(empty, world[1])
    assert (average_precision(invented, 0.5), seg(invented), panoptic_quality(invented).pq) == (0, None, 0)
    missed = match(world[0], empty)
    assert (average_precision(missed, 0.5), seg(missed), panoptic_quality(missed).sq) == (0, 0, None)


def test_predictions_on_ignored_pixels_are_removed(world: World):
    truth, predicted = world
    truth[8] = -1
    assert match(truth, predicted).predictions == 3
    truth[8] = 0  # control
    assert match(truth, predicted).predictions == 4


def test_pooling_joins_objects_not_images(world: World):
    joined = pool([match(*world), match(world[0], world[0])])
    assert (joined.truths, joined.predictions) == (8, 8)
    assert average_precision(joined, 0.5) == 6 / 10
    assert seg(joined) == pytest.approx((1.8 + 4) / 8)
    assert pool([]).truths == 0


def test_thresholds_below_a_half_raise(world: World):
    with pytest.raises(ValueError, match="unique"):
        average_precision(match(*world), 0.3)


def instructions(function: Callable[[], object]) -> int:
    """Count the Python instructions of a call, independently of the load of the machine."""
    count, before = 0, sys.gettrace()

    def follow(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return follow

    sys.settrace(follow)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_a_thousand_objects_take_no_loop_over_objects():
    rows, columns = np.indices((1024, 1024)) // 32
    truth = (rows * 32 + columns + 1).astype(np.int32)
    moved = np.roll(truth, 3, axis=1)
    assert len(match(truth, moved).ious) >= 992
    few = np.where(truth <= 4, truth, 0)
    assert instructions(lambda: match(truth, moved)) < 1.5 * instructions(lambda: match(few, np.roll(few, 3, axis=1)))
    # control: such a loop is detected
    assert instructions(lambda: [number + 1 for number in range(1024)]) > 1024
