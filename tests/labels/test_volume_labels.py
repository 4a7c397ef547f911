"""Label functions on volumes: equal to scipy and scikit-image, and stitched slabs equal the whole."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops
from skimage.segmentation import watershed

from labels.test_stitching import stitched
from pixelwise.labels.instances import decode, seeds_of, start_decoding
from pixelwise.labels.label_image import components, overlap_table, renumber
from pixelwise.labels.postprocess import fill_holes, remove_small_objects, remove_small_regions
from pixelwise.labels.run_lengths import areas, extents
from pixelwise.labels.split_regions import contact_pixels, erode
from pixelwise.labels.stitching import StripSmallRegions, watershed_window
from pixelwise.labels.targets import TargetOptions, probabilities_of
from pixelwise.labels.volume_properties import class_voxels, measure_volumes
from pixelwise.labels.watershed import EXCLUDED, seeded_watershed

SHAPES = st.tuples(*(st.integers(1, 12),) * 3)


def noise(shape: tuple[int, ...], density: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def balls(shape: tuple[int, ...], centres: list[tuple[int, ...]], radius: float) -> np.ndarray:
    """Return a mask of balls."""
    grid = np.indices(shape)
    distances = [np.sqrt(sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))) for centre in centres]
    return np.min(distances, axis=0) <= radius


@settings(max_examples=30)
@given(shape=SHAPES, density=st.floats(0.05, 0.6), seed=st.integers(0, 1000), corners=st.booleans())
def test_components_equal_scipys_and_so_do_stitched_slabs(
    shape: tuple[int, ...], density: float, seed: int, corners: bool
) -> None:
    mask = noise(shape, density, seed)
    expected: Any = ndimage.label(mask, np.ones((3, 3, 3)) if corners else None)
    assert np.array_equal(components(mask, corners=corners), expected[0])
    assert np.array_equal(stitched(mask, 3, corners=corners), expected[0])


@settings(max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_properties_equal_scikit_images(shape: tuple[int, ...], seed: int) -> None:
    labels = components(noise(shape, 0.2, seed))
    image = np.random.default_rng(seed).random((2, *shape))
    table = measure_volumes(labels, image)
    expected = regionprops(labels, np.moveaxis(image, 0, -1))
    assert len(table) == len(expected)
    for row, place, properties in zip(table, range(len(table)), expected, strict=True):
        assert (row.id, row.voxels) == (properties.label, properties.num_pixels)
        assert table.box[place].tolist() == list(properties.bbox)
        assert np.allclose(table.centroid[place], properties.centroid)
        assert np.allclose(row.centroid, np.array(properties.centroid) + 0.5)
        assert row.mean_intensity == pytest.approx(np.mean(properties.intensity_mean))
        assert row.box[:3] == properties.bbox[:3]
    assert np.array_equal(areas(labels), np.bincount(labels.ravel()))


def test_voxels_of_classes_leave_ignored_voxels_out() -> None:
    mask = np.array([[[0, 1, 2, 2]], [[255, 1, 1, 0]]], np.uint8)
    assert class_voxels(mask, 3).tolist() == [2, 3, 2]


def test_extents_of_a_diagonal_and_of_an_absent_label() -> None:
    labels = np.zeros((4, 5, 6), np.int32)
    labels[0, 1, 2] = labels[3, 4, 5] = 2
    found = extents(labels)
    assert found.box[2].tolist() == [0, 1, 2, 4, 5, 6]
    assert (found.area[1], found.runs[2]) == (0, 2)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_filled_holes_equal_scipys_on_each_object(seed: int) -> None:
    hollow = balls((14, 14, 28), [(7, 7, 7), (7, 7, 20)], 6) & ~balls((14, 14, 28), [(7, 7, 7)], 3)
    hollow &= ~noise(hollow.shape, 0.05, seed)
    labels = components(hollow, corners=False)
    expected = labels.copy()
    for number in range(1, labels.max() + 1):
        filled = np.asarray(ndimage.binary_fill_holes(labels == number))
        expected[filled & (labels == 0)] = number
    fill_holes(labels)
    assert np.array_equal(labels, expected)


def test_small_objects_and_regions_are_removed() -> None:
    mask = balls((10, 12, 20), [(5, 6, 5)], 3) | balls((10, 12, 20), [(5, 6, 15)], 1)
    labels = components(mask)
    assert labels.max() == 2
    kept = remove_small_objects(labels.copy(), 20)
    assert (kept.max(), kept.dtype) == (1, np.uint16)
    regions = mask.astype(np.uint8)
    remove_small_regions(regions, (0, 20))
    assert np.array_equal(regions > 0, kept > 0)


@given(shape=SHAPES, seed=st.integers(0, 1000), smallest=st.integers(2, 8))
@settings(max_examples=20)
def test_regions_removed_slab_by_slab_equal_the_whole(shape: tuple[int, ...], seed: int, smallest: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    expected = mask.copy()
    remove_small_regions(expected, (0, smallest, 2))
    regions, slabs = StripSmallRegions((0, smallest, 2)), [mask[z : z + 2] for z in range(0, len(mask), 2)]
    for slab in slabs:
        regions.count(slab)
    assert np.array_equal(np.concatenate([regions.drop(slab) for slab in slabs]), expected)


def test_the_watershed_equals_scikit_images_inside_and_leaves_the_outside() -> None:
    rng = np.random.default_rng(0)
    heights = rng.integers(0, 255, (9, 10, 11)).astype(np.uint8)
    heights[:, :2] = EXCLUDED
    labels = np.zeros(heights.shape, np.int32)
    labels[4, 5, 3], labels[4, 7, 9], labels[0, 0, 0] = 1, 2, 3
    inside = heights != EXCLUDED
    expected = watershed(heights, np.where(inside, labels, 0), mask=inside)
    seeded_watershed(heights.copy(), labels)
    assert np.array_equal(labels[inside], expected[inside])
    assert labels[0, 0, 0] == 3, "a seed outside stays and does not grow"
    assert (labels[~inside] > 0).sum() == 1


def probabilities_of_balls() -> np.ndarray:
    """Return boundary-target probabilities of two touching balls: background, interior, boundary."""
    depth = np.zeros((24, 24, 40), np.float32)
    for centre in ((12, 12, 12), (12, 12, 27)):
        ball = balls(depth.shape, [centre], 8)
        depth = np.maximum(depth, np.asarray(ndimage.distance_transform_edt(ball), np.float32))
    foreground = (depth > 0).astype(np.float32)
    interior = np.clip(depth / 4, 0, 1) * foreground
    return np.stack([1 - foreground, interior, foreground - interior]).astype(np.float32)


@pytest.mark.parametrize("kind", ["components", "boundary"])
def test_objects_of_a_volume_are_found_and_touching_ones_split(kind: Literal["components", "boundary"]) -> None:
    probabilities = probabilities_of_balls()
    if kind == "components":
        probabilities = np.stack([probabilities[0], 1 - probabilities[0]])
    labels = decode(probabilities, TargetOptions(kind=kind, seed_threshold=0.9))
    assert labels.max() == (2 if kind == "boundary" else 1)
    if kind == "boundary":
        assert labels[12, 12, 12] != labels[12, 12, 27] > 0
        assert np.array_equal(labels > 0, probabilities[0] < 0.5)


def test_windows_of_a_volume_give_the_decoding_of_the_whole() -> None:
    probabilities, options = probabilities_of_balls(), TargetOptions(kind="boundary", seed_threshold=0.9)
    decoder = start_decoding(options, probabilities.shape[1:])
    for first in range(0, 24, 5):
        last = min(24, first + 5)
        decoder.add(((first, last), (0, 24), (0, 40)), probabilities[:, first:last])
    assert np.array_equal(decoder.finish(), decode(probabilities, options))


def test_a_block_with_enough_halo_equals_the_whole_watershed() -> None:
    probabilities, options = probabilities_of_balls(), TargetOptions(kind="boundary", seed_threshold=0.9)
    foreground, seeds, interior = seeds_of(probabilities, options)
    numbers = components(seeds, corners=False).astype(np.uint32)
    whole = watershed_window(numbers, foreground, interior.copy())
    part = watershed_window(numbers[:, :, 1:39], foreground[:, :, 1:39], interior[:, :, 1:39].copy())
    assert np.array_equal(part, whole[:, :, 1:39])
    assert np.array_equal(whole, decode(probabilities, options))


def test_regions_of_a_volume_are_split_at_their_bridge() -> None:
    mask = balls((20, 20, 44), [(10, 10, 12), (10, 10, 31)], 8)
    mask[9:12, 9:12, 12:31] = True
    probability = np.where(mask, 0.99, 0.01).astype(np.float32)
    options = TargetOptions(split_depth=4)
    result = decode(np.stack([1 - probability, probability]), options)
    assert components(result > 0).max() == 2
    assert components(mask).max() == 1, "control: one region before"
    assert (result != mask).sum() < 40


@settings(max_examples=20)
@given(shape=SHAPES, depth=st.integers(0, 4), seed=st.integers(0, 1000))
def test_erosion_equals_distances(shape: tuple[int, ...], depth: int, seed: int) -> None:
    mask = noise(shape, 0.9, seed)
    if mask.all():
        assert erode(mask, depth).all()
        return
    assert np.array_equal(erode(mask, depth), np.asarray(ndimage.distance_transform_edt(mask)) > depth)


def test_without_contact_voxels_labels_do_not_touch_at_corners() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    left = np.where(contact_pixels(labels), 0, labels)
    padded = np.pad(left, 1)
    for offset in np.ndindex(3, 3, 3):
        near = padded[tuple(slice(o, o + s) for o, s in zip(offset, left.shape, strict=True))]
        assert not ((near != left) & (near > 0) & (left > 0)).any()


def test_overlaps_and_numbers_of_label_volumes() -> None:
    truth = np.zeros((3, 3, 4), int)
    truth[0, 0, :2], truth[2, 2, 2:] = 7, 9
    table = overlap_table(truth, np.where(truth == 9, 4, 0))
    assert table.truth_areas.tolist() == [2, 2]
    assert table.ious.tolist() == [1.0]
    assert renumber(truth).max() == 2


def test_probabilities_of_volumes_have_their_channels_first() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3, 4, 5)).astype(np.float32)
    options = TargetOptions(kind="distance")
    found = probabilities_of(logits, options)
    assert np.allclose(found[:3].sum(0), 1, atol=1e-6)
    assert np.allclose(found[3], 1 / (1 + np.exp(-logits[3])), atol=1e-6)
    assert np.array_equal(probabilities_of(logits[None], options, channel_axis=1)[0], found)
