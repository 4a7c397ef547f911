"""Images are rescaled between percentiles, masks get the class colours."""

import numpy as np

from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.painting import colour, stretch


def test_a_ramp_fills_the_scale_and_gray_becomes_three_colours() -> None:
    ramp = np.linspace(1000, 3000, 401, dtype=np.float32).reshape(1, 1, 401)
    view = stretch(ramp)
    assert view.shape == (1, 401, 3)
    assert (view[0, 0] == 0).all()
    assert (view[0, -1] == 255).all()
    assert (np.abs(view[0, 200].astype(int) - 127) <= 1).all()
    assert (stretch(np.full((3, 2, 2), 7, np.uint16)) == 0).all()  # one value has no scale


def test_classes_have_their_colours_and_what_is_ignored_is_gray() -> None:
    painted = colour(np.array([[0, 1, IGNORE]]), [(1, 2, 3), (4, 5, 6)], objects=False)
    assert painted.tolist() == [[[1, 2, 3], [4, 5, 6], [128, 128, 128]]]


def test_an_object_keeps_its_colour_and_background_is_black() -> None:
    painted = colour(np.array([[0, 1, 2, -1, 2]]), [], objects=True)
    assert painted[0, 0].tolist() == painted[0, 3].tolist() == [0, 0, 0]
    assert painted[0, 2].tolist() == painted[0, 4].tolist() != painted[0, 1].tolist()
