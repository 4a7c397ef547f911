"""Regions: the order of writing, class probabilities, and scores of sets of classes from those of the classes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logit

from pixelwise.errors import BadOption
from pixelwise.labels.instances import decode
from pixelwise.labels.regions import class_probabilities, membership, region_matrices, write_regions
from pixelwise.labels.targets import TargetOptions, most_probable_wins, probabilities_of, target_channels
from pixelwise.metrics.semantic import confusion

TARGET = TargetOptions(
    regions=((1, 2, 3), (2, 3), (3,)),
    region_names=("whole", "core", "enhancing"),
    region_classes=(1, 2, 3),
    region_thresholds=(0.5, 0.4, 0.7),
)
PROBABILITIES = arrays(np.float64, (3, 4, 5), elements=st.floats(0.01, 0.99))


@given(PROBABILITIES)
def test_later_regions_cover_earlier_ones(probabilities: np.ndarray) -> None:
    expected = np.zeros(probabilities.shape[1:], int)
    for index in np.ndindex(*expected.shape):
        for region, (written, threshold) in enumerate(zip(TARGET.region_classes, (0.5, 0.4, 0.7), strict=True)):
            if probabilities[region][index] > threshold:
                expected[index] = written
    np.testing.assert_array_equal(decode(probabilities, TARGET), expected)


@given(PROBABILITIES)
def test_logits_and_probabilities_give_one_mask(probabilities: np.ndarray) -> None:
    logits = logit(probabilities)
    again = probabilities_of(logits, TARGET)
    np.testing.assert_allclose(again, probabilities, atol=1e-12)
    clear = (np.abs(probabilities - np.array(TARGET.region_thresholds)[:, None, None]) > 1e-9).all(0)
    np.testing.assert_array_equal(
        write_regions(logits, TARGET, logits=True)[clear], write_regions(probabilities, TARGET)[clear]
    )


@given(PROBABILITIES)
def test_class_probabilities_are_a_distribution(probabilities: np.ndarray) -> None:
    each = class_probabilities(probabilities, TARGET)
    assert each.shape == (4, 4, 5)
    np.testing.assert_allclose(each.sum(0), 1)
    certain = np.where(probabilities > np.array(TARGET.region_thresholds)[:, None, None], 1.0, 0.0)
    np.testing.assert_array_equal(class_probabilities(certain, TARGET).argmax(0), write_regions(certain, TARGET))


@given(arrays(np.uint8, (2, 6, 7), elements=st.integers(0, 3)))
def test_scores_of_regions_are_those_of_their_masks(masks: np.ndarray) -> None:
    truth, predicted = masks
    matrices = region_matrices(confusion(truth, predicted, 4), TARGET)
    for region, matrix in zip(TARGET.regions, matrices, strict=True):
        inside = [np.isin(mask, region).astype(np.uint8) for mask in (truth, predicted)]
        np.testing.assert_array_equal(matrix, confusion(inside[0], inside[1], 2))


def test_one_channel_per_region_and_no_argmax() -> None:
    assert target_channels(TARGET, 4) == 3
    assert not most_probable_wins(TARGET)
    assert membership(TARGET.regions, 4).sum(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"region_classes": (1, 1, 3)},
        {"region_classes": (1, 2, 9)},
        {"region_thresholds": (0.5, 1.0, 0.5)},
        {"region_names": ("whole", "core")},
        {"regions": ((0, 1), (2, 3), (3,))},
        {"kind": "boundary"},
        {"split_depth": 3},
    ],
)
def test_contradictions_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        replace(TARGET, **change)  # type: ignore[arg-type]


def test_thresholds_may_be_set_before_the_regions_are_known() -> None:
    """As on the command line: the regions follow from the data set."""
    early = TargetOptions(region_thresholds=(0.3, 0.4, 0.5))
    assert most_probable_wins(early)
    with pytest.raises(BadOption, match="region"):
        replace(TARGET, region_thresholds=(0.3, 0.4))
