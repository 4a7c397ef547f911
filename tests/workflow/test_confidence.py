"""Synthetic images with known probabilities: calibration of a model with logits three times too large."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets.dataset import DataOptions, detect_dataset
from pixelwise.errors import BadOption
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.io.read import read_image, write_image
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.metrics.calibration import scale_probabilities
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow import evaluate as scoring
from pixelwise.workflow.confidence import confidence_of, expected_dice_of, true_dice, uncertainty_map
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.fit.select import validation_predictions
from pixelwise.workflow.fit.select.calibration import select_calibration
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import describe_scores
from tiny import make_photo_recipe, make_recipe, select_for_model, write_model, write_run

SIDE, SPOILT, STEPS = 64, 3.0, 16  # grey values that make a logit of 1


def write_fog(folder: Path, part: str, count: int, seed: int) -> None:
    """Discs in fog; the brightness of a pixel is its probability, with which the mask is drawn."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for index in range(count):
        row, column, radius = [*rng.integers(16, 48, 2).tolist(), rng.integers(8, 20)]
        depth = radius - np.hypot(rows - row, columns - column)
        pixels = np.rint(128 + STEPS * np.clip(depth * rng.uniform(0.2, 1), -6, 6)).astype(np.uint8)
        truth = rng.random(pixels.shape) < 1 / (1 + np.exp((128 - pixels.astype(float)) / STEPS))
        write_image(folder / part / "images" / f"f{index:03d}.png", pixels[None])
        write_image(folder / part / "masks" / f"f{index:03d}.png", (255 * truth).astype(np.uint8)[None])


