"""Masks with a channel per class: numbered, or refused if channels overlap or hold several values."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from pixelwise.errors import BadImage
from pixelwise.io.read import CHANNELS_ARE_CLASSES, read_mask

LABELS = np.arange(30).reshape(5, 6) % 5


def write(path: Path, marks: np.ndarray) -> Path:
    tifffile.imwrite(path, marks, photometric="minisblack", planarconfig="separate", metadata={"axes": "CYX"})
    return path


def marks_of(labels: np.ndarray, value: int = 255) -> np.ndarray:
    return np.stack([labels == number for number in (1, 2, 3, 4)]).astype(np.uint8) * np.uint8(value)


@pytest.mark.parametrize("value", [1, 255])
def test_channels_are_numbered_from_one(tmp_path: Path, value: int) -> None:
    mask = read_mask(write(tmp_path / "a.tif", marks_of(LABELS, value)))
    assert np.array_equal(mask.values, LABELS)
    assert CHANNELS_ARE_CLASSES in mask.warnings


def test_channels_that_overlap_or_hold_several_values_are_refused(tmp_path: Path) -> None:
    marks = marks_of(LABELS)
    overlapping, several = marks.copy(), marks.copy()
    overlapping[1, LABELS == 1] = 255
    several[0, 0, 1] = 7
    for changed in (overlapping, several):
        with pytest.raises(BadImage, match="4 channels"):
            read_mask(write(tmp_path / "a.tif", changed))
