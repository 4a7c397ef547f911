"""Images that look otherwise, or show objects of another size, are reported with the reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.quantity_record import record_of
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.workflow.fit.select.appearance import select_appearance
from pixelwise.workflow.fit.training_data import TrainingImage
from pixelwise.workflow.prediction.outliers import describe_outliers, outlier_row, read_outliers, write_outliers
from tiny import make_recipe

COUNTS = np.array([[10, 270]])


def spots(seed: int, *, size: int = 5, noise: float = 6.0, dark: bool = False) -> np.ndarray:
    """Bright squares of `size` pixels on a noisy background."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, noise, (96, 96))
    for row, column in rng.integers(0, 96 - size, (12, 2)).tolist():
        image[row : row + size, column : column + size] += rng.uniform(60, 110)
    return (255 - image if dark else image).clip(0, 255).astype(np.uint8)[None]


def learned(images: int = 60, normalisation: Normalisation | None = None) -> ModelCard:
    card = replace(make_recipe(), normalisation=normalisation or Normalisation())
    pixels = [spots(seed) for seed in range(images)]
    reference = [
        TrainingImage(f"{i:03}", one, np.zeros(one.shape[1:], np.uint8), intensity_scale(one, card.normalisation))
        for i, one in enumerate(pixels)
    ]
    pairs = np.array([[[[10.0, 10.0], [250.0 + seed, 250.0]]] for seed in range(40)])
    return select_appearance([], replace(card, quantities=record_of(pairs)), None, images=reference)[0]


def judge(card: ModelCard, images: list[np.ndarray], folder: Path, counts: np.ndarray = COUNTS) -> list[dict[str, Any]]:
    rows = [outlier_row(f"{i}", image, counts, card) for i, image in enumerate(images)]
    write_outliers(folder / "outliers.csv", [row for row in rows if row is not None])
    return list(read_outliers(folder / "outliers.csv"))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"noise": 45.0}, "texture"), ({"size": 24}, "texture"), ({"dark": True}, "intensity")],
)
def test_other_images_are_found_with_their_reason(changed: dict[str, Any], reason: str, tmp_path: Path) -> None:
    found = judge(learned(), [spots(1000 + seed, **changed) for seed in range(10)], tmp_path)
    assert sum(bool(row["outlier"]) for row in found) >= 9
    assert sum(reason in row["reasons"] for row in found) >= 8


def test_few_images_like_those_of_the_training_are_reported(tmp_path: Path) -> None:
    found = judge(learned(), [spots(1000 + seed) for seed in range(60)], tmp_path)
    assert sum(bool(row["outlier"]) for row in found) <= 10


def test_brightness_counts_only_where_the_network_sees_it(tmp_path: Path) -> None:
    bright = [np.minimum(spots(1000 + seed).astype(int) + 60, 255).astype(np.uint8) for seed in range(10)]
    fixed = Normalisation(kind="dataset", mean=(70.0,), std=(30.0,))
    assert sum(bool(row["outlier"]) for row in judge(learned(normalisation=fixed), bright, tmp_path)) >= 9
    unclipped = [spots(1000 + seed).astype(np.float32) + 60 for seed in range(10)]
    assert sum(bool(row["outlier"]) for row in judge(learned(), unclipped, tmp_path)) <= 2


def test_objects_of_another_size_are_reported(tmp_path: Path) -> None:
    card, image = learned(), spots(2000)
    usual, large, none = (judge(card, [image], tmp_path, np.array([row]))[0] for row in ((10, 270), (10, 2500), (0, 0)))
    assert usual["reasons"] == []
    assert large["reasons"] == ["object size"]
    assert large["mean_object_size"] == 250
    assert none["p_object_size"] is None


def test_with_few_images_only_what_is_far_away_is_reported_and_nothing_is_cleared(tmp_path: Path) -> None:
    card = replace(learned(images=10), quantities=None)
    far, near = judge(card, [spots(2000, dark=True), spots(2001)], tmp_path)
    assert (far["outlier"], far["p_appearance"]) == (True, None)
    assert (near["outlier"], near["reasons"]) == (None, [])
    assert "19" in card.trained["appearance"]


def test_an_older_model_has_no_table() -> None:
    assert outlier_row("a", spots(1), COUNTS, make_recipe()) is None


def test_one_line_describes_all_images(tmp_path: Path) -> None:
    images = [spots(1000), spots(1001, noise=45.0), spots(1002, dark=True)]
    (line,) = describe_outliers(judge(learned(), images, tmp_path))
    assert line.startswith("2 of 3 images lie")
    assert "texture" in line
    assert "intensity" in line
    assert describe_outliers(judge(learned(), images[:1], tmp_path)) == []
