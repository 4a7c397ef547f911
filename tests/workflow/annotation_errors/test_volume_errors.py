"""Bright balls in volumes of which some are not annotated: they come first, and their slices are shown."""

from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from bright import drawn_volume, write_bright_model
from pixelwise.datasets.dataset import DataOptions
from pixelwise.labels.targets import IGNORE
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors.evidence import PREDICTED, EvidenceStore
from pixelwise.workflow.annotation_errors.records import AnnotationError
from pixelwise.workflow.annotation_errors.regions import compare_classes, find_candidates
from pixelwise.workflow.config import Config
from pixelwise.workflow.doctor import doctor
from pixelwise.workflow.run import Run
from tiny import make_recipe

pytest.importorskip("nibabel")

SHAPE, PLACES = (20, 48, 40), ((10, 12, 12), (8, 34, 14), (11, 20, 30))


def balls(missing: tuple[int, ...] = ()) -> np.ndarray:
    """Three balls of class 1, 2 and 1 without some of them."""
    z, y, x = np.indices(SHAPE)
    mask = np.zeros(SHAPE, np.int64)
    for index, (depth, row, column) in enumerate(PLACES):
        if index not in missing:
            mask[(z - depth) ** 2 + (y - row) ** 2 + (x - column) ** 2 <= 25] = 1 + index % 2
    return mask


def probabilities(truth: np.ndarray) -> np.ndarray:
    planes = 0.03 + np.stack([truth == index for index in range(3)]).astype(np.float32)
    return planes / planes.sum(0)


def test_a_missing_ball_is_one_error_with_its_slices() -> None:
    truth, given = balls(), balls(missing=(1,))
    given[:, :, :3] = IGNORE
    found = find_candidates(compare_classes(given, truth, probabilities(truth), background=True))
    (one,) = found.candidates
    assert (one.kind, one.box, found.agreeing) == ("missed object", (3, 29, 9, 14, 40, 20), 2)
    assert one.score > 0.8


def test_classes_and_outlines_in_three_dimensions() -> None:
    truth = balls()
    given = np.where(truth == 2, 1, truth)  # the second ball has another class
    given[:5] = 0
    candidates = find_candidates(compare_classes(given, truth, probabilities(truth), background=True)).candidates
    assert [one.kind for one in candidates[:1]] == ["swapped class"]
    assert {one.kind for one in candidates[1:]} <= {"sloppy boundary", "missed object"}


def test_the_slice_with_most_of_the_error_is_shown() -> None:
    truth, given = balls(), balls(missing=(1,))
    comparison = compare_classes(given, truth, probabilities(truth), background=True)
    (one,) = find_candidates(comparison).candidates
    error = AnnotationError(
        kind=one.kind, score=one.score, case="a", files=("a.nii.gz",), box=one.box, annotated="background",
        predicted="dark", pixels=one.pixels[0][2], seen=False,
    )  # fmt: skip
    assert error.change.startswith("slices 3-13, rows 29-39, columns 9-19")
    assert error.to_json()["box"] == {"front": 3, "top": 29, "left": 9, "back": 14, "bottom": 40, "right": 20}
    store = EvidenceStore()
    pixels = np.zeros((1, *SHAPE), np.int16)
    pixels[0, 8, 34, 14] = 900  # in the middle of the ball
    store.add(pixels, comparison, [error])
    (shown,) = store.evidence()
    assert shown.image.max() > 200, "the slice through the middle"
    assert shown.prediction is not None
    assert shown.annotation is not None
    assert (shown.prediction == np.array(PREDICTED)).all(-1).any()
    assert (shown.prediction != shown.image).sum() > (shown.annotation != shown.image).sum(), "of another ball only"


def test_doctor_ranks_the_missing_balls_of_a_run(tmp_path: Path) -> None:
    """Six volumes with a ball in each half; in two of them one is not annotated."""
    missing = {"ball_1": 1, "ball_4": 0}
    for number in range(6):
        volume = drawn_volume(number)
        mask, half = (volume > -450).astype(np.uint8), volume.shape[2] // 2
        side = missing.get(f"ball_{number}")
        if side is not None:
            mask[:, :, half * side : half * (side + 1)] = 0
        for folder, values in (("images", volume), ("masks", mask)):
            drawn.save_nifti(tmp_path / "data" / folder / f"ball_{number}.nii.gz", values, drawn.OBLIQUE)
    card, names = make_recipe("binary", dimensions=3), [f"ball_{number}" for number in range(6)]
    records = {
        "splits": {"cases": {"train": [], "val": [], "test": []}, "groups": {}, "seed": 0},
        "folds": {"left_out": [names[:3], names[3:]]},
    }
    run = Run.create(tmp_path / "run", Config(network=card.network, target=card.target), records)
    for one in (run, run.fold(1), run.fold(2)):
        one.folder.mkdir(parents=True, exist_ok=True)
        write_bright_model(one.model_path, "binary", dimensions=3)
    page = tmp_path / "page.html"
    options = DataOptions(classes=("background", "object"))
    found = doctor(
        tmp_path / "data", run=tmp_path / "run", html=page, options=options, progress=Progress()
    ).annotation_errors
    assert found is not None
    first = found.ranked[:2]
    assert {(one.case, one.kind) for one in first} == {(name, "missed object") for name in missing}
    assert all(one.box is not None and len(one.box) == 6 for one in first)
    assert all(one.pixels > 100 for one in first)
    assert "slices" in page.read_text("utf-8")
