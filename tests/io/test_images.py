"""Whatever the order in memory, images have the same descriptor, digest, statistics and block means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.datasets.checks.reduced import reduce_case
from pixelwise.datasets.masks.measure import digest
from pixelwise.datasets.scan import image_descriptor
from pixelwise.io.images import is_interleaved
from pixelwise.sampling.image_statistics import measure_image
from pixelwise.sampling.normalise import mean_and_std


@settings(max_examples=40)
@given(
    st.integers(0, 2**32), st.integers(1, 4), st.tuples(st.integers(1, 300), st.integers(1, 90)), st.integers(1, 256)
)
def test_interleaved_and_planar_images_measure_alike(
    seed: int, channels: int, size: tuple[int, int], highest: int
) -> None:
    planar = np.random.default_rng(seed).integers(0, highest, (channels, *size)).astype(np.uint8)
    interleaved = np.ascontiguousarray(planar.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert is_interleaved(interleaved)
    assert digest(planar) == digest(interleaved)
    assert image_descriptor(planar) == pytest.approx(image_descriptor(interleaved), abs=1e-5)
    one, other = (measure_image(pixels, "uint8", 20) for pixels in (planar, interleaved))
    assert one.mean.tolist() == other.mean.tolist()
    assert one.std.tolist() == other.std.tolist()
    mean, std = mean_and_std(planar)
    assert one.mean == pytest.approx(mean, rel=1e-5)
    assert one.std == pytest.approx(std, rel=1e-3, abs=1e-3)
    assert np.array_equal(one.values, other.values)
    labels = np.zeros(size, np.uint8)
    first, second = (reduce_case(pixels, labels, 2, labels > 0, 24) for pixels in (planar, interleaved))
    assert min(first.pixels.shape[1:]) >= 2
    assert first.pixels == pytest.approx(second.pixels, abs=1)
    assert first.statistics == pytest.approx(second.statistics, abs=1e-4)


def test_other_values_have_another_digest() -> None:
    pixels = np.zeros((3, 4, 5), np.uint8)
    changed = pixels.copy()
    changed[1, 2, 3] = 1
    assert digest(pixels) != digest(changed)
    assert digest(pixels) != digest(pixels.reshape(3, 5, 4))
