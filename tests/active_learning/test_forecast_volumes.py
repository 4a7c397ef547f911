"""A forecast on volumes: trainings on subsets of drawn NIfTI files, and the volumes to label next."""

from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.active_learning.candidates import CandidateView, central_crop
from pixelwise.active_learning.forecast import forecast
from pixelwise.active_learning.output_files import planes_of_disagreement
from pixelwise.datasets.images.features import image_features
from pixelwise.geometry.grid import Grid
from pixelwise.progress import Progress

SMALL = (
    "network.base=4", "network.depth=2", "patches.depth=8", "patches.height=16", "patches.width=16",
    "patches.batch=2", "training.precision=float32",
)  # fmt: skip


@pytest.mark.slow
def test_volumes_are_forecast_and_ranked(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    for number in range(8):
        split = "train" if number < 6 else "val"
        image, labels = drawn.draw(number)
        drawn.save_nifti(tmp_path / "data" / split / "images" / f"case{number}.nii.gz", image, affine)
        if number not in (4, 5):
            drawn.save_nifti(tmp_path / "data" / split / "masks" / f"case{number}.nii.gz", labels, affine)
    image, _ = drawn.draw(20, (9, 22, 18))
    drawn.save_nifti(tmp_path / "others" / "new.nii.gz", image, affine)
    result = forecast(
        tmp_path / "data",
        steps=2,
        overrides=SMALL,
        unlabelled=tmp_path / "others",
        out=tmp_path / "out",
        progress=Progress(),
    )
    assert {candidate.image.name for candidate in result.ranking.candidates} == {
        "case4.nii.gz",
        "case5.nii.gz",
        "new.nii.gz",
    }
    assert all(np.isfinite(candidate.mutual_information) for candidate in result.ranking.candidates)
    assert not result.ranking.failed
    assert (tmp_path / "out" / "label_next.png").is_file()
    assert result.trials.sizes[-1] == 4


def test_the_centre_of_a_volume_is_predicted() -> None:
    volume = np.zeros((1, 10, 200, 300), np.uint8)
    volume[0, :, 100, 150] = 1
    crop = central_crop(volume)
    assert crop.shape == (1, 10, 128, 128)
    assert crop.any()
    assert central_crop(np.zeros((3, 2000, 500), np.uint8)).shape == (3, 1024, 500)
    grid = Grid(axes=("z", "y", "x"), spacing=(0.002, 0.001, 0.001), unit="meter")
    assert CandidateView(volume, grid).spacing == (2.0, 1.0, 1.0)
    assert CandidateView(volume, None).spacing is None


def test_the_planes_show_where_the_networks_disagree() -> None:
    disagreement = np.zeros((4, 5, 6), np.float32)
    disagreement[3, 1] = 0.5
    assert planes_of_disagreement(disagreement, None).at[:2] == (3, 1)


def test_features_of_volumes_measure_texture_along_all_axes() -> None:
    rng = np.random.default_rng(0)
    flat = np.repeat(rng.random((1, 1, 32, 32)), 16, axis=1)
    rough = rng.random((1, 16, 32, 32))
    ranges = ((0.0, 1.0),)
    one, other = image_features(flat, ranges), image_features(rough, ranges)
    assert one.shape == other.shape == (9,)
    assert one[5] < other[5] - 0.1, "slices that are alike are smoother"
    assert np.isfinite(image_features(np.zeros((1, 1, 1, 1)), ranges)).all()
    large = image_features(np.repeat(rng.random((1, 2, 300, 2)), 2, axis=1), ranges)
    assert np.isfinite(large).all()
