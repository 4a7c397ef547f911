"""Minimum areas of classes: chosen if small regions are false alarms, not if they are real or few."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets.dataset import DataOptions, detect_dataset
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.read import write_image
from pixelwise.labels.postprocess import remove_small_regions
from pixelwise.labels.targets import TargetOptions
from pixelwise.metrics.semantic import class_scores, confusion
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.fit.select import validation_predictions
from pixelwise.workflow.fit.select.min_area import (
    MinAreaChoice,
    Regions,
    choose_min_areas,
    find_areas,
    may_choose,
    select_min_areas,
)
from pixelwise.workflow.train import train
from tiny import make_recipe, select_for_model, write_model

CLASSES = 3
Pair = tuple[np.ndarray, np.ndarray]


def scene(seed: int, specks: int = 6, real: int = 12) -> Pair:
    """Ground truth and mask: each third image is empty, others have a square of class 1 or 2; false small regions."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((64, 64), np.uint8)
    if seed % 3:
        row, column = rng.integers(4, 40, 2)
        truth[row : row + real, column : column + real] = seed % 3
    mask = truth.copy()
    for _ in range(specks):
        row, column = rng.integers(0, 61, 2)
        mask[row : row + 3, column : column + 3] = rng.integers(1, 3)
    return truth, mask


def areas_of(pairs: list[Pair]) -> list[list[Regions]]:
    return [find_areas(truth, mask, CLASSES) for truth, mask in pairs]


def mean_dice(pairs: list[Pair], smallest: tuple[int, ...]) -> float:
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    for truth, mask in pairs:
        left = mask.copy()
        remove_small_regions(left, smallest)
        matrix += confusion(truth, left, CLASSES)
    return float(np.mean([value for value in class_scores(matrix).dice[1:] if value is not None]))


def alarms(pairs: list[Pair], smallest: tuple[int, ...]) -> int:
    count = 0
    for truth, mask in pairs:
        left = mask.copy()
        remove_small_regions(left, smallest)
        count += bool(left.any() and not truth.any())
    return count


def test_areas_are_counted_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0], [0, 0, 255, 2]], np.uint8)
    mask = np.array([[1, 0, 0, 2], [0, 0, 1, 2]], np.uint8)
    first, second = find_areas(truth, mask, CLASSES)
    assert first.predicted.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert (first.true.tolist(), first.pixels) == ([2], 2)
    assert second.predicted.tolist() == [[2, 2, 1]]
    assert second.pixels == 1


def test_specks_that_are_false_alarms_are_dropped() -> None:
    pairs = [scene(seed) for seed in range(45)]
    found = choose_min_areas(areas_of(pairs))
    assert found is not None
    assert found.areas[0] == 0
    assert all(16 <= area <= 144 for area in found.areas[1:])  # above the specks, below what is real
    assert (found.images, found.empty) == (45, 15)
    assert found.before == pytest.approx(mean_dice(pairs, (0, 0, 0)))
    assert found.after == pytest.approx(mean_dice(pairs, found.areas), abs=0.01)
    assert found.after > found.before + 0.05
    assert found.alarms_before == alarms(pairs, (0, 0, 0)) == 15
    assert found.alarms_after == alarms(pairs, found.areas) <= 1
    new = [scene(seed) for seed in range(100, 145)]  # images that nothing was chosen on
    assert alarms(new, found.areas) <= 1 < alarms(new, (0, 0, 0))
    assert mean_dice(new, found.areas) > mean_dice(new, (0, 0, 0)) + 0.05
    text = found.to_text(("background", "hole", "crack"))
    assert text.startswith(
        f"Small-object removal below these areas in pixels (hole {found.areas[1]}, crack {found.areas[2]}), chosen"
    )
    assert "false alarms in" in text


def test_what_is_real_and_small_is_kept() -> None:
    """Control: the same specks, but what is real is as small as they are."""
    found = choose_min_areas(areas_of([scene(seed, specks=1, real=3) for seed in range(45)]))
    assert found is not None
    assert all(area <= 9 for area in found.areas)  # 9 pixels are real
    assert mean_dice([scene(3 * k + 1, real=3) for k in range(9)], found.areas) > 0


