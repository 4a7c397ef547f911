"""Volumes by several workers: the outputs are those of one process, byte for byte."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.cluster.image_units import stamps
from pixelwise.cluster.job import open_job
from pixelwise.cluster.launch_commands import LaunchCommands
from pixelwise.cluster.predict import predict_on
from pixelwise.cluster.worker import run_worker
from pixelwise.progress import Progress
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions
from tiny import make_recipe, write_model

pytest.importorskip("nibabel")


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Volumes of two sizes and two spacings, and one that is broken."""
    folder = tmp_path / "volumes"
    for number, (depth, spacing) in enumerate([(12, 2.0), (12, 2.0), (12, 2.0), (9, 2.0), (12, 1.0), (12, 2.0)]):
        affine = np.diag([-1.0, 1.0, spacing, 1.0])
        drawn.save_nifti(folder / f"{number}.nii.gz", drawn.draw(number, (depth, 20, 16))[0], affine)
    (folder / "broken.nii.gz").write_text("hello", encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files, without those of the job."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".job" not in path.parts]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name != "_SUCCESS"}


@pytest.mark.parametrize("task", ["multiclass", "instance"])
def test_units_of_volumes_write_what_one_process_writes(tmp_path: Path, volumes: Path, task: str) -> None:
    card = replace(make_recipe(task, dimensions=3, depth=1), spacing=(2.0, 1.0, 1.0))
    write_model(tmp_path / "model.safetensors", card)
    options = PredictOptions(confidence=True, overlays=True)

    def start(on: str) -> Predictions | LaunchCommands:
        given: Any = tmp_path / "model.safetensors", [volumes], tmp_path / "many", on, options
        return predict_on(*given, unit_seconds=1e-6, progress=Progress())

    one = predict(tmp_path / "model.safetensors", [volumes], tmp_path / "one", options, progress=Progress())
    assert isinstance(start("none"), LaunchCommands)
    assert open_job(tmp_path / "many").units > 2
    run_worker(tmp_path / "many", 1, 2)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    many = start("none")
    assert isinstance(many, Predictions)
    assert [path.name for path in many.outputs] == [path.name for path in one.outputs]
    assert many.failed == one.failed
    assert "volumes.csv" in contents(tmp_path / "many")


def test_a_change_of_any_file_of_a_volume_is_noticed(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"z{number}.png").write_bytes(b"x" * number)
    stack = tmp_path / "z[0-2].png"
    before = stamps(stack)
    assert len(before) == 3
    (tmp_path / "z1.png").write_bytes(b"changed")
    assert stamps(stack) != before
    assert len(stamps(tmp_path)) == 3, "a folder that is one volume"
