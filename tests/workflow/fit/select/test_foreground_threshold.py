"""The foreground threshold of membrane-like images: chosen if gaps merge regions, unchanged otherwise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pixelwise.datasets.dataset import DataOptions, detect_dataset
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.read import write_image
from pixelwise.labels.targets import IGNORE, TargetOptions, splits_regions
from pixelwise.metrics.boundaries import rand_information
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.fit.select import validation_predictions
from pixelwise.workflow.fit.select.foreground_threshold import (
    ThresholdChoice,
    choose_foreground_threshold,
    is_membrane_like,
    score_threshold,
    select_foreground_threshold,
)
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction
from pixelwise.workflow.train import train
from tiny import make_recipe, select_for_model, write_model

SIDE, CELL = 128, 16


def membranes() -> tuple[np.ndarray, np.ndarray]:
    """64 cells separated by lines of three pixels, and the gap of three in each line."""
    inside = np.arange(SIDE) % CELL >= 3
    cells = inside[:, None] & inside[None, :]
    middle = abs(np.arange(SIDE) % CELL - 9) <= 1
    return cells, ~cells & (middle[:, None] | middle[None, :])


def look(gap: float, thick: float = 0.0) -> ValidationPrediction:
    """Return a prediction: cells at 0.99, lines at 0.01 but in their gaps, and cells beside lines `thick`."""
    cells, gaps = membranes()
    probability = np.where(cells, 0.99, np.where(gaps, gap, 0.01)).astype(np.float32)
    if thick:
        near = np.pad(~cells, 1, mode="wrap")
        beside = cells & (near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:])
        probability[beside] = thick
    return ValidationPrediction("drawn", cells.astype(np.int32), np.stack([1 - probability, probability]))


def hard_look(seed: int = 0) -> ValidationPrediction:
    """Return a prediction for which no threshold helps: gaps as probable as the rims of all cells, 0.85 for both.

    A threshold that closes the gaps takes the rims, a third of each cell; inside the cells are sure.
    """
    cells, gaps = membranes()
    inside = np.asarray(ndimage.binary_erosion(np.pad(cells, 2, mode="wrap"), iterations=2))[2:-2, 2:-2]
    probability = np.where(inside, 0.99, np.where(cells | gaps, 0.85, 0.01)).astype(np.float32)
    probability += np.random.default_rng(seed).uniform(0, 0.005, probability.shape).astype(np.float32)
    return ValidationPrediction("hard", cells.astype(np.int32), np.stack([1 - probability, probability]))


def test_the_score_is_computed_by_hand() -> None:
    drawn = look(gap=0.65)
    cells, gaps = membranes()
    merged = rand_information(cells, cells | gaps).v_rand
    assert merged is not None
    assert merged < 0.1, "all cells are one"
    dice = 2 * cells.sum() / (2 * cells.sum() + gaps.sum())
    assert score_threshold([drawn], TargetOptions()) == pytest.approx((merged, dice))
    assert score_threshold([drawn], TargetOptions(foreground_threshold=0.7)) == pytest.approx((1, 1))
    both = score_threshold([drawn, look(gap=0.4)], TargetOptions())
    assert both.v_rand == pytest.approx((merged + 1) / 2)
    drawn.truth[:, : SIDE // 2] = IGNORE
    half = score_threshold([drawn], TargetOptions()).dice
    known = cells[:, SIDE // 2 :].sum()
    assert half == pytest.approx(2 * known / (2 * known + gaps[:, SIDE // 2 :].sum()))


def test_gaps_are_closed_by_a_threshold_where_that_does() -> None:
    looks = [look(gap) for gap in (0.65, 0.75, 0.4)]
    chosen = choose_foreground_threshold(looks, TargetOptions())
    assert chosen is not None
    assert chosen.target == TargetOptions(foreground_threshold=0.8), "no split: it would not be better"
    assert (chosen.after.v_rand, chosen.images) == (pytest.approx(1.0), 3)
    assert chosen.before.v_rand < 0.5
    assert "Foreground threshold 0.8, chosen on 3 validation images" in chosen.to_text()


def test_areas_are_split_where_no_threshold_helps() -> None:
    looks = [hard_look(0), hard_look(1)]
    chosen = choose_foreground_threshold(looks, TargetOptions())
    assert chosen is not None
    assert splits_regions(chosen.target)
    assert chosen.before.v_rand < 0.1
    assert chosen.after.v_rand > 0.95
    assert chosen.after.dice > chosen.before.dice - 0.01
    assert "split by a watershed" in chosen.to_text()
    plain = choose_foreground_threshold(looks, TargetOptions(), user_set=("split_depth",))  # control
    assert plain is not None
    assert plain.target == TargetOptions(), "a threshold that closes the gaps costs too much of the Dice"


def test_without_gaps_the_most_probable_class_stays() -> None:
    chosen = choose_foreground_threshold([look(gap=0.3)], TargetOptions())
    assert chosen is not None
    assert chosen.target == TargetOptions()
    assert (chosen.before.v_rand, chosen.after.v_rand) == (1.0, 1.0)
    assert "No other foreground threshold" in chosen.to_text()


def test_areas_that_would_shrink_are_protected() -> None:
    """Control: the gaps could be closed, but a fifth of each cell is no surer than they are."""
    planned = TargetOptions()
    chosen = choose_foreground_threshold([look(gap=0.65, thick=0.66)], planned, user_set=("split_depth",))
    assert chosen is not None
    assert chosen.target == planned
    assert chosen.after == chosen.before


def test_what_the_user_sets_stays() -> None:
    looks = [hard_look()]
    for own in ({"foreground_threshold": 0.6}, {"split_threshold": 0.93}, {"split_depth": 2}):
        (name,) = own
        chosen = choose_foreground_threshold(looks, TargetOptions(**own), user_set=(name,))
        assert chosen is not None
        assert getattr(chosen.target, name) == own[name]
        assert splits_regions(chosen.target)
    none = choose_foreground_threshold(looks, TargetOptions(split_threshold=0.93), user_set=("split_depth",))
    assert none is not None
    assert none.target == TargetOptions(split_threshold=0.93), "0 pixels, set by the user: nothing is split"


def test_trials_end_when_the_time_is_up() -> None:
    tried: list[int] = []

    def over() -> bool:
        tried.append(0)
        return len(tried) > 2

    looks = [hard_look()]
    chosen = choose_foreground_threshold(looks, TargetOptions(), over=over)
    assert chosen is not None
    assert len(tried) > 10, "each trial asks"
    assert chosen.target == TargetOptions(), "the depth of the first two trials leaves no marker in so small cells"
    whole = choose_foreground_threshold(looks, TargetOptions())  # control
    assert whole is not None
    assert splits_regions(whole.target)
    assert choose_foreground_threshold(looks, TargetOptions(), over=lambda: True) == ThresholdChoice(
        planned=TargetOptions(), target=TargetOptions(), before=chosen.before, after=chosen.before, images=1
    )


def test_nothing_is_chosen_without_foreground() -> None:
    empty = ValidationPrediction("empty", np.zeros((8, 8), np.int32), np.full((2, 8, 8), 0.5, np.float32))
    assert choose_foreground_threshold([empty], TargetOptions()) is None


def test_what_is_parted_by_lines() -> None:
    cells = membranes()[0].astype(np.uint8)
    assert is_membrane_like([cells], TargetOptions(), 2)
    assert not is_membrane_like([cells], TargetOptions(), 3)
    assert not is_membrane_like([cells], TargetOptions(kind="components"), 2)
    assert not is_membrane_like([1 - cells], TargetOptions(), 2), "lines are what is looked for: their Dice counts"
    assert not is_membrane_like([np.kron(np.eye(128, dtype=np.uint8), np.ones((2, 2), np.uint8))], TargetOptions(), 2)
    assert not is_membrane_like([cells[:64, :64]], TargetOptions(), 2), "too few regions"
    assert not is_membrane_like([np.ones_like(cells)], TargetOptions(), 2)


def write_cells(folder: Path, part: str, count: int, drawn: ValidationPrediction) -> None:
    """Images whose brightness is the predicted probability, with ground truth."""
    for number in range(count):
        pixels = np.rint(200 * drawn.probabilities[1]).astype(np.uint8)
        pixels[0, 0] = number + 100 * (part == "val")
        write_image(folder / part / "images" / f"{number}.png", pixels[None])
        write_image(folder / part / "masks" / f"{number}.png", 255 * drawn.truth[None].astype(np.uint8))


def by_brightness(tiles: np.ndarray) -> np.ndarray:
    """A network that returns the probability in the pixel."""
    probability = np.clip(tiles[:, 0] / 200, 0.001, 0.999)
    return np.stack([np.log(1 - probability), np.log(probability)], axis=1).astype(np.float32)


@pytest.mark.parametrize("drawn", [look(gap=0.75), hard_look()], ids=["threshold", "split"])
def test_a_model_carries_what_was_chosen_and_predicts_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: ValidationPrediction
) -> None:
    for part in ("train", "val"):
        write_cells(tmp_path / "cells", part, 2, drawn)
    model_card = make_recipe("binary")
    model_card = replace(model_card, normalisation=replace(model_card.normalisation, kind="none"))
    path = tmp_path / "model.safetensors"
    write_model(path, model_card)
    monkeypatch.setattr(validation_predictions, "TorchRuntime", lambda *_: by_brightness)
    dataset = detect_dataset(tmp_path / "cells", DataOptions(), 0, Progress())
    messages = select_for_model(path, dataset, select_foreground_threshold)
    target = read_model_card(path).target
    assert target.foreground_threshold == (0.7 if splits_regions(target) else 0.8)
    assert splits_regions(target) == (drawn.name == "hard")
    assert read_model_card(path).trained["threshold"] == messages
    model = load_model_for_prediction(path)
    model.predictor.runtime = by_brightness
    cells, gaps = membranes()
    image = np.rint(200 * drawn.probabilities[1]).astype(np.uint8)
    v_rand = rand_information(cells, model.predict(image) == 1).v_rand
    assert v_rand is not None
    assert v_rand > 0.95
    model.model_card = replace(model.model_card, target=TargetOptions())  # control
    np.testing.assert_array_equal(model.predict(image), cells | gaps)


@pytest.mark.parametrize("seconds", [1e-9, 1e9])
def test_little_time_means_fewer_images(seconds: float) -> None:
    looks = [look(gap=0.75) for _ in range(3)]
    model_card, messages = select_foreground_threshold(looks, make_recipe("binary"), seconds)
    assert ("1 validation image " if seconds < 1 else "3 validation images ") in messages
    assert model_card.target.foreground_threshold == (0.5 if seconds < 1 else 0.8), "no trial, or all"


class Ticking:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize(("seconds", "images"), [(20.0, 2), (75.0, 5)])
def test_as_many_images_are_used_as_leave_time_for_trials(
    monkeypatch: pytest.MonkeyPatch, seconds: float, images: int
) -> None:
    monkeypatch.setattr(validation_predictions, "time", Ticking())
    looks = [look(gap=0.75) for _ in range(5)]
    _, messages = select_foreground_threshold(looks, make_recipe("binary"), seconds)
    assert f"chosen on {images} validation images" in messages


@pytest.mark.parametrize(
    "override",
    [(), ("target.foreground_threshold=0.6", "target.split_depth=3"), ("training.tune=false",)],
    ids=["chosen", "own", "off"],
)
def test_a_training_chooses_unless_told_otherwise(tmp_path: Path, override: tuple[str, ...]) -> None:
    for part in ("train", "val"):
        write_cells(tmp_path / "d", part, 2, look(gap=0.75))
    run = train(
        tmp_path / "d", out=tmp_path / "run", steps=2, progress=Progress(),
        overrides=("network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
                   "training.precision=float32", *override),
    )  # fmt: skip
    model_card = read_model_card(run.model_path)
    assert ("threshold" in model_card.trained) == ("training.tune=false" not in override)
    if len(override) == 2:
        assert (model_card.target.foreground_threshold, model_card.target.split_depth) == (0.6, 3)
