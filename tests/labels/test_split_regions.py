"""Splitting of regions: erosion, contacts of labels, and lines between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pixelwise.labels import split_regions
from pixelwise.labels.label_image import components, depth
from pixelwise.labels.split_regions import contact_pixels, cut_lines, erode

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 25), st.integers(1, 25)), elements=st.integers(0, 9).map(bool))


@st.composite
def label_images(draw: st.DrawFn) -> np.ndarray:
    """Few labels, so that many touch only at corners."""
    shape, seed = draw(st.tuples(st.integers(1, 12), st.integers(1, 12))), draw(st.integers(0, 1000))
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.int32)


@settings(max_examples=200)
@given(mask=MASKS, reach=st.integers(0, 30))
def test_deep_pixels_agree_with_the_distance_transform(mask: np.ndarray, reach: int) -> None:
    mask[0, 0] = False  # the distance needs something outside
    before = mask.copy()
    assert np.array_equal(erode(mask, reach), depth(mask) > reach)
    assert np.array_equal(mask, before)


def test_the_image_border_is_not_an_edge() -> None:
    assert erode(np.ones((4, 50), bool), 9).all()


def test_depth_is_local() -> None:
    """It can therefore be computed strip by strip, with a few rows around."""
    mask = np.random.default_rng(0).random((60, 40)) < 0.995
    assert np.array_equal(erode(mask[13:47], 7)[7:-7], erode(mask, 7)[20:40])
    assert not np.array_equal(erode(mask[20:40], 7), erode(mask, 7)[20:40]), "control: no rows around"


@given(labels=label_images())
def test_without_the_pixels_where_labels_meet_no_two_touch(labels: np.ndarray) -> None:
    kept = np.where(contact_pixels(labels), 0, labels)
    areas = components(kept > 0)  # corners touch
    for number in range(1, int(areas.max()) + 1):
        assert len(np.unique(kept[areas == number])) == 1


@given(labels=label_images(), height=st.integers(1, 5))
def test_lines_by_strips_equal_the_whole_image(labels: np.ndarray, height: int) -> None:
    mask = np.full(labels.shape, 1, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            split_regions, "row_strips", lambda shape: [slice(i, i + height) for i in range(0, shape[0], height)]
        )
        cut_lines(mask, labels)
    assert np.array_equal(mask == 0, contact_pixels(labels))
