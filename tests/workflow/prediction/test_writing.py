"""Overlays of predictions."""

import numpy as np

from pixelwise.workflow.prediction.writing import overlay


def test_outlines_are_drawn_in_the_class_colour() -> None:
    labels = np.zeros((6, 6), np.uint8)
    labels[1:5, 1:5] = 1
    picture = overlay(np.zeros((1, 6, 6), np.uint8), labels, [(0, 0, 0), (10, 200, 30)], objects=False)
    assert picture[:, 1, 1].tolist() == [10, 200, 30]
    assert picture[:, 2, 2].tolist() == [0, 0, 0]
