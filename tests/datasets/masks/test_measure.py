"""What is measured of a mask, compared with a direct count over its pixels."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from pixelwise.datasets.masks.measure import MaskValues, measure_values
from pixelwise.io.read import MaskImage

MASKS = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    elements=st.sampled_from([0, 3, 90, 255]),
)


def measured(values: np.ndarray, image: np.ndarray | None = None, *, detailed: bool = True) -> MaskValues:
    return measure_values(MaskImage(values, None, False), image, detailed=detailed)


@given(MASKS)
def test_values_and_counts(values: np.ndarray) -> None:
    unique, counts = np.unique(values, return_counts=True)
    found = measured(values)
    assert found.values == tuple(unique.tolist())
    assert found.counts == tuple(counts.tolist())


@given(MASKS)
def test_ramps_and_edges(values: np.ndarray) -> None:
    found = measured(values)
    if len(found.values) <= 2:
        return
    ramps, edges = dict.fromkeys(found.values, 0), 0
    for lines in (values, values.T):
        for line in lines.tolist():
            edges += sum(one != other for one, other in pairwise(line))
            for before, here, after in zip(line, line[1:], line[2:], strict=False):
                ramps[here] += before < here < after or before > here > after
    assert found.edges == edges
    assert found.ramps == tuple(ramps[value] for value in found.values)


@given(MASKS)
def test_plateaus(values: np.ndarray) -> None:
    found = measured(values)
    if len(found.values) <= 2:
        return
    low, high = found.values[0], found.values[-1]
    wide = values.astype(float)
    spread = ndimage.maximum_filter(wide, 3, mode="nearest") - ndimage.minimum_filter(wide, 3, mode="nearest")
    margin = (high - low) / 8
    between = (wide > low + margin) & (wide < high - margin) & (spread <= (high - low) / 32)
    assert found.plateau == (np.count_nonzero(between) if margin >= 1 else 0)


def test_places_of_values(rng: np.random.Generator) -> None:
    values = rng.integers(0, 4, (30, 40)).astype(np.uint8)
    image = rng.integers(0, 255, (3, 30, 40)).astype(np.uint8)
    gray = image.mean(0)
    for value, place in zip(range(4), measured(values, image).places, strict=True):
        rows, columns = np.nonzero(values == value)
        bright = gray[values == value].mean()
        expected = rows.mean() / 30, columns.mean() / 40, rows.min() / 30, bright, bright - np.median(gray)
        found = place.row, place.column, place.top, place.brightness, place.contrast
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_places_are_measured_in_detail_only(rng: np.random.Generator) -> None:
    values = np.repeat(np.array([0, 1, 2], np.uint8), 300).reshape(30, 30)
    image = rng.normal(size=(1, 30, 30))
    assert measured(values, image).places
    assert measured(values, image).regions == (0, 1, 1)
    coarse = measured(values, image, detailed=False)
    assert (coarse.places, coarse.regions) == ((), ())


def test_regions_of_speckles_are_counted_in_any_case(rng: np.random.Generator) -> None:
    noise = rng.integers(0, 5, (40, 40)).astype(np.uint8)
    assert measured(noise, detailed=False).regions == measured(noise).regions != ()


def test_colours_have_flat_pixels() -> None:
    colours = np.zeros((6, 7, 3), np.uint8)
    colours[:, 3:] = 0, 90, 255
    found = measured(colours)
    assert found.values == (0, 90 << 8 | 255)
    assert found.flat == (6 * 2, 6 * 3)


def test_equal_values_of_any_type_have_one_digest() -> None:
    small = np.array(list(product(range(2), repeat=2)), np.uint8)
    assert measured(small).digest == measured(small.astype(np.int64)).digest != measured(small.T.copy()).digest
