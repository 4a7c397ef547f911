"""Components stitched across strips equal those of the whole image; watershed by windows too, with enough halo."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.labels.instances import decode, seeds_of
from pixelwise.labels.postprocess import remove_small_regions
from pixelwise.labels.stitching import StripLabels, StripSmallRegions, final_numbers, watershed_window
from pixelwise.labels.targets import TargetOptions


def stitched(mask: np.ndarray, rows: int, *, corners: bool = True, smallest: int = 1) -> np.ndarray:
    strips = StripLabels(corners=corners)
    parts = [strips.add(mask[top : top + rows]) for top in range(0, len(mask), rows)]
    provisional = np.concatenate(parts)
    areas = np.bincount(provisional.ravel(), minlength=strips.count + 1)
    numbers, count = final_numbers(strips.joined(), areas, smallest)
    found = numbers[provisional]
    assert found.max(initial=0) == count
    return found


def whole(mask: np.ndarray, *, corners: bool) -> np.ndarray:
    found: Any = ndimage.label(mask, np.ones((3, 3)) if corners else None)
    return found[0]


def spiral(side: int, gap: int) -> np.ndarray:
    """One long arm that crosses every strip many times."""
    mask = np.zeros((side, side), bool)
    row, column, length, step = side // 2, side // 2, gap, 0
    while 0 <= row < side and 0 <= column < side and length < 2 * side:
        down, right = ((0, 1), (1, 0), (0, -1), (-1, 0))[step % 4]
        for _ in range(length):
            if 0 <= row < side and 0 <= column < side:
                mask[row, column] = True
            row, column = row + down, column + right
        step += 1
        length += gap if step % 2 == 0 else 0
    return mask


@settings(max_examples=150)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 41),
    density=st.floats(0.05, 0.95),
    seed=st.integers(0, 10_000),
    corners=st.booleans(),
)
def test_noise(height: int, width: int, rows: int, density: float, seed: int, corners: bool) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    assert np.array_equal(stitched(mask, rows, corners=corners), whole(mask, corners=corners))


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 16, 64])
@pytest.mark.parametrize("gap", [2, 3, 5])
def test_spirals(rows: int, gap: int, corners: bool) -> None:
    mask = spiral(61, gap)
    assert whole(mask, corners=corners).max() == 1
    assert np.array_equal(stitched(mask, rows, corners=corners), whole(mask, corners=corners))
    two = mask | np.roll(np.fliplr(mask), 1, 0)
    assert np.array_equal(stitched(two, rows, corners=corners), whole(two, corners=corners))


def test_a_contact_at_a_corner_between_strips() -> None:
    mask = np.array([[1, 0, 0], [0, 1, 0]], bool)
    assert stitched(mask, 1).max() == 1
    assert stitched(mask, 1, corners=False).max() == 2
    assert stitched(np.fliplr(mask), 1).max() == 1


def test_combs_join_at_their_last_row() -> None:
    mask = np.zeros((9, 21), bool)
    mask[:, ::2] = True
    mask[-1] = True
    assert np.array_equal(stitched(mask, 2), whole(mask, corners=True))
    strips = StripLabels()
    for top in range(0, 9, 2):
        strips.add(mask[top : top + 2])
    assert strips.count > 11, "control: many provisional numbers, one area"


def test_small_regions_are_removed_by_their_total_size() -> None:
    mask = np.zeros((10, 5), bool)
    mask[3:8, 1] = True
    mask[0, 4] = True
    found = stitched(mask, 4, smallest=5)
    assert found.max() == 1
    assert (found > 0).sum() == 5


def cells(height: int, width: int, seed: int) -> np.ndarray:
    """Probabilities (background, interior, boundary) of touching round cells at most 15 pixels wide."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    interior, near = np.zeros((height, width)), np.full((height, width), 1e9)
    for _ in range(height * width // 130):
        row, column = rng.uniform(0, height), rng.uniform(0, width)
        near = np.minimum(near, np.hypot(rows - row, columns - column) / rng.uniform(4, 7.5))
    interior = np.clip(1.2 - near * near, 0, 1) * rng.uniform(0.8, 1, (height, width))
    ground = np.clip(near - 0.6, 0, 1)
    probabilities = np.stack([ground, interior, np.clip(1 - ground - interior, 0.01, 1)])
    return probabilities / probabilities.sum(0)


def deep_cells(height: int, width: int, seed: int) -> np.ndarray:
    """The same cells with a distance channel after the classes."""
    probabilities = cells(height, width, seed)
    return np.concatenate([probabilities, np.sqrt(probabilities[1:2])])


def by_windows(probabilities: np.ndarray, options: TargetOptions, core: int, halo: int) -> np.ndarray:
    foreground, seeds, heights = seeds_of(probabilities, options)
    strips = StripLabels(corners=False)
    provisional = np.concatenate([strips.add(seeds[top : top + core]) for top in range(0, len(seeds), core)])
    joined = strips.joined()
    numbered = joined.astype(np.uint32)[provisional]
    found = np.zeros_like(numbered)
    for top in range(0, seeds.shape[0], core):
        for left in range(0, seeds.shape[1], core):
            first, start = max(0, top - halo), max(0, left - halo)
            near = slice(first, top + core + halo), slice(start, left + core + halo)
            flooded = watershed_window(numbered[near], foreground[near], heights[near].copy())
            part = found[top : top + core, left : left + core]
            part[...] = flooded[top - first :, left - start :][: part.shape[0], : part.shape[1]]
    numbers, _ = final_numbers(joined, np.bincount(found.ravel(), minlength=len(joined)), options.min_area)
    return numbers[found]


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), core=st.sampled_from([32, 50, 64]), kind=st.sampled_from(["boundary", "distance"]))
def test_touching_objects_by_windows_equal_the_whole_image(seed: int, core: int, kind: Any) -> None:
    probabilities = deep_cells(150, 170, seed) if kind == "distance" else cells(150, 170, seed)
    options = TargetOptions(kind=kind, seed_threshold=0.5, min_area=8)
    expected = decode(probabilities, options)
    assert expected.max() > 20
    assert np.array_equal(by_windows(probabilities, options, core, halo=60), expected)


