"""Fingerprint of a classification data set, compared with numpy on synthetic images."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, save
from pixelwise.datasets.dataset import Case, Dataset, Labelling
from pixelwise.errors import BadDataset
from pixelwise.sampling.image_fingerprint import measure_classification
from shapes import picture


def cases(folder: Path, arrays: list[np.ndarray], classes: list[int], count: int, channels: int) -> Dataset:
    drawn = tuple(
        Case(name=str(i), image=save(folder / f"{i}.png", array), split="train", class_index=label)
        for i, (array, label) in enumerate(zip(arrays, classes, strict=True))
    )
    names = tuple(f"class {index}" for index in range(count))
    labelling = Labelling(task="classification", classes=names, values=(), colours=())
    return Dataset(root=folder, cases=drawn, labelling=labelling, channels=channels)


def test_means_spread_sizes_and_classes(tmp_path: Path) -> None:
    arrays = [picture("disc", seed, (20 + 4 * seed, 50 - 2 * seed)) for seed in range(5)]
    found = measure_classification(cases(tmp_path, arrays, [0, 0, 2, 2, 2], 3, 3))
    assert (found.cases, found.measured, found.channels, found.dtype) == (5, 5, 3, "uint8")
    assert found.heights == (20, 28, 36)
    assert found.widths == (42, 46, 50)
    assert found.class_cases == (2, 0, 3)
    assert found.class_shares == (0.4, 0.0, 0.6)
    means = np.array([array.mean((0, 1)) for array in arrays])
    squares = np.array([(array.astype(float) ** 2).mean((0, 1)) for array in arrays])
    assert np.allclose(found.intensity_mean, means.mean(0))
    assert np.allclose(found.intensity_std, np.sqrt(squares.mean(0) - means.mean(0) ** 2))
    assert all(0 <= low < high <= 255 for low, high in found.intensity_range)


def test_every_image_has_equal_weight(tmp_path: Path) -> None:
    arrays = [np.full((4, 4), 10, np.uint8), np.full((90, 90), 30, np.uint8)]
    found = measure_classification(cases(tmp_path, arrays, [0, 1], 2, 1))
    assert found.intensity_mean == (20.0,)
    assert found.intensity_std == pytest.approx((10.0,))


def test_sixteen_bits_count_on_the_scale_of_eight(tmp_path: Path) -> None:
    arrays = [image(0), image(1).astype(np.uint16) * 257]
    found = measure_classification(cases(tmp_path, arrays, [0, 1], 2, 1))
    assert found.dtype == "uint16, uint8"
    assert found.intensity_mean[0] == pytest.approx((image(0).mean() + image(1).mean()) / 2, abs=1e-3)


def test_a_limited_number_is_measured_and_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelwise.sampling.image_fingerprint.MAX_MEASURED", 4)
    arrays = [np.full((4, 4), index, np.uint8) for index in range(8)]
    found = measure_classification(cases(tmp_path, arrays, [0] * 8, 1, 1))
    assert (found.cases, found.measured, found.class_cases) == (8, 4, (8,))
    assert found.intensity_mean == (3.0,), "evenly spaced: 0, 2, 4, 6"


def test_an_empty_data_set_raises(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match=r"expected training images; got none\. Add images to the class folders"):
        measure_classification(cases(tmp_path, [], [], 2, 3))
