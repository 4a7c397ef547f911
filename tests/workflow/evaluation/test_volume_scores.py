"""Scores of volumes: millilitres by hand, distances with the spacing of each axis, units."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.dataset import Case
from pixelwise.geometry.grid import Grid
from pixelwise.workflow.evaluation.mask_scores import score_case
from pixelwise.workflow.evaluation.surface_scores import SurfaceEvaluation
from pixelwise.workflow.evaluation.volume_scores import VolumeEvaluation
from pixelwise.workflow.summary import _list_surfaces, _list_volumes

CLASSES = ("background", "left", "right")
GRID = Grid(axes=("z", "y", "x"), spacing=(5.0, 2.0, 1.0), unit="millimeter")
CASES = [Case(name=str(number), image=Path(f"{number}.nii.gz"), split="test") for number in range(3)]


def box(extra: int = 0) -> np.ndarray:
    labels = np.zeros((6, 10, 12), np.int32)
    labels[1:3, 2:4, 2 : 7 + extra] = 1
    return labels


def evaluate(grids: dict[str, Grid], task: str = "multiclass") -> dict[str, Any]:
    evaluation = VolumeEvaluation(grids, CLASSES, task)
    for number, case in enumerate(CASES):
        evaluation.add(case, box(), box(number))
    return evaluation.add_to({"scores": {}, "cases": [{"name": case.name} for case in CASES]}, 0)


def test_millilitres() -> None:
    scores = evaluate({case.name: GRID for case in CASES})
    row = scores["scores"]["volumes"]["classes"][0]
    true, slab = 20 * 10 / 1000, 4 * 10 / 1000  # voxels of 10 cubic millimetres
    assert row["true"] == pytest.approx(true)
    assert row["predicted"] == pytest.approx(true + slab)
    assert row["difference"] == pytest.approx(slab)
    assert row["error"] == pytest.approx(slab)
    low, high = row["difference_interval"]
    assert 0 <= low <= row["difference"] <= high <= 2 * slab
    assert scores["cases"][2]["volumes"]["left"] == {"true": true, "predicted": pytest.approx(true + 2 * slab)}
    assert any("left" in line for line in _list_volumes(scores["scores"]["volumes"]))


def test_without_a_unit_there_are_no_millilitres() -> None:
    unknown = Grid(axes=GRID.axes, spacing=(1.0, 1.0, 1.0))
    assert "volumes" not in evaluate({case.name: unknown for case in CASES})["scores"]
    assert "volumes" not in evaluate({})["scores"]


def test_ignored_voxels_count_for_neither() -> None:
    truth, predicted = box(), box(2)
    truth[:, :, 6:] = 255
    evaluation = VolumeEvaluation({"0": GRID}, CLASSES, "multiclass")
    evaluation.add(CASES[0], truth, predicted)
    row = evaluation.add_to({"scores": {}, "cases": [{"name": "0"}]}, 0)["cases"][0]["volumes"]["left"]
    assert row["true"] == row["predicted"] == pytest.approx(16 * 10 / 1000)


@pytest.mark.parametrize(("axis", "distance"), [(0, 5.0), (1, 2.0), (2, 1.0)])
def test_distances_in_millimetres_along_each_axis(axis: int, distance: float) -> None:
    evaluation = SurfaceEvaluation(CASES[:1], CLASSES, "multiclass", {"0": GRID})
    evaluation.add(CASES[0], box(), np.roll(box(), 1, axis))
    surfaces = evaluation.add_to({"scores": {}, "cases": [{"name": "0"}]}, 0)["scores"]["surfaces"]
    assert surfaces["unit"] == "millimetre"
    assert surfaces["tolerance"] == 5.0
    assert surfaces["classes"][0]["hd95"] == pytest.approx(distance)
    assert _list_surfaces(surfaces)


def test_objects_in_three_dimensions_and_no_scores_of_sections() -> None:
    truth = box()
    truth[4, 6:8, 6:9] = 2
    result = score_case("a", truth, np.where(truth == 2, 0, truth), "instance", 2)
    assert result.matching is not None
    assert (result.matching.truths, result.matching.predictions, len(result.matching.ious)) == (2, 1, 1)
    assert score_case("a", (truth > 0).astype(int), (truth > 0).astype(int), "binary", 2).boundaries is None
