"""The threshold of areas that lines part: chosen where gaps merge them, and left alone elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelwise.engine.model import load_model_for_prediction
from pixelwise.engine.modelfile import read_recipe
from pixelwise.images.cases import DataOptions, understand
from pixelwise.images.files import write_image
from pixelwise.labels.targets import IGNORE, TargetOptions
from pixelwise.progress import Progress
from pixelwise.scoring.boundaries import rand_information
from pixelwise.workflow.train import train
from pixelwise.workflow.training import looking
from pixelwise.workflow.training.looking import Looked
from pixelwise.workflow.training.parting import (
    CHANCES,
    choose_threshold,
    choose_threshold_of_model,
    compare_thresholds,
    parted_by_lines,
)
from tiny import make_recipe, write_model

SIDE, CELL = 128, 16


def membranes() -> tuple[np.ndarray, np.ndarray]:
    """64 cells parted by lines of three pixels, and where each line has a gap of three."""
    inside = np.arange(SIDE) % CELL >= 3
    cells = inside[:, None] & inside[None, :]
    middle = abs(np.arange(SIDE) % CELL - 9) <= 1
    return cells, ~cells & (middle[:, None] | middle[None, :])


def look(gap: float, thick: float = 0.0) -> Looked:
    """Return what a network says: cells at 0.99, lines at 0.01 but in their gaps, and cells beside lines `thick`."""
    cells, gaps = membranes()
    chance = np.where(cells, 0.99, np.where(gaps, gap, 0.01)).astype(np.float32)
    if thick:
        near = np.pad(~cells, 1, mode="wrap")
        beside = cells & (near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:])
        chance[beside] = thick
    return Looked("drawn", cells.astype(np.int32), np.stack([1 - chance, chance]))


def test_thresholds_are_compared_by_hand() -> None:
    drawn = look(gap=0.65)
    table = compare_thresholds(drawn)
    cells, gaps = membranes()
    merged = rand_information(cells, cells | gaps).v_rand
    assert merged is not None
    assert merged < 0.1, "all cells are one"
    closed = np.array(CHANCES) >= 0.65
    assert table[~closed, 0] == pytest.approx(merged)
    assert table[closed, 0] == pytest.approx(1.0)
    assert (table[:, 1] == cells.sum()).all()
    assert (table[:, 2] == np.where(closed, cells.sum(), cells.sum() + gaps.sum())).all()
    drawn.truth[:, : SIDE // 2] = IGNORE
    assert (compare_thresholds(drawn)[:, 1] == cells[:, SIDE // 2 :].sum()).all()


def test_gaps_are_closed() -> None:
    chosen = choose_threshold([compare_thresholds(look(gap)) for gap in (0.65, 0.75, 0.4)])
    assert chosen is not None
    assert chosen.threshold == 0.8
    assert (chosen.after, chosen.images) == (pytest.approx(1.0), 3)
    assert chosen.before < 0.5
    assert chosen.to_text().startswith(
        "Foreground from a probability of 0.8 on, chosen on 3 validation images whose areas are parted by lines: V_rand"
    )


def test_without_gaps_the_most_probable_class_stays() -> None:
    chosen = choose_threshold([compare_thresholds(look(gap=0.3))])
    assert chosen is not None
    assert (chosen.threshold, chosen.before, chosen.after) == (0.5, 1.0, 1.0)
    assert "No other threshold" in chosen.to_text()


def test_areas_that_would_shrink_are_protected() -> None:
    """Control: the gaps could be closed, but a fifth of each cell is no surer than they are."""
    chosen = choose_threshold([compare_thresholds(look(gap=0.65, thick=0.66))])
    assert chosen is not None
    assert (chosen.threshold, chosen.dice_after) == (0.5, chosen.dice_before)


def test_nothing_is_chosen_without_foreground() -> None:
    empty = Looked("empty", np.zeros((8, 8), np.int32), np.full((2, 8, 8), 0.5, np.float32))
    assert choose_threshold([compare_thresholds(empty)]) is None


def test_what_is_parted_by_lines() -> None:
    cells = membranes()[0].astype(np.uint8)
    assert parted_by_lines([cells], TargetOptions(), 2)
    assert not parted_by_lines([cells], TargetOptions(), 3)
    assert not parted_by_lines([cells], TargetOptions(kind="components"), 2)
    assert not parted_by_lines([1 - cells], TargetOptions(), 2), "lines are what is looked for: their Dice counts"
    assert not parted_by_lines([np.kron(np.eye(128, dtype=np.uint8), np.ones((2, 2), np.uint8))], TargetOptions(), 2)
    assert not parted_by_lines([cells[:64, :64]], TargetOptions(), 2), "few areas decide by chance"
    assert not parted_by_lines([np.ones_like(cells)], TargetOptions(), 2)


def write_cells(folder: Path, part: str, count: int) -> None:
    """Images whose brightness is the probability that a network would say, beside the truth."""
    for number in range(count):
        drawn = look(gap=0.75)
        pixels = np.rint(200 * drawn.chances[1]).astype(np.uint8)
        pixels[0, 0] = number + 100 * (part == "val")
        write_image(folder / part / "images" / f"{number}.png", pixels[None])
        write_image(folder / part / "masks" / f"{number}.png", 255 * drawn.truth[None].astype(np.uint8))


def by_brightness(tiles: np.ndarray) -> np.ndarray:
    """A network that says the probability that stands in the pixel."""
    chance = np.clip(tiles[:, 0] / 200, 0.001, 0.999)
    return np.stack([np.log(1 - chance), np.log(chance)], axis=1).astype(np.float32)


def test_a_model_carries_what_was_chosen_and_predicts_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "val"):
        write_cells(tmp_path / "cells", part, 2)
    recipe = make_recipe("binary")
    recipe = replace(recipe, normalisation=replace(recipe.normalisation, kind="none"))
    path = tmp_path / "model.safetensors"
    write_model(path, recipe)
    monkeypatch.setattr(looking, "TorchRuntime", lambda *_: by_brightness)
    dataset = understand(tmp_path / "cells", DataOptions(), 0, Progress())
    told = choose_threshold_of_model(path, dataset, None, device="cpu", seconds=None, progress=Progress())
    assert read_recipe(path).target.foreground_threshold == 0.8
    assert read_recipe(path).trained["threshold"] == told
    model = load_model_for_prediction(path)
    model.predictor.runtime = by_brightness
    cells, gaps = membranes()
    image = np.rint(200 * look(gap=0.75).chances[1]).astype(np.uint8)
    np.testing.assert_array_equal(model.predict(image), cells)
    model.recipe = replace(model.recipe, target=TargetOptions())  # control
    np.testing.assert_array_equal(model.predict(image), cells | gaps)


@pytest.mark.parametrize("override", [(), ("target.foreground_threshold=0.6",), ("training.tune=false",)])
def test_a_training_chooses_unless_told_otherwise(tmp_path: Path, override: tuple[str, ...]) -> None:
    for part in ("train", "val"):
        write_cells(tmp_path / "d", part, 2)
    run = train(
        tmp_path / "d", out=tmp_path / "run", steps=2, progress=Progress(),
        overrides=("network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
                   "training.precision=float32", *override),
    )  # fmt: skip
    recipe = read_recipe(run.model_path)
    assert ("threshold" in recipe.trained) == (not override)
    if "foreground_threshold" in "".join(override):
        assert recipe.target.foreground_threshold == 0.6
