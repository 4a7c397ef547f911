"""Export of a run: parity check, prediction with the file, and use without pixelwise."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drawn import pairs
from exports import Heard, draw_photos, graphs_made_once, write_photo_run, write_trained_run
from pixelwise.errors import BadDataset, BadOption, BadRun
from pixelwise.io.read import read_image, read_mask, write_image
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.export import export
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.verify import verify
from tiny import make_recipe

__all__ = ["graphs_made_once"]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXAMPLE, PHOTO_EXAMPLE = EXAMPLES / "run_onnx.py", EXAMPLES / "classify_onnx.py"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pairs(tmp_path / "data", 6)


def test_a_run_is_exported_from_the_folder_it_was_trained_on(tmp_path: Path, data: Path) -> None:
    run, heard = write_trained_run(tmp_path / "run", data), Heard()
    done = export(run.folder, progress=heard)
    assert done.files == (run.folder / "export" / "model.onnx",)
    assert "Exporting onnx; parity check with the run on 2 images." in heard.text
    assert "onnxruntime: logits within" in done.to_text()
    assert json.dumps(done.to_json())
    again = verify(done.files[0])
    assert [one.runtime for one in again.comparisons] == [one.runtime for one in done.comparisons]
    assert json.dumps(again.to_json())
    assert "change class" in again.to_text()


def test_a_model_file_in_a_run_is_exported(tmp_path: Path, data: Path) -> None:
    run = write_trained_run(tmp_path / "run", data)
    stopped = run.model_path.rename(run.folder / "run-step-3.safetensors")
    assert export(stopped, progress=Progress()).files == (run.folder / "export" / "model.onnx",)
    with pytest.raises(BadRun):
        export(tmp_path / "alone.safetensors", data, progress=Progress())


def test_a_run_of_classes_is_exported_verified_and_predicted_with(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos")
    run, heard = write_photo_run(tmp_path / "run", photos), Heard()
    done = export(run.folder, progress=heard)
    assert "Exporting onnx; parity check with the run on 24 images." in heard.text
    assert "0.0000% of the images change class, accuracy" in done.to_text()
    scores = evaluate(run.folder, photos, split="val", progress=Progress())
    assert done.comparisons[0].score_torch == pytest.approx(scores["scores"]["images"]["top_1"])
    assert [one.runtime for one in verify(done.files[0]).comparisons] == ["onnxruntime", "openvino"]
    tables: list[list[list[str]]] = []
    for model, out in ((run.folder, "of_run"), (done.files[0], "of_export")):
        predict(
            model, [photos / "val" / "disc"], tmp_path / out, PredictOptions(probabilities=True), progress=Progress()
        )
        with (tmp_path / out / "predictions.csv").open(newline="") as file:
            tables.append(list(csv.reader(file)))
    assert tables[0][0] == tables[1][0]
    for row, other in zip(tables[0][1:], tables[1][1:], strict=True):
        assert row[:2] == other[:2]
        assert [float(a) for a in row[-3:]] == pytest.approx([float(b) for b in other[-3:]], abs=1.1e-6)


def test_photos_of_classes_that_the_model_does_not_know_are_refused(tmp_path: Path, data: Path) -> None:
    run = write_photo_run(tmp_path / "run", None)
    photos = draw_photos(tmp_path / "photos")
    (photos / "val" / "disc").rename(photos / "val" / "ring")
    (photos / "train" / "disc").rename(photos / "train" / "ring")
    with pytest.raises(BadDataset, match=r"folders named as the model's classes .*; got ring"):
        export(run.folder, photos, progress=Progress())
    with pytest.raises(BadDataset, match="got images with masks"):
        export(run.folder, data, progress=Progress())
    with pytest.raises(BadDataset, match="a folder per class"):
        export(
            write_trained_run(tmp_path / "masks", None).folder, draw_photos(tmp_path / "others"), progress=Progress()
        )


def test_int8_is_observed_on_training_images(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Stopped(Exception):
        pass

    def observe(path: Path, graph: bytes, model_card: ModelCard, feeds: object) -> int:
        seen.extend(int(feed["image"].sum()) for feed in feeds)  # type: ignore[attr-defined]
        raise Stopped

    monkeypatch.setattr("pixelwise.exporters.to_openvino.write_openvino_int8", observe)
    run = write_trained_run(tmp_path / "run", None)
    with pytest.raises(Stopped):
        export(run.folder, data, format="openvino-int8", progress=Progress())
    assert len(seen) == 64
    assert len(set(seen)) <= 4, "the four training images, which are smaller than a tile"


@pytest.mark.parametrize("channels", [1, 3])
def test_an_export_predicts_the_masks_of_the_run(channels: int, tmp_path: Path, data: Path) -> None:
    run = write_trained_run(tmp_path / "run", data, make_recipe(channels=channels))
    picture = np.random.default_rng(9).integers(0, 256, (channels, 45, 70)).astype(np.uint8)
    write_image(tmp_path / "pictures" / "a.png", picture)
    (file,) = export(run.folder, progress=Progress()).files
    for model, out in ((run.folder, "of_run"), (file, "of_export")):
        predict(model, [tmp_path / "pictures"], tmp_path / out, progress=Progress())
    masks = [read_mask(tmp_path / out / "a.png").values for out in ("of_run", "of_export")]
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(load(file).predict(picture), masks[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [{}, {"name": "unet2015", "channels": 3}, {"channels": 3}], ids=str)
def test_the_example_runs_it_without_torch_and_without_pixelwise(
    network: dict[str, object], tmp_path: Path, data: Path
) -> None:
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 40
    run = write_trained_run(tmp_path / "run", data, make_recipe(**network))  # type: ignore[arg-type]
    (file,) = export(run.folder, progress=Progress()).files
    picture = np.random.default_rng(9).integers(0, 256, (3 if network.get("channels") else 1, 45, 70)).astype(np.uint8)
    write_image(tmp_path / "a.png", picture)
    run_as_stranger(tmp_path, EXAMPLE, file, tmp_path / "a.png", tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png").values
    assert np.array_equal(found[..., 0] > 0 if found.ndim == 3 else found > 0, load(file).predict(picture) > 0)  # type: ignore[operator]


def run_as_stranger(tmp_path: Path, *words: Path) -> str:
    """Run a script in which torch and pixelwise cannot be imported."""
    for name in ("torch", "pixelwise"):
        (tmp_path / "none").mkdir(exist_ok=True)
        (tmp_path / "none" / f"{name}.py").write_text("raise ImportError('not here')", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "none")}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_for_photos_says_what_pixelwise_says(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos")
    (file,) = export(write_photo_run(tmp_path / "run", photos).folder, progress=Progress()).files
    photo = photos / "val" / "disc" / "val_disc_7.png"
    lines = run_as_stranger(tmp_path, PHOTO_EXAMPLE, file, photo).splitlines()
    results = {name: float(probability) for probability, name in (line.split() for line in lines)}
    model = load(file)
    probabilities = model.probabilities(read_image(photo).pixels)
    for name, probability in zip(model.model_card.classes, probabilities.tolist(), strict=True):
        assert results[name] == pytest.approx(probability, abs=0.01)  # pillow rounds twice where we round once
    assert next(iter(results)) == model.model_card.classes[int(probabilities.argmax())]


def test_what_cannot_be_exported_is_told(tmp_path: Path, data: Path) -> None:
    run = write_trained_run(tmp_path / "run", None)
    with pytest.raises(BadDataset, match="a folder of labelled images for the parity check; got none"):
        export(run.folder, progress=Progress())
    with pytest.raises(BadOption, match=r"Did you mean `openvino`"):
        export(run.folder, data, format="openvin", progress=Progress())
    with pytest.raises(BadOption, match=r"a file \.xml for openvino"):
        export(run.folder, data, format="openvino", out=tmp_path / "a.onnx", progress=Progress())
    with pytest.raises(BadRun):
        export(tmp_path / "nothing", data, progress=Progress())
