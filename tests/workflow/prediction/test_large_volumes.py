"""Volumes larger than memory, from the command: streamed to OME-Zarr, with tables, and finished ones are kept."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from inference.streaming.test_volumes import SIZE, drawn_volume, save
from pixelwise.errors import BadOption
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_file import load_network, save_model
from pixelwise.model_file.quantity_record import record_of
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction import large
from pixelwise.workflow.prediction.options import PredictOptions
from tiny import make_recipe, write_model


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "STREAMED", 1000)


def write(tmp_path: Path, task: str = "binary") -> Path:
    card = replace(make_recipe(task, dimensions=3, depth=1), spacing=(2.0, 0.5, 0.5))
    if task == "instance":
        card = replace(card, target=TargetOptions(kind="boundary", seed_threshold=0.3, foreground_threshold=0.3))
    write_model(tmp_path / "model.safetensors", card)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_a_large_volume_is_streamed_with_its_tables(tmp_path: Path, task: str) -> None:
    save(tmp_path / "in" / "scan.zarr", drawn_volume())
    out = tmp_path / "out"
    result = predict(write(tmp_path, task), [tmp_path / "in"], out)
    assert result.failed == ()
    labels = np.asarray(zarr.open_group(str(out / "scan.ome.zarr"), mode="r")["0"])  # type: ignore[arg-type]
    assert labels.shape == SIZE
    with (out / "scan.volumes.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert int(row["voxels"]) == np.count_nonzero(labels)
    assert float(row["millilitres"]) == pytest.approx(np.count_nonzero(labels) * 0.5 / 1000, rel=1e-4)
    if task == "instance" and labels.max():
        assert len((out / "scan.objects.csv").read_text("utf-8").splitlines()) == labels.max() + 1
    assert not list(out.glob(".*")), "no temporary files"


@pytest.mark.parametrize("task", ["binary", "instance"])
def test_a_streamed_volume_has_rows_in_the_tables_of_quantities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    model = write(tmp_path, task)
    network, card = load_network(model)
    pairs = np.random.default_rng(0).uniform(1, 9, (12, card.counted_classes, 2, 2))
    save_model(model, network, replace(card, quantities=record_of(pairs)))
    save(tmp_path / "in" / "scan.zarr", drawn_volume())
    rows: list[dict[str, str]] = []
    for out, limit in (("whole", 10**9), ("out", 1000)):
        monkeypatch.setattr(large, "STREAMED", limit)
        predict(model, [tmp_path / "in"], tmp_path / out)
        with (tmp_path / out / "quantities.csv").open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    assert (tmp_path / "out" / "scan.volumes.csv").is_file()
    names = ("image", "class", "objects", "voxels", "millilitres")
    assert [rows[0][name] for name in names] == [rows[1][name] for name in names]
    assert rows[1]["voxels_low"]


def test_a_tiff_stack_is_streamed_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "mm"}
    path = tmp_path / "in" / "stack.tif"
    tifffile.imwrite(path, drawn_volume(), imagej=True, metadata=metadata, resolution=(2, 2))
    predict(write(tmp_path), [path], tmp_path / "out")
    assert (tmp_path / "out" / "stack.ome.zarr").is_dir()


def test_other_formats_and_small_volumes_are_predicted_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "in" / "scan.zarr", drawn_volume())
    model = write(tmp_path)
    predict(model, [tmp_path / "in"], tmp_path / "mha", PredictOptions(format="mha"))
    assert (tmp_path / "mha" / "scan.mha").is_file()
    monkeypatch.setattr(large, "STREAMED", 10**9)
    predict(model, [tmp_path / "in"], tmp_path / "out")
    assert (tmp_path / "out" / "volumes.csv").is_file()


def test_a_tolerance_is_refused_for_volumes(tmp_path: Path) -> None:
    save(tmp_path / "in" / "scan.zarr", drawn_volume())
    with pytest.raises(BadOption, match="no --tolerance for a model of volumes"):
        predict(write(tmp_path), [tmp_path / "in"], tmp_path / "out", PredictOptions(tolerance=0.01))
