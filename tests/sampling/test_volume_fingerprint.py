"""What is measured of a data set of volumes, on drawn files."""

from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset
from pixelwise.errors import BadDataset
from pixelwise.sampling.volume_fingerprint import measure_volume_fingerprint

pytest.importorskip("nibabel")


def write(folder: Path, cases: int = 4, thickness: float = 2.0) -> Dataset:
    for number in range(cases):
        image, labels = drawn.draw(number)
        for kind, volume in (("images", image), ("masks", labels)):
            for split in ("train", "val") if number == 0 else ("train",):
                path = folder / split / kind / f"case{number}{split[0]}.nii.gz"
                drawn.save_nifti(
                    path, volume if split == "train" else volume[::-1], np.diag([1.0, 1.0, thickness, 1.0])
                )
    return detect_dataset(folder, DataOptions())


def test_sizes_spacing_intensities_and_places(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    found = measure_volume_fingerprint(dataset)
    assert (found.cases, found.median_size, found.channels) == (4, (12, 20, 16), 1)
    assert found.voxel_size is not None
    np.testing.assert_allclose(found.voxel_size, [[2.0, 1.0, 1.0]] * 3)
    pairs = [drawn.draw(number) for number in range(4)]
    inside = np.concatenate([image[labels > 0] for image, labels in pairs])
    assert found.foreground_mean[0] == pytest.approx(inside.mean(), rel=0.01)
    assert found.foreground_std[0] == pytest.approx(inside.std(), rel=0.01)
    assert found.intensity_mean[0] == pytest.approx(np.mean([image.mean() for image, _ in pairs]), rel=1e-6)
    shares = np.bincount(np.concatenate([labels.ravel() for _, labels in pairs])) / sum(
        labels.size for _, labels in pairs
    )
    np.testing.assert_allclose(found.class_shares, shares)
    highest = [np.percentile(image, 99.5) for image, _ in pairs]
    np.testing.assert_allclose(found.peaks, (min(highest), max(highest)), rtol=0.01)
    assert found.lowest == np.median([image.min() for image, _ in pairs])
    assert found.asymmetry[0] > 0.5, "the box is at the lower end of the first axis, the ball in the middle"
    assert found.object_diameter[1] > 4


def test_time_ends_the_measurement_and_numbers_are_extrapolated(tmp_path: Path) -> None:
    found = measure_volume_fingerprint(write(tmp_path, cases=6), seconds=0.0)
    assert found.cases == 6
    assert found.pixels == 6 * 12 * 20 * 16
    assert found.class_cases == (6, 6, 6)


def test_without_masks_there_is_nothing_to_measure(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    with pytest.raises(BadDataset, match="training volumes with masks"):
        measure_volume_fingerprint(Dataset(root=tmp_path, cases=(), labelling=dataset.labelling, channels=1))
