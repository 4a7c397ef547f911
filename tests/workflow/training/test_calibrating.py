"""Calibrating takes its share of a budget, says what it found, and of large images looks at some pixels alone."""

from pathlib import Path

import numpy as np
import pytest

from pixelwise.engine.modelfile import read_recipe
from pixelwise.images.files import write_image
from pixelwise.images.synthetic import write_demo
from pixelwise.progress import Progress
from pixelwise.scoring.calibration import find_temperature, logits_of
from pixelwise.workflow.train import train
from pixelwise.workflow.training import calibrating
from pixelwise.workflow.training.calibrating import Seen, calibrate, fit_temperature, seconds_to_calibrate
from tiny import make_recipe

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.validate_every=4",
)  # fmt: skip


def seen(seed: int, pixels: int = 4000) -> Seen:
    """Pixels of which a network is twice too sure."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, pixels)
    truth = (rng.random(pixels) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
    sure = 1 / (1 + np.exp(-2 * logit))
    said = (logit > 0).astype(np.uint8)
    came = 2 * float((said & truth).sum()) / float(said.sum() + truth.sum())
    truth[:100] = 255  # not known
    return Seen(chances=np.stack([1 - sure, sure]).astype(np.float16), said=said, wanted=truth, came=came)


def test_temperature_and_margin_of_drawn_images() -> None:
    found = calibrate([seen(seed) for seed in range(12)], make_recipe())
    assert found.temperature == pytest.approx(2, rel=0.05)
    assert found.images == 12
    assert found.margin == pytest.approx(0, abs=0.03)  # calibrated probabilities promise what comes
    assert found.before is not None
    assert found.after is not None
    assert found.after < 0.01 < 0.05 < found.before


def test_some_pixels_of_many_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "MOST_FITTED", 2 * 6000)
    assert calibrate([seen(seed) for seed in range(12)], make_recipe()).temperature == pytest.approx(2, rel=0.15)


def test_without_images_nothing_is_found_and_that_is_told() -> None:
    found = calibrate([], make_recipe())
    assert (found.temperature, found.margin) == (1.0, None)
    assert found.to_text() == "Probabilities are not calibrated: there are no pixels of validation images."


def test_a_perfect_set_does_not_make_the_model_surer() -> None:
    chances = np.tile([[0.7, 0.3]], (500, 1))
    assert fit_temperature(chances, np.zeros(500, np.int64)).temperature == 1.0
    spoilt = np.repeat([0, 1], [380, 120])
    assert fit_temperature(chances, spoilt).temperature < 1  # control: with mistakes it is found


def test_a_temperature_that_makes_chances_less_true_is_not_taken() -> None:
    """Of 10,000 pixels all but 200 are right as often as they say; those are all but certain, half of them wrong."""
    chances = np.repeat([[0.9, 0.1], [1 - 1e-6, 1e-6]], [9800, 200], axis=0)
    truth = np.repeat([0, 1, 0, 1], [8820, 980, 100, 100])
    assert find_temperature(logits_of(chances), truth) > 1.05, "control: the likelihood asks for one"
    found = fit_temperature(chances, truth)
    assert found.temperature == 1.0
    assert found.before == found.after == pytest.approx(0.01, abs=0.001)
    assert found.to_text() == (
        "Probabilities stay: calibration error (ECE) 0.0100 on pixels of validation images, not less when scaled."
    )


def test_time_is_a_share_of_the_budget() -> None:
    assert seconds_to_calibrate(None) is None
    assert seconds_to_calibrate(600.0) == pytest.approx(12)
    assert seconds_to_calibrate(1e6) == calibrating.SECONDS


@pytest.mark.parametrize("kind", ["components", "distance"])
def test_a_training_calibrates_the_model_it_wrote_unless_told_not_to(tmp_path: Path, kind: str) -> None:
    write_demo(tmp_path / "cells", train=3, val=2, test=1, size=64)
    run = train(
        tmp_path / "cells", out=tmp_path / "run", steps=4, overrides=(*SMALL, f"target.kind={kind}"),
        progress=Progress(),
    )  # fmt: skip
    recipe = read_recipe(run.model_path)
    assert recipe.dice_margin is None
    assert "calibration error (ECE) 0." in recipe.trained["calibration"]
    assert "it takes 9 validation images, and there are 2." in recipe.trained["calibration"]
    left = train(
        tmp_path / "cells", out=tmp_path / "left", steps=4, progress=Progress(),
        overrides=(*SMALL, f"target.kind={kind}", "training.tune=false"),
    )  # fmt: skip
    assert read_recipe(left.model_path).temperature == 1
    assert "calibration" not in read_recipe(left.model_path).trained


def test_photos_are_calibrated_too(tmp_path: Path) -> None:
    for index in range(90):
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 120, (3, 16, 16)).astype(np.uint8)  # nothing to tell them apart by
        write_image(tmp_path / "photos" / ("dark", "light")[index % 2] / f"p{index}.png", pixels)
    run = train(
        tmp_path / "photos", out=tmp_path / "run", steps=3, progress=Progress(),
        overrides=("network.base=4", "photos.batch=4", "training.precision=float32"), seed=1,
    )  # fmt: skip
    told = read_recipe(run.model_path).trained["calibration"]
    assert "validation photos" in told
