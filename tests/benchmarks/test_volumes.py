"""The scorer of the bench of volumes: Dice by hand, and masks that are missing or lie elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

nibabel: Any = pytest.importorskip("nibabel")

from volume_int8 import row  # noqa: E402
from volumes import dice, interval, score  # noqa: E402


def write(path: Path, volume: np.ndarray, shift: float = 0.0) -> None:
    affine = np.eye(4)
    affine[0, 3] = shift
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)


def test_dice_of_each_class_and_volume(tmp_path: Path) -> None:
    truth = np.zeros((4, 4, 4), np.uint8)
    truth[:2], truth[3] = 1, 2
    half = truth.copy()
    half[0], half[3] = 0, 0
    for name, predicted in (("a", truth), ("b", half)):
        write(tmp_path / "truth" / f"{name}.nii.gz", truth.astype(np.float32))
        write(tmp_path / "masks" / "deeper" / f"{name}.nii.gz", predicted)
    np.testing.assert_allclose(score(tmp_path / "masks", tmp_path / "truth"), [[1, 1], [2 / 3, 0]])
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 1.0
    low, high = interval(np.array([0.5, 0.6, 0.7, 0.8]))
    assert 0.5 < low < 0.65 < high < 0.8


def test_masks_that_are_missing_or_elsewhere_end_the_bench(tmp_path: Path) -> None:
    truth = np.ones((3, 3, 3), np.uint8)
    write(tmp_path / "truth" / "a.nii.gz", truth)
    (tmp_path / "masks").mkdir()
    with pytest.raises(SystemExit, match="no mask of a"):
        score(tmp_path / "masks", tmp_path / "truth")
    write(tmp_path / "masks" / "a.nii.gz", truth, shift=1.0)
    with pytest.raises(SystemExit, match="another grid"):
        score(tmp_path / "masks", tmp_path / "truth")


def test_what_a_quantised_model_gains_is_a_difference_of_volumes() -> None:
    reference, other = np.array([[0.9, 0.8], [0.7, 0.6]]), np.array([[0.9, 0.79], [0.69, 0.6]])
    line = row("openvino-int8", other, reference, 2.0)
    assert line.startswith("| openvino-int8 | 0.7450 (")
    assert "| -0.50 (-0.50 to -0.50) | 2.0 |" in line