@pytest.mark.parametrize("kind", ["boundary", "distance"])
def test_control_without_halo_objects_differ(kind: Any) -> None:
    options = TargetOptions(kind=kind, seed_threshold=0.5, min_area=8)
    probabilities = deep_cells(150, 170, 0) if kind == "distance" else cells(150, 170, 0)
    assert not np.array_equal(by_windows(probabilities, options, 32, halo=0), decode(probabilities, options))


def test_holes_are_filled_by_default() -> None:
    seeds = np.zeros((5, 5), np.uint32)
    seeds[0, 0] = 7
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    interior = np.full((5, 5), 200, np.uint8)
    assert (watershed_window(seeds, ring, interior.copy()) == 7).all()
    assert np.array_equal(watershed_window(seeds, ring, interior, filled=False) == 7, ring)


def test_a_window_full_of_seeds() -> None:
    seeds = np.full((4, 4), 7, np.uint32)
    everywhere = np.ones((4, 4), bool)
    assert (watershed_window(seeds, everywhere, np.full((4, 4), 255, np.uint8)) == 7).all()


@settings(max_examples=100)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 41),
    smallest=st.tuples(st.just(0), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)),
    seed=st.integers(0, 10_000),
)
def test_small_regions_removed_by_strips_are_those_of_the_whole_image(
    height: int, width: int, rows: int, smallest: tuple[int, ...], seed: int
) -> None:
    mask = np.random.default_rng(seed).integers(0, 4, (-(-height // 2), -(-width // 2))).astype(np.uint8)
    mask = mask.repeat(2, 0).repeat(2, 1)[:height, :width]
    regions, tops = StripSmallRegions(smallest), range(0, height, rows)
    for top in tops:
        regions.count(mask[top : top + rows])
    found = np.concatenate([regions.drop(mask[top : top + rows]) for top in tops])
    remove_small_regions(mask, smallest)
    np.testing.assert_array_equal(found, mask)


def test_a_region_larger_than_a_strip_stays() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 0] = mask[::4] = 1  # a comb: every strip has teeth of it
    regions = StripSmallRegions((0, int(mask.sum())))
    for top in range(0, 40, 8):
        regions.count(mask[top : top + 8])
    np.testing.assert_array_equal(np.concatenate([regions.drop(mask[top : top + 8]) for top in range(0, 40, 8)]), mask)
    alone = StripSmallRegions((0, int(mask.sum())))  # control: a strip that knows of no other drops all of its own
    alone.count(mask[:8])
    assert not alone.drop(mask[:8]).any()
