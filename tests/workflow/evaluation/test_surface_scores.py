"""Surface scores by hand: units, classes in one mask alone, ignored pixels, and intervals over images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.dataset import Case
from pixelwise.io.read import write_labels
from pixelwise.workflow.evaluation import surface_scores
from pixelwise.workflow.evaluation.surface_scores import SurfaceEvaluation
from pixelwise.workflow.summary import _list_surfaces

CLASSES = ("background", "cell", "debris")


def make_cases(folder: Path, spacings: list[tuple[float, float] | None]) -> list[Case]:
    paths = [write_labels(folder / f"{i}.tif", np.eye(20, dtype=int), each) for i, each in enumerate(spacings)]
    return [Case(name=path.stem, image=path, split="test") for path in paths]


def square(shift: int = 0) -> np.ndarray:
    mask = np.zeros((20, 20), np.int32)
    mask[5:10, 5 + shift : 10 + shift] = 1
    return mask


def score(cases: list[Case], masks: list[tuple[np.ndarray, np.ndarray]], task: str = "multiclass") -> dict[str, Any]:
    evaluation = SurfaceEvaluation(cases, CLASSES if task != "instance" else ("background", "object"), task)
    for case, (truth, predicted) in zip(cases, masks, strict=True):
        evaluation.add(case, truth, predicted)
    return evaluation.add_to({"scores": {}, "cases": [{"name": case.name} for case in cases]}, 0)


@pytest.mark.parametrize(("spacing", "unit", "distance"), [((0.5, 0.25), "micrometre", 0.5), (None, "pixel", 2.0)])
def test_a_shift_of_two_pixels_in_the_unit_of_the_images(
    tmp_path: Path, spacing: tuple[float, float] | None, unit: str, distance: float
) -> None:
    cases = make_cases(tmp_path, [spacing] * 3)
    scores = score(cases, [(square(), square(2))] * 3)
    surfaces = scores["scores"]["surfaces"]
    assert surfaces["unit"] == unit
    assert surfaces["tolerance"] == (0.5 if spacing else 1.0)
    cell, debris = surfaces["classes"]
    assert cell["hd95"] == pytest.approx(distance)
    assert cell["hd95_interval"] == pytest.approx([distance, distance])
    assert scores["cases"][0]["surfaces"]["cell"]["hd95"] == pytest.approx(distance)
    assert (debris["hd95"], debris["surface_dice"], debris["images"]) == (None, None, 0), "in neither mask"
    assert _list_surfaces(surfaces)


def test_one_image_without_a_pixel_size_makes_pixels_of_all(tmp_path: Path) -> None:
    cases = make_cases(tmp_path, [(0.5, 0.5), None])
    assert score(cases, [(square(), square(1))] * 2)["scores"]["surfaces"]["unit"] == "pixel"


def test_a_class_in_one_mask_alone_has_no_distance_and_surface_dice_0(tmp_path: Path) -> None:
    cases = make_cases(tmp_path, [None] * 2)
    scores = score(cases, [(square(), square()), (square(), np.zeros((20, 20), np.int32))])
    cell = scores["scores"]["surfaces"]["classes"][0]
    assert (cell["hd95"], cell["surface_dice"], cell["images_one_sided"]) == (0.0, 0.5, 1)
    assert scores["cases"][1]["surfaces"]["cell"]["hd95"] is None


@pytest.mark.parametrize(("task", "ignored"), [("multiclass", 255), ("instance", -1)])
def test_ignored_pixels_are_in_no_mask(tmp_path: Path, task: str, ignored: int) -> None:
    cases = make_cases(tmp_path, [None])
    truth, predicted = square(), square()
    predicted[15:, 15:] = 1
    wrong = score(cases, [(truth, predicted)], task)["scores"]["surfaces"]["classes"][0]
    truth[15:, 15:] = ignored
    right = score(cases, [(truth, predicted)], task)["scores"]["surfaces"]["classes"][0]
    assert right["hd95"] == 0.0
    assert wrong["hd95"] > 0.0, "control"


def test_very_large_images_are_counted_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface_scores, "MAX_PIXELS", 100)
    surfaces = score(make_cases(tmp_path, [None]), [(square(), square())])["scores"]["surfaces"]
    assert surfaces["images_too_large"] == 1
    assert _list_surfaces(surfaces) == []