def test_without_false_alarms_or_empty_images_nothing_is_chosen() -> None:
    clean = choose_min_areas(areas_of([scene(seed, specks=0) for seed in range(45)]))
    assert clean is not None
    assert clean.areas == (0, 0, 0)
    assert clean.to_text(("a", "b", "c")).startswith("No small-object removal: it does not improve")
    full = [scene(seed) for seed in range(45) if seed % 3]
    assert choose_min_areas(areas_of(full)) is None
    assert choose_min_areas(areas_of([*full, scene(0), scene(3)])) is None  # two are too few
    assert choose_min_areas(areas_of([*full, scene(0), scene(3), scene(6)])) is not None  # control
    assert choose_min_areas(areas_of([scene(3 * k) for k in range(9)])) is None


def test_where_there_may_be_something_to_choose() -> None:
    targets = [scene(seed)[0] for seed in range(9)]
    assert may_choose(targets, TargetOptions())
    assert not may_choose(targets, TargetOptions(kind="components"))
    assert not may_choose([target for target in targets if target.any()], TargetOptions())
    assert not may_choose(targets[:5], TargetOptions())  # two empty ones


def write_scenes(folder: Path, part: str, seeds: range) -> None:
    """Images whose brightness is the predicted class, with ground truth."""
    for seed in seeds:
        truth, mask = scene(seed)
        write_image(folder / part / "images" / f"s{seed:02d}.png", (100 * mask)[None])
        write_image(folder / part / "masks" / f"s{seed:02d}.png", truth[None])


def by_brightness(tiles: np.ndarray) -> np.ndarray:
    """A network that returns the class in the pixel."""
    return np.stack([-np.abs(tiles[:, 0] - 100 * index) for index in range(CLASSES)], axis=1).astype(np.float32)


def test_a_model_carries_what_was_chosen_and_predicts_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path / "tiles", "train", range(100, 103))
    write_scenes(tmp_path / "tiles", "val", range(45))
    model_card = make_recipe("multiclass")
    plain = replace(model_card.normalisation, kind="none")
    model_card = replace(model_card, normalisation=plain, classes=("background", "hole", "crack"))
    path = tmp_path / "model.safetensors"
    write_model(path, model_card)
    monkeypatch.setattr(validation_predictions, "TorchRuntime", lambda *_: by_brightness)
    options = DataOptions(classes=("background=0", "hole=1", "crack=2"))
    dataset = detect_dataset(tmp_path / "tiles", options, 0, Progress())
    messages = select_for_model(path, dataset, select_min_areas)
    found = read_model_card(path)
    assert found.target.class_areas[0] == 0
    assert min(found.target.class_areas[1:]) >= 16
    assert found.trained["areas"] == messages
    model = load_model_for_prediction(path)
    model.predictor.runtime = by_brightness
    truth, mask = scene(3)  # an empty one, with specks
    assert mask.any()
    np.testing.assert_array_equal(model.predict(100 * mask), truth)


@pytest.mark.parametrize("override", [(), ("target.class_areas=[0,7]",), ("training.tune=false",)])
def test_a_training_chooses_unless_told_otherwise(tmp_path: Path, override: tuple[str, ...]) -> None:
    for part in ("train", "val"):
        for seed in range(6):
            image = np.random.default_rng(seed).integers(0, 255, (1, 48, 48)).astype(np.uint8)
            truth = np.zeros((1, 48, 48), np.uint8)
            truth[0, 10:20, 10:20] = 255 * (seed % 2)
            write_image(tmp_path / "d" / part / "images" / f"{seed}.png", image + (part == "val"))
            write_image(tmp_path / "d" / part / "masks" / f"{seed}.png", truth)
    run = train(
        tmp_path / "d", out=tmp_path / "run", steps=2, progress=Progress(),
        overrides=("network.base=4", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
                   "training.precision=float32", *override),
    )  # fmt: skip
    model_card = read_model_card(run.model_path)
    assert ("areas" in model_card.trained) == (not override)
    if "class_areas" in "".join(override):
        assert model_card.target.class_areas == (0, 7)


def test_what_is_told_of_a_choice() -> None:
    chosen = MinAreaChoice(areas=(0, 0, 64), before=0.5, after=0.6, images=10, empty=4, alarms_before=4, alarms_after=1)
    assert chosen.to_text(("a", "b", "c")) == (
        "Small-object removal below these areas in pixels (c 64), chosen on 10 validation images, 4 of them empty: "
        "mean Dice 0.6000, before 0.5000; false alarms in 1 of the empty ones, before in 4."
    )
