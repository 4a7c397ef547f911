"""Figures of a forecast."""

import numpy as np
import pytest

from pixelwise.active_learning.learning_curve_plot import CandidatePicture, draw_candidates, draw_curve
from pixelwise.io.read import read_image
from pixelwise.metrics.learning_curve import Projection, SubsetScores, project_learning_curve


def subset_scores(images: int) -> SubsetScores:
    """Return scores of six trainings that increase with the number of masks."""
    masks = np.array([2, 4, 8, 2, 4, 8])
    rows = np.ones((6, images, 2))
    rows[:, :, 0] = np.random.default_rng(0).normal(0.9, 0.02, (6, images)) - 0.5 / masks[:, None]
    return SubsetScores(masks=masks, rows=rows, statistic=lambda total: float(total[0] / total[1]))


@pytest.mark.parametrize("images", [1, 6])
def test_the_curve_is_drawn_with_and_without_an_interval(images: int) -> None:
    projection: Projection = project_learning_curve(subset_scores(images))
    drawn = draw_curve(subset_scores(images), projection, (10, 50), "mean Dice", "svg")
    assert drawn == draw_curve(subset_scores(images), projection, (10, 50), "mean Dice", "svg"), (
        "the same page each time"
    )
    text = drawn.decode("utf-8")
    assert ("<!-- 80 % interval -->" in text) == (images > 1)
    for words in (
        "mean Dice",
        "number of labelled images",
        "now: 8",
        f"+10: {projection.curve.at(18):.3f}",
        "training",
    ):
        assert f"<!-- {words} -->" in text
    assert draw_curve(subset_scores(images), projection, (10,), "mean Dice", "png").startswith(b"\x89PNG")


def test_disagreement_is_overlaid_and_names_may_contain_a_dollar_sign(tmp_path) -> None:  # type: ignore[no-untyped-def]
    gray = np.full((40, 60, 3), 128, np.uint8)
    mutual_information = np.zeros((40, 60), np.float32)
    plain = draw_candidates([CandidatePicture("1  a$b$.png", gray, mutual_information)])
    mutual_information[10:30, 10:50] = 0.5
    overlaid = draw_candidates([CandidatePicture("1  a$b$.png", gray, mutual_information)] * 5)
    colours = []
    for name, content in (("plain", plain), ("overlaid", overlaid)):
        (tmp_path / f"{name}.png").write_bytes(content)
        pixels = read_image(tmp_path / f"{name}.png").pixels.astype(int)
        colours.append(int(((pixels[0] - pixels[2]) > 100).sum()))
    assert colours[0] == 0
    assert colours[1] > 1000
