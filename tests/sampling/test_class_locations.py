"""Where patches are drawn: at rare classes, and at every class if most pixels are ignored."""

import numpy as np

from pixelwise.labels.targets import IGNORE
from pixelwise.sampling.class_locations import SPARSE, find_locations


def painted(known: float) -> np.ndarray:
    """A target with twice as much of class 0 as of class 1, of which a fraction is known."""
    target = np.full((60, 100), IGNORE, np.uint8)
    count = round(known * target.size / 3)
    target.ravel()[: 2 * count] = 0
    target.ravel()[-count:] = 1
    return target


def classes_of(target: np.ndarray) -> list[int]:
    found = find_locations([target], 0)
    assert all(len({int(target.ravel()[p]) for p in locations.pixels}) == 1 for (locations,) in found)
    return [int(target.ravel()[locations.pixels[0]]) for (locations,) in found]


def test_every_class_of_few_strokes_is_found() -> None:
    assert classes_of(painted(SPARSE / 2)) == [0, 1]


def test_control_the_most_frequent_class_of_a_mask_is_left_out() -> None:
    assert classes_of(painted(1.0)) == [1]
    assert classes_of(painted(2 * SPARSE)) == [1]