def too_sure(tiles: np.ndarray) -> np.ndarray:
    """A network that returns three times the logit of the brightness."""
    logit = SPOILT * (tiles[:, :1] - 128) / STEPS
    return np.concatenate([np.zeros_like(logit), logit], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def fog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fog")
    for part, count, seed in (("train", 3, 0), ("val", 40, 1), ("test", 60, 2)):
        write_fog(folder, part, count, seed)
    return folder


@pytest.fixture
def calibrated(fog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[Run, str]]:
    """A run with the network `too_sure`, and the messages of its calibration."""

    def make(data: Path = fog) -> tuple[Run, str]:
        model_card = make_recipe()
        raw = replace(
            model_card,
            normalisation=replace(model_card.normalisation, kind="none"),
            values=(0, 255),
            classes=("background", "foreground"),
        )
        run = write_run(tmp_path / "run")
        write_model(run.model_path, raw)
        monkeypatch.setattr(validation_predictions, "TorchRuntime", lambda *_: too_sure)
        dataset = detect_dataset(data, DataOptions(), 0, Progress())
        messages = select_for_model(run.model_path, dataset, select_calibration)
        found = read_model_card(run.model_path)
        model = SegmentationModel(found, Predictor(too_sure, found.geometry, 2, found.tile))
        monkeypatch.setattr(scoring, "open_model", lambda *_args, **_options: model)
        return run, messages

    return make


def test_what_spoilt_the_probabilities_is_found_and_mended(
    calibrated: Callable[[], tuple[Run, str]], fog: Path
) -> None:
    run, messages = calibrated()
    model_card = read_model_card(run.model_path)
    assert model_card.temperature == pytest.approx(SPOILT, rel=0.05)
    assert model_card.trained["calibration"] == messages
    assert messages.startswith(f"Temperature {model_card.temperature:.3f}, fitted on pixels of validation images")
    assert "from 40 images" in messages
    scores = evaluate(run.folder, fog, split="test", progress=Progress())
    found = scores["confidence"]
    assert found["ece_before"] > 0.03
    assert found["ece_after"] < 0.01
    assert found["bound"]["images"] == 60
    assert 0.8 <= found["bound"]["share"] <= 1
    for row in scores["cases"]:
        assert row["predicted_dice"] == pytest.approx(row["dice_lower_bound"] + model_card.conformal_margin, abs=2e-6)
    json.dumps(scores, allow_nan=False)
    text = describe_scores(scores)
    assert "after (temperature 3." in text or "after (temperature 2.9" in text
    assert "well calibrated" in text
    page = report(run.folder, progress=Progress()).read_text("utf-8")
    assert "Calibration of the probabilities" in page
    assert "could not be shown" not in page
    assert "Calibration. Temperature" in page


def test_without_the_temperature_nothing_would_hold(calibrated: Callable[[], tuple[Run, str]], fog: Path) -> None:
    """Control: without calibration the same network is reported as overconfident."""
    run, _ = calibrated()
    model = scoring.open_model(run.folder)
    assert isinstance(model, SegmentationModel)
    model.model_card = replace(model.model_card, temperature=1.0, doubt_temperature=None, conformal_margin=0.0)
    scores = evaluate(run.folder, fog, split="test", progress=Progress())
    assert scores["confidence"]["ece_after"] > 0.03
    assert scores["confidence"]["bound"]["share"] < 0.5
    text = describe_scores(scores)
    assert "not calibrated" in text
    assert "not valid here" in text


def test_few_images_and_few_mistakes_are_told(calibrated: Callable[[Path], tuple[Run, str]], tmp_path: Path) -> None:
    for part, seed in (("train", 5), ("val", 6)):
        write_fog(tmp_path / "few", part, 3, seed)
        for mask in (tmp_path / "few" / part / "masks").iterdir():  # as sharp as it can be: no pixel is wrong
            pixels = read_image(mask.parent.parent / "images" / mask.name).pixels
            write_image(mask, (255 * (pixels > 128)).astype(np.uint8))
    run, messages = calibrated(tmp_path / "few")
    model_card = read_model_card(run.model_path)
    assert (model_card.temperature, model_card.conformal_margin) == (1.0, None)
    assert "too few pixels of validation images are wrong" in messages
    assert "No lower bound of the expected Dice: it needs 9 validation images, there are 3." in messages
    scores = evaluate(run.folder, tmp_path / "few", split="val", progress=Progress())
    assert "lower bound of the expected Dice: none" in describe_scores(scores)


def test_a_temperature_changes_probabilities_and_no_mask(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    for task in ("binary", "multiclass", "instance"):
        model_card = make_recipe(task)
        write_model(tmp_path / "plain.safetensors", model_card)
        write_model(tmp_path / "hot.safetensors", replace(model_card, temperature=2.5, conformal_margin=0.1))
        plain, hot = (load(tmp_path / f"{name}.safetensors") for name in ("plain", "hot"))
        np.testing.assert_array_equal(hot.predict(image), plain.predict(image))
        expected = scale_probabilities(np.moveaxis(plain.probabilities(image), 0, -1), Temperatures(2.5))
        np.testing.assert_allclose(np.moveaxis(hot.probabilities(image), 0, -1), expected, atol=1e-3)
        assert isinstance(hot, SegmentationModel)
        prediction = hot.predict_pixels(image[None], probabilities=True)
        np.testing.assert_array_equal(prediction.labels, plain.predict(image))


def test_predict_writes_uncertainty_and_a_promise_on_request(tmp_path: Path, rng: np.random.Generator) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.png", rng.integers(0, 256, (1, 30, 40)).astype(np.uint8))
    model_card = replace(make_recipe("multiclass"), temperature=1.5, conformal_margin=0.2)
    write_model(tmp_path / "m.safetensors", model_card)
    found = predict(
        tmp_path / "m.safetensors",
        [tmp_path / "images"],
        tmp_path / "out",
        PredictOptions(confidence=True),
        progress=Progress(),
    )
    names = {path.name for path in found.outputs}
    assert names == {"a.png", "b.png", "a.uncertainty.png", "b.uncertainty.png", "confidence.csv", "classes.json"}
    pixels = read_image(tmp_path / "images/a.png").pixels[0]
    probabilities = load(tmp_path / "m.safetensors").probabilities(pixels)
    drawn = read_image(tmp_path / "out/a.uncertainty.png").pixels
    assert np.abs(drawn[0].astype(float) - 255 * (1 - probabilities.max(0))).max() <= 1
    with (tmp_path / "out/confidence.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a.png", "b.png"]
    messages = found.to_json()["confidence"]
    for row, one in zip(rows, messages, strict=True):
        assert float(row["predicted_dice"]) == pytest.approx(one["dice"], abs=1e-4)
        assert float(row["dice_lower_bound_90"]) == pytest.approx(one["dice"] - 0.2, abs=1e-4)
        assert float(row["mean_uncertainty"]) == pytest.approx(one["uncertainty"], abs=1e-4)
    assert messages[0]["dice"] == pytest.approx(
        expected_dice_of(probabilities.argmax(0), probabilities, model_card), abs=1e-2
    )
    plain = predict(tmp_path / "m.safetensors", [tmp_path / "images"], tmp_path / "plain", progress=Progress())
    assert "confidence" not in plain.to_json()  # control: nothing of it unasked
    assert not list((tmp_path / "plain").glob("*uncertainty*"))


@pytest.mark.parametrize(
    ("task", "classes", "columns"),
    [
        ("binary", ("background", "vessel"), ["score_anything"]),
        ("multiclass", ("background", "hole", "crack"), ["score_anything", "score_hole", "score_crack"]),
        ("multiclass", ("sky", "road", "tree"), []),
        ("instance", ("background", "object"), ["score_anything"]),
    ],
)
def test_each_image_gets_a_score_of_what_it_shows(
    tmp_path: Path, rng: np.random.Generator, task: str, classes: tuple[str, ...], columns: list[str]
) -> None:
    write_image(tmp_path / "images" / "a.png", rng.integers(0, 256, (1, 30, 40)).astype(np.uint8))
    write_model(tmp_path / "m.safetensors", replace(make_recipe(task), classes=classes, temperature=1.5))
    found = predict(
        tmp_path / "m.safetensors",
        [tmp_path / "images"],
        tmp_path / "out",
        PredictOptions(confidence=True),
        progress=Progress(),
    )
    with (tmp_path / "out/confidence.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert [name for name in row if name.startswith("score_")] == columns
    (one,) = found.to_json()["confidence"]
    assert [f"score_{name}" for name in one["scores"]] == columns
    model = load(tmp_path / "m.safetensors")
    probabilities = model.probabilities(read_image(tmp_path / "images/a.png").pixels[0])
    for index, name in enumerate(columns):
        of = probabilities[index] if index else 1 - probabilities[0]
        expected = np.sort(of.ravel())[-100:].mean()
        assert float(row[name]) == pytest.approx(expected, abs=1e-3)


def test_photos_have_no_map_of_it(tmp_path: Path) -> None:
    write_model(tmp_path / "p.safetensors", make_photo_recipe())
    write_image(tmp_path / "images/a.png", np.zeros((3, 20, 20), np.uint8))
    with pytest.raises(BadOption, match="--confidence, which applies to segmentation only"):
        predict(tmp_path / "p.safetensors", [tmp_path / "images"], tmp_path / "out", PredictOptions(confidence=True))


def test_of_objects_their_pixels_are_promised() -> None:
    model_card = make_recipe("instance")
    probabilities = np.array([[[0.1, 0.8]], [[0.6, 0.1]], [[0.3, 0.1]]], np.float32)  # background, interior, boundary
    labels = np.array([[4, 0]], np.int32)
    assert expected_dice_of(labels, probabilities, model_card) == pytest.approx(2 * 0.9 / (0.9 + 0.2 + 1))
    assert true_dice(np.array([[2, -1]]), labels, model_card) == 1.0
    assert true_dice(np.array([[2, 2]]), labels, model_card) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(uncertainty_map(probabilities, model_card), [[102, 51]])
    sure = confidence_of("a", np.zeros((1, 2), np.int32), probabilities, replace(model_card, conformal_margin=0.1))
    assert (sure.dice, sure.bound) == (None, None)  # nothing was found: no Dice is promised
    assert sure.uncertainty == pytest.approx(0.3)
