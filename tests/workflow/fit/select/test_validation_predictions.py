"""Predictions of validation images are limited in time and pixels, and large images are cropped to their centre."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pixelwise.datasets.dataset import detect_dataset
from pixelwise.datasets.synthetic import write_demo
from pixelwise.networks.architectures import build
from pixelwise.progress import Progress
from pixelwise.workflow.fit.select import validation_predictions
from pixelwise.workflow.fit.select.validation_predictions import (
    ValidationPrediction,
    crop_centre,
    predict_validation,
    seconds_to_predict,
)
from tiny import make_recipe


def looks(folder: Path, seconds: float | None = None) -> list[ValidationPrediction]:
    torch.manual_seed(0)
    model_card = make_recipe()
    network = build(model_card.network).eval()
    dataset = detect_dataset(folder)
    (found,) = predict_validation([network], model_card, dataset, device="cpu", seconds=seconds, progress=Progress())
    return found


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    write_demo(tmp_path / "cells", train=2, val=3, test=1, size=64)
    return tmp_path / "cells"


def test_time_is_a_share_of_the_budget() -> None:
    assert seconds_to_predict(None) is None
    assert seconds_to_predict(600.0) == pytest.approx(12)
    assert seconds_to_predict(1e6) == validation_predictions.SECONDS


def test_every_validation_image_is_predicted(cells: Path) -> None:
    found = looks(cells)
    assert sorted(look.name for look in found) == sorted(case.name for case in detect_dataset(cells).splits["val"])
    for look in found:
        assert look.truth.shape == look.probabilities.shape[1:] == (64, 64)
        np.testing.assert_allclose(look.probabilities.sum(0), 1, rtol=1e-5)


def test_enough_pixels_and_enough_time_are_enough(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(looks(cells, seconds=0.0)) == 1
    monkeypatch.setattr(validation_predictions, "MAX_PIXELS", 64 * 64 + 1)
    assert len(looks(cells)) == 2
    monkeypatch.setitem(validation_predictions.SIDES, 2, (40, 40))
    assert {look.truth.shape for look in looks(cells)} == {(40, 40)}


def test_the_memory_for_probabilities_is_limited(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_predictions, "MAX_VALUES", 2 * 64 * 64 + 2)  # two classes
    assert len(looks(cells)) == 2


def test_the_centre_of_a_prediction_is_that_of_image_and_probabilities(cells: Path) -> None:
    look = looks(cells)[0]
    centre = crop_centre(look, 40)
    np.testing.assert_array_equal(centre.truth, look.truth[12:52, 12:52])
    np.testing.assert_array_equal(centre.probabilities, look.probabilities[:, 12:52, 12:52])
