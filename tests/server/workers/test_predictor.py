"""The worker that holds models: its results are those of `pixelwise predict`, for images and volumes drawn here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright import drawn_image, drawn_volume, write_bright_model
from drawn_volumes import save_nifti
from pixelwise.errors import BadImage
from pixelwise.io.read import read_mask
from pixelwise.io.write import write_image
from pixelwise.server.workers import predictor as module
from pixelwise.server.workers.predictor import Predictor, main
from pixelwise.server.workers.protocol import Reply
from pixelwise.workflow.predict import predict as predict_files


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_bright_model(path)
    return str(path)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor("torch", "cpu")


def request(tmp_path: Path, name: str = "a", **more: Any) -> dict[str, Any]:
    folder = tmp_path / f"results-{name}"
    folder.mkdir()
    return {"image": str(tmp_path / f"{name}.png"), "folder": str(folder), "name": name, **more}


def test_a_model_is_described(predictor: Predictor, model: str) -> None:
    found = predictor.describe(model).value
    assert (found["task"], found["classes"]) == ("instance", ["background", "object"])
    assert (found["channels"], found["dimensions"], found["trained"]) == (1, 2, {"data": "drawn"})


def test_results_are_those_of_predict(predictor: Predictor, model: str, tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_image(tmp_path / f"{name}.png", drawn_image(number))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    everything = request(tmp_path, "a", overlay=True, uncertainty=True, tiff=True)
    rows = [everything, request(tmp_path, "broken"), request(tmp_path, "b", only_mask=True, temporary=True)]
    full, broken, short = predictor.predict(model, rows).value["results"]
    predict_files(model, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "expected")
    for found, name in ((full, "a"), (short, "b")):
        own = read_mask(tmp_path / f"results-{name}" / found["files"]["mask"]).values
        expected = next(path for path in (tmp_path / "expected").iterdir() if path.name.startswith(f"{name}."))
        assert np.array_equal(own, read_mask(expected).values)
        assert own.max() > 1
    folder = tmp_path / "results-a"
    assert set(full["files"]) == {"mask", "overlay", "tiff", "uncertainty", "table", "objects", "classes"}
    assert all((folder / name).is_file() for name in full["files"].values())
    labels = read_mask(folder / full["files"]["mask"]).values
    objects = json.loads((folder / "objects.json").read_text("utf-8"))
    assert full["objects"] == len(objects) == labels.max()
    for row in objects:
        own = labels == row["id"]
        top, left, bottom, right = row["box"]
        assert row["area"] == own.sum() == own[top:bottom, left:right].sum()
        assert row["mean"] == pytest.approx(drawn_image()[0][own].mean(), abs=0.01)
    assert 0 <= full["uncertainty"] <= 1
    assert broken["error"]["kind"] == "BadImage"
    assert (short["objects"], set(short["files"])) == (None, {"mask"})


def test_volumes_have_rows_of_slices(predictor: Predictor, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    model = tmp_path / "volumes.safetensors"
    write_bright_model(model, "binary", dimensions=3)
    volume = drawn_volume()
    save_nifti(tmp_path / "v.nii.gz", volume, np.diag([1.0, 1.0, 3.0, 1.0]))
    row = {**request(tmp_path, "v", uncertainty=True), "image": str(tmp_path / "v.nii.gz")}
    (found,) = predictor.predict(str(model), [row]).value["results"]
    labels = read_mask(tmp_path / "results-v" / found["files"]["mask"]).values
    assert labels.shape == volume.shape
    assert (labels[volume > -400] == 1).mean() > 0.5
    (objects,) = json.loads((tmp_path / "results-v" / "objects.json").read_text("utf-8"))
    assert objects["area"] == (labels == 1).sum()
    first, last = objects["slices"]
    assert [first, last] == [int(n) for n in np.flatnonzero(labels.any(axis=(1, 2)))[[0, -1]] + [0, 1]]
    assert first <= objects["slice"] < last
    unsure = read_mask(tmp_path / "results-v" / found["files"]["uncertainty"]).values
    assert found["uncertainty"] == pytest.approx(unsure.mean() / 255, abs=1e-3)


def test_large_images_are_streamed(
    predictor: Predictor, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", drawn_image())
    (whole,) = predictor.predict(model, [request(tmp_path, "a", uncertainty=True)]).value["results"]
    monkeypatch.setattr(module, "is_large", lambda *words: True)
    write_image(tmp_path / "large.png", drawn_image())
    (found,) = predictor.predict(model, [request(tmp_path, "large", uncertainty=True)]).value["results"]
    folder = tmp_path / "results-large"
    unsure = [
        read_mask(tmp_path / f"results-{n}" / f"uncertainty.{end}").values
        for n, end in (("a", "png"), ("large", "tif"))
    ]
    assert np.abs(np.subtract(*unsure, dtype=int)).max() <= 1
    assert unsure[0].max() > 0
    assert found["uncertainty"] == pytest.approx(whole["uncertainty"], abs=1e-3)
    assert found["objects"] == whole["objects"] > 0
    assert {"mask", "objects", "classes"} <= set(found["files"])
    assert json.loads((folder / "objects.json").read_text("utf-8")) == []
    streamed = read_mask(folder / found["files"]["mask"]).values
    mask = next(path for path in (tmp_path / "results-a").iterdir() if path.stem == "a")
    assert np.array_equal(streamed > 0, read_mask(mask).values > 0)
    assert not list(folder.glob(".*.quantities"))


def test_raw_arrays(predictor: Predictor, model: str, tmp_path: Path) -> None:
    pixels = drawn_image()
    pixels.tofile(tmp_path / "in")
    reply = predictor.infer(model, str(tmp_path / "in"), [1, 96, 96], "uint8", str(tmp_path / "out"))
    assert reply.value["shape"] == [96, 96]
    labels = np.fromfile(tmp_path / "out", "<i4").reshape(96, 96)
    bright = pixels[0] > 120
    assert ((labels > 0) == bright).mean() > 0.95
    np.full((1, 8, 8), np.nan, np.float32).tofile(tmp_path / "in")
    with pytest.raises(BadImage, match="finite"):
        predictor.infer(model, str(tmp_path / "in"), [1, 8, 8], "float32", str(tmp_path / "out"))


def test_two_models_are_kept(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for path in paths:
        write_bright_model(path)
    own = Predictor("torch", "cpu")
    for path in paths:
        own.describe(str(path))
    assert list(own._models) == [str(path) for path in paths[1:]]


@pytest.mark.parametrize("loaded", [True, False])
def test_the_worker_is_ready_once_its_model_is_loaded(
    loaded: bool, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: dict[str, Any] = {}
    monkeypatch.setattr(module, "keep_large_blocks", lambda: None)
    monkeypatch.setattr(module, "run_worker", lambda calls, **options: offered.update(calls=calls, **options))
    main(model if loaded else "", "torch", "cpu")
    ready: Reply = offered["prepare"]()
    assert ready.value.get("task") == ("instance" if loaded else None)
    assert set(offered["calls"]) == {"predict", "infer", "describe"}
