"""A run becomes a file that proves itself, is predicted with, and is run by strangers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drawn import pairs
from exports import Heard, write_trained_run
from pixelwise.engine.recipe import Recipe
from pixelwise.errors import BadDataset, BadModel, BadOption, BadRun
from pixelwise.images.files import read_mask, write_image
from pixelwise.progress import Progress
from pixelwise.workflow.export import export
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.verify import verify
from tiny import make_photo_recipe, make_recipe, write_model

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "run_onnx.py"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pairs(tmp_path / "data", 6)


def test_a_run_is_exported_from_the_folder_it_was_trained_on(tmp_path: Path, data: Path) -> None:
    run, heard = write_trained_run(tmp_path / "run", data), Heard()
    done = export(run.folder, progress=heard)
    assert done.files == (run.folder / "export" / "model.onnx",)
    assert "Exporting onnx; it is compared with the run on 2 images." in heard.text
    assert "onnxruntime: logits within" in done.to_text()
    assert json.dumps(done.to_json())
    again = verify(done.files[0])
    assert [one.runtime for one in again.comparisons] == [one.runtime for one in done.comparisons]
    assert json.dumps(again.to_json())
    assert "change class" in again.to_text()


def test_int8_is_observed_on_training_images(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Stopped(Exception):
        pass

    def observe(path: Path, graph: bytes, recipe: Recipe, feeds: object) -> int:
        seen.extend(int(feed["image"].sum()) for feed in feeds)  # type: ignore[attr-defined]
        raise Stopped

    monkeypatch.setattr("pixelwise.engine.exporting.to_openvino.write_openvino_int8", observe)
    run = write_trained_run(tmp_path / "run", None)
    with pytest.raises(Stopped):
        export(run.folder, data, kind="openvino-int8", progress=Progress())
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


@pytest.mark.parametrize("network", [{}, {"name": "unet2015"}, {"channels": 3}], ids=str)
def test_the_example_runs_it_without_torch_and_without_pixelwise(
    network: dict[str, object], tmp_path: Path, data: Path
) -> None:
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 40
    run = write_trained_run(tmp_path / "run", data, make_recipe(**network))  # type: ignore[arg-type]
    (file,) = export(run.folder, progress=Progress()).files
    picture = np.random.default_rng(9).integers(0, 256, (3 if network.get("channels") else 1, 45, 70)).astype(np.uint8)
    write_image(tmp_path / "a.png", picture)
    # a torch and a pixelwise that cannot be imported stand before the real ones
    for name in ("torch", "pixelwise"):
        (tmp_path / "none").mkdir(exist_ok=True)
        (tmp_path / "none" / f"{name}.py").write_text("raise ImportError('not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "none")}
    command = [sys.executable, str(EXAMPLE), str(file), str(tmp_path / "a.png"), str(tmp_path / "mask.png")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = read_mask(tmp_path / "mask.png").values
    assert np.array_equal(found[..., 0] > 0 if found.ndim == 3 else found > 0, load(file).predict(picture) > 0)  # type: ignore[operator]


def test_what_cannot_be_exported_is_told(tmp_path: Path, data: Path) -> None:
    run = write_trained_run(tmp_path / "run", None)
    with pytest.raises(BadDataset, match="the folder of images and masks for the proof; got none"):
        export(run.folder, progress=Progress())
    with pytest.raises(BadOption, match=r"Did you mean `openvino`"):
        export(run.folder, data, kind="openvin", progress=Progress())
    with pytest.raises(BadOption, match=r"a file \.xml for openvino"):
        export(run.folder, data, kind="openvino", out=tmp_path / "a.onnx", progress=Progress())
    with pytest.raises(BadRun):
        export(tmp_path / "nothing", data, progress=Progress())
    photos = write_trained_run(tmp_path / "photos", data)
    write_model(photos.model_path, make_photo_recipe())
    with pytest.raises(BadModel, match="one of whole-image classes"):
        export(photos.folder, progress=Progress())
