"""Calibration takes its share of a budget, reports its result, and samples pixels of large images."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from pixelwise.datasets.synthetic import write_demo
from pixelwise.io.read import write_image
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.metrics.calibration import (
    expected_calibration_error,
    find_temperature,
    logits_of,
    reliability,
    scale_probabilities,
)
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.fit.select import calibration
from pixelwise.workflow.fit.select.calibration import (
    CalibrationSample,
    calibrate,
    fit_temperatures,
    two_are_better,
)
from pixelwise.workflow.train import train
from tiny import make_recipe

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.validate_every=4",
)  # fmt: skip


def seen(seed: int, pixels: int = 4000) -> CalibrationSample:
    """Pixels of which a network is twice too sure."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, pixels)
    truth = (rng.random(pixels) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
    sure = 1 / (1 + np.exp(-2 * logit))
    predicted = (logit > 0).astype(np.uint8)
    actual = 2 * float((predicted & truth).sum()) / float(predicted.sum() + truth.sum())
    truth[:100] = 255  # not known
    return CalibrationSample(
        name=f"{seed:02}",
        probabilities=np.stack([1 - sure, sure]).astype(np.float16),
        predicted=predicted,
        truth=truth,
        actual=actual,
    )


def test_temperature_and_margin_of_drawn_images() -> None:
    found = calibrate([seen(seed) for seed in range(12)], make_recipe())
    assert found.temperatures.sure == pytest.approx(2, rel=0.05)
    assert found.images == 12
    assert found.margin == pytest.approx(0, abs=0.03)  # calibrated probabilities promise what comes
    assert found.before is not None
    assert found.after is not None
    assert found.after < 0.01 < 0.05 < found.before


def test_some_pixels_of_many_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MAX_FITTED", 2 * 6000)
    assert calibrate([seen(seed) for seed in range(12)], make_recipe()).temperatures.sure == pytest.approx(2, rel=0.15)


def test_without_images_nothing_is_found_and_that_is_told() -> None:
    found = calibrate([], make_recipe())
    assert (found.temperatures, found.margin) == (UNSCALED, None)
    assert found.to_text() == "Probabilities are not calibrated: there are no pixels of validation images."


def test_a_perfect_set_does_not_make_the_model_surer() -> None:
    probabilities = np.tile([[0.7, 0.3]], (500, 1))
    assert fit_temperatures(probabilities, np.zeros(500, np.int64), np.arange(500)).temperatures == UNSCALED
    spoilt = np.repeat([0, 1], [380, 120])
    found = fit_temperatures(probabilities, spoilt, np.zeros(500, np.int64))
    assert found.temperatures.sure < 1  # control: with mistakes it is found


def test_a_temperature_that_makes_chances_less_true_is_not_taken() -> None:
    """10,000 calibrated pixels except 200, which are almost certain and half of them wrong."""
    probabilities = np.repeat([[0.9, 0.1], [1 - 1e-6, 1e-6]], [9800, 200], axis=0)
    truth = np.repeat([0, 1, 0, 1], [8820, 980, 100, 100])
    assert find_temperature(logits_of(probabilities), truth) > 1.05, "control: the likelihood asks for one"
    found = fit_temperatures(probabilities, truth, np.zeros(len(truth), np.int64))
    assert found.temperatures == UNSCALED
    assert found.before == found.after == pytest.approx(0.01, abs=0.001)
    assert found.to_text().startswith("Probabilities are not scaled: calibration error (ECE) 0.0100")


def spoilt_world(seed: int, images: int, spoil: Temperatures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of three classes that want the temperatures `spoil`, the truth, and the image of each pixel."""
    rng = np.random.default_rng(seed)
    before = softmax(rng.normal(0, 2.5, (6000 * images, 3)), axis=1)
    probabilities = scale_probabilities(before, spoil)
    truth = (probabilities.cumsum(1) < rng.random((len(probabilities), 1))).sum(1).clip(max=2)
    return before, truth, np.repeat(np.arange(images), 6000)


def error_of(probabilities: np.ndarray, truth: np.ndarray) -> float:
    error = expected_calibration_error(reliability(probabilities, truth))
    assert error is not None
    return error


def test_two_temperatures_are_taken_where_images_left_out_want_them() -> None:
    before, truth, image = spoilt_world(0, 6, Temperatures(1.6, 0.5))
    found = fit_temperatures(before, truth, image)
    assert found.temperatures.sure == pytest.approx(1.6, rel=0.1)
    assert found.temperatures.doubt == pytest.approx(0.5, rel=0.1)
    one = scale_probabilities(before, Temperatures(find_temperature(logits_of(before), truth)))
    assert found.after is not None
    assert found.after < 0.01 < 0.03 < error_of(one, truth)
    assert found.to_text().startswith("Temperature 1.")
    assert " at high confidence, 0." in found.to_text()
    model_card = found.into(make_recipe(), "note")
    assert (model_card.temperature, model_card.doubt_temperature) == (found.temperatures.sure, found.temperatures.doubt)
    alone = fit_temperatures(before, truth, np.zeros(len(truth), np.int64))  # control: one image cannot be left out
    assert alone.temperatures.doubt is None


def test_two_temperatures_that_only_some_images_want_are_not_taken() -> None:
    """One image wants one change, the other the opposite: what is found on either is wrong on the other."""
    worlds = [
        spoilt_world(seed, 1, spoil) for seed, spoil in enumerate([Temperatures(2.0, 0.5), Temperatures(0.7, 2.0)])
    ]
    before, truth = (np.concatenate([world[part] for world in worlds]) for part in (0, 1))
    assert not two_are_better(before, truth, np.repeat([0, 1], 6000))
    alike = spoilt_world(0, 2, Temperatures(2.0, 0.5))  # control: what every image wants is taken
    assert two_are_better(*alike)


@pytest.mark.parametrize("kind", ["components", "distance"])
def test_a_training_calibrates_the_model_it_wrote_unless_told_not_to(tmp_path: Path, kind: str) -> None:
    write_demo(tmp_path / "cells", train=3, val=2, test=1, size=64)
    run = train(
        tmp_path / "cells", out=tmp_path / "run", steps=4,
        overrides=(*SMALL, f"target.kind={kind}", "target.min_area=0"),
        progress=Progress(),
    )  # fmt: skip
    model_card = read_model_card(run.model_path)
    assert model_card.conformal_margin is None
    assert "calibration error (ECE) 0." in model_card.trained["calibration"]
    assert "there are 2." in model_card.trained["calibration"]
    left = train(
        tmp_path / "cells", out=tmp_path / "left", steps=4, progress=Progress(),
        overrides=(*SMALL, f"target.kind={kind}", "training.tune=false"),
    )  # fmt: skip
    assert read_model_card(left.model_path).temperature == 1
    assert "calibration" not in read_model_card(left.model_path).trained


def test_photos_are_calibrated_too(tmp_path: Path) -> None:
    for index in range(90):
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 120, (3, 16, 16)).astype(np.uint8)  # random noise
        write_image(tmp_path / "photos" / ("dark", "light")[index % 2] / f"p{index}.png", pixels)
    run = train(
        tmp_path / "photos", out=tmp_path / "run", steps=3, progress=Progress(),
        overrides=("network.base=4", "classification.batch=4", "training.precision=float32"), seed=1,
    )  # fmt: skip
    messages = read_model_card(run.model_path).trained["calibration"]
    assert "validation images" in messages
