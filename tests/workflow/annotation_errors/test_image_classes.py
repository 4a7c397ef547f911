"""Photos of one colour each, of which some are in the folder of another class."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from drawn import save
from pixelwise.cli.main import app
from pixelwise.datasets.dataset import Case, DataOptions, Dataset, scan_dataset
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors import image_classes
from pixelwise.workflow.annotation_errors.image_classes import wrong_class_scores
from pixelwise.workflow.annotation_errors.ranking import rank_annotation_errors
from pixelwise.workflow.annotation_errors.result import LIKELY
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from tiny import make_photo_recipe, write_model

CLASSES = ("disc", "square", "stripes")
PLANTED = {"04", "11", "20"}
PHOTOS = 24


@dataclass(frozen=True)
class World:
    data: Path
    dataset: Dataset
    run: Run


def by_colour(model: object, dataset: Dataset, cases: Sequence[Case], **_: object) -> np.ndarray:
    """Return probabilities as a trained model would: the brightest channel is the class."""
    means = np.array([dataset.read_image(case).pixels.mean((1, 2)) for case in cases])
    odds = np.exp((means - means.max(1, keepdims=True)) / 20)
    return (odds / odds.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(image_classes, "predict_probabilities", by_colour)
    random = np.random.default_rng(0)
    names: list[str] = []
    for number in range(PHOTOS):
        true = number % 3
        given = CLASSES[(true + 1) % 3 if f"{number:02}" in PLANTED else true]
        photo = random.normal(90, 12, (20, 20, 3))
        photo[..., true] += 60
        save(tmp_path / "data" / given / f"{number:02}.png", photo.clip(0, 255).astype(np.uint8))
        names.append(f"{given}/{number:02}")
    dataset = scan_dataset(tmp_path / "data")
    names = [case.name for case in dataset.cases]
    card = make_photo_recipe()
    records: dict[str, Any] = {
        "splits": {"cases": {"train": [], "val": [], "test": []}, "groups": {}, "seed": 0},
        "folds": {"left_out": [names[::2], names[1::2]]},
    }
    config = Config(network=card.network, target=card.target, data=DataOptions(task="classification"))
    run = Run.create(tmp_path / "run", config, records)
    for one in (run, run.fold(1), run.fold(2)):
        one.folder.mkdir(parents=True, exist_ok=True)
        write_model(one.model_path, card)
    return World(tmp_path / "data", dataset, run)


def test_planted_photos_are_ranked_first(world: World) -> None:
    found = rank_annotation_errors(world.run, world.dataset, progress=Progress(), pictures=True)
    assert {Path(error.case).name for error in found.likely} == PLANTED
    assert found.images == found.regions == PHOTOS
    for error, picture in zip(found.likely, found.evidence, strict=True):
        true = CLASSES[int(Path(error.case).name) % 3]
        assert (error.predicted, error.seen, error.box) == (true, False, None)
        assert error.annotated == Path(error.files[0]).parent.name != true
        assert picture.error is error
        assert picture.annotation is None
        assert picture.image.shape == (20, 20, 3)


def test_doctor_shows_them_in_text_json_and_page(world: World, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ["doctor", str(world.data), "--run", str(world.run.folder)]
    record = json.loads(CliRunner().invoke(app, [*arguments, "--html", str(page), "--json"]).stdout)[
        "annotation_errors"
    ]
    assert record["counts"] == {"wrong class": len(PLANTED)}
    assert {error["box"] for error in record["errors"]} == {None}
    assert page.read_text("utf-8").count("data:image/png") >= len(PLANTED)
    assert CliRunner().invoke(app, arguments).stdout.count("wrong class (") == len(PLANTED)


def test_masks_do_not_fit_a_run_of_classification(world: World, tmp_path: Path) -> None:
    for number in range(4):
        mask = np.zeros((20, 20), np.uint8)
        mask[:9, : 5 + number] = 255
        save(tmp_path / "masks" / "images" / f"{number}.png", mask // 2)
        save(tmp_path / "masks" / "masks" / f"{number}.png", mask)
    with pytest.raises(BadDataset, match="a folder of images for each class"):
        rank_annotation_errors(world.run, scan_dataset(tmp_path / "masks"), progress=Progress())


@given(st.integers(0, 1000))
def test_a_likely_error_is_as_probable_as_is_usual_for_its_class(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([0.5] * 3, 12).astype(np.float32)
    given = random.integers(0, 3, 12)
    scores, others = wrong_class_scores(probabilities, given)
    for row, label, score, other in zip(probabilities, given, scores, others, strict=True):
        usual = probabilities[given == other, other].mean() if (given == other).any() else 1.0
        assert other != label
        assert (score >= LIKELY) == (row[other] >= row[label] and row[other] >= usual)
