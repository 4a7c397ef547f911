"""`predict` writes counts, sizes and outliers of all images, and says them in a few lines; older models do not."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelwise.io.read import write_image
from pixelwise.model_file.appearance_record import record_appearance
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.quantity_record import record_of
from pixelwise.progress import Progress
from pixelwise.sampling.appearance import appearance_features
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions
from tiny import make_recipe, write_model


def noise(seed: int, *, strange: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 20, (64, 64))
    return (np.round(image / 120) * 240 if strange else image).clip(0, 255).astype(np.uint8)[None]


def taught(task: str) -> ModelCard:
    card = make_recipe(task)
    counts = np.random.default_rng(0).integers(1, 60, (20, card.counted_classes, 2, 2)).astype(float)
    images = [noise(seed) for seed in range(30)]
    features = [appearance_features(image, intensity_scale(image, card.normalisation)) for image in images]
    return replace(card, quantities=record_of(counts), appearance=record_appearance(features))


def run(folder: Path, card: ModelCard) -> Predictions:
    for index in range(4):
        write_image(folder / "in" / f"{index}.png", noise(100 + index, strange=index == 3))
    write_model(folder / "model.safetensors", card)
    options = PredictOptions(runtime="torch")
    return predict(folder / "model.safetensors", [folder / "in"], folder / "out", options, progress=Progress())


@pytest.mark.parametrize("task", ["binary", "multiclass", "instance"])
def test_tables_json_and_summary_agree(tmp_path: Path, task: str) -> None:
    card = taught(task)
    done = run(tmp_path, card)
    assert {"quantities.csv", "totals.csv", "outliers.csv"} <= {path.name for path in done.outputs}
    with (tmp_path / "out" / "quantities.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * card.counted_classes
    for row in rows:
        assert row["level"] in ("0.9", "")
        if row["objects_low"]:
            assert int(row["objects_low"]) <= int(row["objects"]) <= int(row["objects_high"])
    for total in done.totals:
        assert total["objects"] == sum(int(row["objects"]) for row in rows if row["class"] == total["class"])
    assert [row["outlier"] for row in done.outliers][3] is True
    text = done.to_text(tmp_path / "out")
    assert "outside of what the model was trained on" in text
    assert all(f"{total['class']}: " in text for total in done.totals)
    assert done.to_json()["totals"] == list(done.totals)


def test_a_model_without_records_writes_none_of_the_tables(tmp_path: Path) -> None:
    done = run(tmp_path, make_recipe())
    assert not {"quantities.csv", "totals.csv", "outliers.csv"} & {path.name for path in done.outputs}
    assert (done.totals, done.outliers) == ((), ())
    assert "totals" not in done.to_json()
