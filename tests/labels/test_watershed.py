"""Watershed compared with scikit-image for distinct heights, and with a pixel-by-pixel implementation for ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.segmentation import watershed

from pixelwise.labels import watershed as flooding
from pixelwise.labels.label_image import components
from pixelwise.labels.watershed import EXCLUDED, seeded_watershed

World = tuple[np.ndarray, np.ndarray]


def pixel_by_pixel(heights: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The rule of `seeded_watershed` pixel by pixel: heights, fronts, four directions in order."""
    labels, free = seeds.copy(), (heights != EXCLUDED) & (seeds == 0)
    inside = [tuple(place) for place in np.argwhere((seeds > 0) & (heights != EXCLUDED)).tolist()]
    waiting = {level: [p for p in inside if heights[p] == level] for level in range(EXCLUDED)}
    for level in range(EXCLUDED):
        wave = waiting[level]
        while wave:
            following: list[tuple[int, ...]] = []
            for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
                for row, column in wave:
                    place = row + down, column + right
                    if min(place) >= 0 and place[0] < len(heights) and place[1] < len(heights[0]) and free[place]:
                        free[place], labels[place] = False, labels[row, column]
                        (following if heights[place] <= level else waiting[int(heights[place])]).append(place)
            wave = following
    return labels


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Few heights, so that nearly all are ties, and seeds anywhere, outside too."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    heights = draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 254, EXCLUDED])))
    return heights, draw(arrays(np.int32, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 7])))


@given(worlds(), st.sampled_from([0, 2, 1 << 12]), st.sampled_from([1, 3, 1 << 18]), st.sampled_from([1, 7, 1 << 20]))
def test_the_rule_holds_for_all_sizes_of_blocks_and_strips(world: World, narrow: int, block: int, strip: int):
    heights, seeds = world
    expected = pixel_by_pixel(heights, seeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelwise.labels.watershed._MAX_UNLABELLED", -1)  # by levels, however small
        patch.setattr("pixelwise.labels.watershed._FEW_PIXELS", narrow)
        patch.setattr("pixelwise.labels.watershed._BLOCK", block)
        patch.setattr("pixelwise.labels.run_lengths.STRIP", strip)
        labels = seeds.copy()
        seeded_watershed(heights.copy(), labels)
    np.testing.assert_array_equal(labels, expected)


@given(worlds())
def test_the_rule_holds_for_arrival_times(world: World):
    heights, seeds = world
    expected = pixel_by_pixel(heights, seeds)
    seeded_watershed(heights, seeds)
    np.testing.assert_array_equal(seeds, expected)


@given(st.integers(2, 80), st.integers(2, 80), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 4]))
def test_heights_and_arrival_times_agree(height: int, width: int, seed: int, smooth: int):
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.random((height, width)), smooth)
    heights = np.digitize(rough, np.linspace(rough.min(), rough.max(), rng.integers(2, EXCLUDED))).astype(np.uint8)
    heights[rng.random((height, width)) < rng.uniform(0, 0.4)] = EXCLUDED
    seeds = components(heights < np.quantile(heights, rng.uniform(0, 0.3)), corners=False)
    by_levels = seeds.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelwise.labels.watershed._MAX_UNLABELLED", -1)
        seeded_watershed(heights.copy(), by_levels)
    seeded_watershed(heights, seeds)
    np.testing.assert_array_equal(seeds, by_levels)


@pytest.mark.parametrize(
    ("shape", "outside", "by_arrival_time"),
    [((256, 256), 0, True), ((256, 257), 0, False), ((1024, 1024), 1020, True), ((1025, 1024), 1024, False)],
)
def test_few_pixels_of_a_small_image_are_flooded_at_once(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], outside: int, by_arrival_time: bool
):
    called: list[str] = []
    for name in ("_flood_by_arrival_time", "_flood_by_height"):
        monkeypatch.setattr(flooding, name, lambda *_, name=name: called.append(name))
    heights = np.zeros(shape, np.uint8)
    heights[:outside] = EXCLUDED
    seeded_watershed(heights, np.zeros(shape, np.int32))
    assert called == ["_flood_by_arrival_time" if by_arrival_time else "_flood_by_height"]


@given(st.integers(1, 15), st.integers(1, 16), st.integers(0, 2**32 - 1), st.floats(0, 0.5))
def test_distinct_heights_equal_skimage(height: int, width: int, seed: int, outside: float):
    rng = np.random.default_rng(seed)
    heights = rng.permutation(EXCLUDED)[: height * width].reshape(height, width).astype(np.uint8)
    mask = rng.random((height, width)) >= outside
    seeds = np.where(rng.random((height, width)) < 0.1, rng.integers(1, 9, (height, width)), 0) * mask
    expected = watershed(heights, seeds, connectivity=1, mask=mask) if mask.any() else seeds
    labels = seeds.astype(np.int32)
    seeded_watershed(np.where(mask, heights, EXCLUDED).astype(np.uint8), labels)
    np.testing.assert_array_equal(labels, expected)


def test_a_ridge_goes_to_the_lower_side_and_labels_do_not_cross_what_is_outside():
    heights = np.array([[0, 1, 5, 3, 2, 0, EXCLUDED, 0]], np.uint8)
    labels = np.array([[4, 0, 0, 0, 0, 9, 0, 0]], np.int32)
    seeded_watershed(heights, labels)
    np.testing.assert_array_equal(labels, [[4, 4, 4, 9, 9, 9, 0, 0]])


def test_nothing_to_flood():
    for shape in ((0, 5), (5, 0), (3, 3)):
        labels = np.zeros(shape, np.int32)
        seeded_watershed(np.zeros(shape, np.uint8), labels)
        assert labels.sum() == 0
