"""Parts of images in array files: channels, classes and objects of masks, stacks on the last axis."""

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import BadImage
from pixelwise.io.arrays.parts import kind_of_mask, take_part
from pixelwise.io.read import probe, read_image, read_mask

SIZE = (24, 30)


def numbered(*boxes: tuple[int, int, int]) -> np.ndarray:
    """A channel with object numbers: number, first row, first column of boxes of 4 x 4 pixels."""
    drawn = np.zeros(SIZE, np.int32)
    for number, row, column in boxes:
        drawn[row : row + 4, column : column + 4] = number
    return drawn


FIRST, SECOND = numbered((3, 1, 1), (7, 8, 1)), numbered((3, 1, 10), (5, 8, 10))
REST = ((FIRST == 0) & (SECOND == 0)).astype(np.int32)
WITHIN = numbered((3, 2, 2))


@pytest.mark.parametrize(
    ("channels", "kind"),
    [
        ([FIRST, SECOND, REST], "objects"),
        ([FIRST, SECOND, 0 * REST], "objects"),
        ([FIRST > 0, SECOND > 0, REST], "one-hot"),
        ([FIRST, np.where(FIRST == 3, 1, 2) * (FIRST > 0)], "object classes"),
        ([FIRST, WITHIN], "several"),
        ([0 * FIRST, 0 * FIRST, REST * 0 + 1], None),
    ],
)
def test_what_the_channels_of_a_mask_are(channels: list[np.ndarray], kind: str | None) -> None:
    assert kind_of_mask(np.stack(channels).astype(np.float64)) == kind


def test_equal_numbers_in_two_channels_are_two_objects() -> None:
    objects = take_part(np.stack([FIRST, SECOND, REST]), "objects")[0]
    classes = take_part(np.stack([FIRST, SECOND, REST]), "classes")[0]
    assert len(np.unique(objects)) == 5
    assert np.array_equal(objects > 0, REST == 0)
    assert np.array_equal(classes, np.where(FIRST > 0, 1, np.where(SECOND > 0, 2, 0)))
    # control: a last channel that leaves a gap is a class
    gap = REST.copy()
    gap[-1, -1] = 0
    assert take_part(np.stack([FIRST, SECOND, gap]), "classes").max() == 3


def test_parts_of_files(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (3, 10, *SIZE)).astype(np.uint16)
    np.save(tmp_path / "bands.npy", stack)
    image = read_image(tmp_path / "bands.npy" / "1" / ":0-9").pixels
    assert np.array_equal(image, stack[1])
    assert np.array_equal(read_image(tmp_path / "bands.npy" / "2" / ":4").pixels, stack[2, 4:5])
    assert probe(tmp_path / "bands.npy" / "2" / ":4-6").channels == 3
    for wrong in (":10", ":3-2", ":x"):
        with pytest.raises(BadImage):
            read_image(tmp_path / "bands.npy" / "1" / wrong)
    with pytest.raises(BadImage):  # control: so many planes are a stack unless the path names channels
        read_image(tmp_path / "bands.npy" / "1")


def test_stacks_on_the_last_axis(tmp_path: Path) -> None:
    masks = np.stack([FIRST, SECOND], -1).astype(np.uint8)
    np.save(tmp_path / "masks.npy", masks)
    assert np.array_equal(read_mask(tmp_path / "masks.npy" / ":last" / "1").values, SECOND)
    with pytest.raises(BadImage):
        read_mask(tmp_path / "masks.npy" / ":last" / "2")
