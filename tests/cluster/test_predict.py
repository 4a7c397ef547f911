"""The outputs of several workers are those of one process, byte for byte."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.cluster.job import open_job
from pixelwise.cluster.launch_commands import LaunchCommands
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.predict import predict_on
from pixelwise.cluster.status import describe_job
from pixelwise.cluster.worker import run_worker
from pixelwise.errors import BadModel, BadOption, BadRun, OutputFailed
from pixelwise.io.read import write_image
from pixelwise.progress import Progress
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions
from sleepers import wait_until
from tiny import make_photo_recipe, make_recipe, write_model

UNIT = 1e-6  # seconds: as many units as there can be
EVERYTHING: dict[str, Any] = {"save": ("geojson", "csv", "coco"), "confidence": True, "overlays": True}


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Images of several sizes, two of one name, one that is broken and one whose name is too long."""
    folder = tmp_path / "images"
    sizes = [(40, 60), (33, 21), (1, 1), (90, 130), (24, 24), (24, 24), (24, 24)]
    for number, shape in enumerate(sizes):
        write_image(folder / f"{number}.png", rng.integers(0, 256, (1, *shape)).astype(np.uint8))
    write_image(folder / "more" / "0.tif", rng.integers(0, 256, (1, 30, 30)).astype(np.uint8))
    (folder / "broken.png").write_text("hello", encoding="utf-8")
    write_image(folder / ("é" * 120 + ".png"), np.zeros((1, 8, 8), np.uint8))
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files, without those of the job."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if name != "_SUCCESS" and not name.startswith(".job/")
    }


def make(tmp_path: Path, images: Path, out: str = "many", **options: Any) -> LaunchCommands:
    made = predict_on(
        tmp_path / "model.safetensors",
        [images],
        tmp_path / out,
        "none",
        PredictOptions(**options),
        unit_seconds=UNIT,
        progress=Progress(),
    )
    assert isinstance(made, LaunchCommands)
    return made


def finished(tmp_path: Path, images: Path, **options: Any) -> Predictions:
    """What the command returns for a job that is complete."""
    result = predict_on(
        tmp_path / "model.safetensors",
        [images],
        tmp_path / "many",
        "none",
        PredictOptions(**options),
        progress=Progress(),
    )
    assert isinstance(result, Predictions)
    return result


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("binary", {}),
        ("multiclass", {"confidence": True, "tta": 4, "probabilities": True}),
        ("instance", EVERYTHING),
    ],
)
def test_units_write_what_one_process_writes(tmp_path: Path, images: Path, task: str, options: dict[str, Any]) -> None:
    write_model(tmp_path / "model.safetensors", make_recipe(task))
    one = predict(
        tmp_path / "model.safetensors", [images], tmp_path / "one", PredictOptions(**options), progress=Progress()
    )
    assert make(tmp_path, images, **options).job.units > 3
    run_worker(tmp_path / "many", 1, 2)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    many = finished(tmp_path, images, **options)
    as_text = json.dumps(many.to_json()).replace(str(tmp_path / "many"), str(tmp_path / "one"))
    assert json.loads(as_text) == one.to_json(), "the command prints the same"
    subprocess.run(["sha256sum", "--check", "--quiet", "_SUCCESS"], cwd=tmp_path / "many", check=True)


def test_classes_of_images(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model.safetensors", make_photo_recipe())
    monkeypatch.chdir(tmp_path)
    options = PredictOptions(probabilities=True)
    one = predict("model.safetensors", ["images"], "one", options, progress=Progress())
    predict_on("model.safetensors", ["images"], "many", "none", options, unit_seconds=UNIT, progress=Progress())
    run_worker(tmp_path / "many")
    assert contents(tmp_path / "many") == contents(tmp_path / "one"), "with the paths that the user gave"
    many = predict_on("model.safetensors", ["images"], "many", "local:1", options, progress=Progress())
    assert isinstance(many, Predictions)
    assert many.predictions == one.predictions
    assert many.failed == one.failed


def test_processes_are_killed_and_the_same_command_ends_in_the_same_bytes(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors", make_recipe("instance"))
    predict(tmp_path / "model.safetensors", [images], tmp_path / "one", progress=Progress())
    command = [sys.executable, "-m", "pixelwise", "predict", str(tmp_path / "model.safetensors"), str(images)]
    command += ["--out", str(tmp_path / "many"), "--on", "local:2", "--unit-seconds", str(UNIT), "--json"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: (tmp_path / "many" / ".job" / "workers").is_dir(), 300)
    wait_until(lambda: bool(describe_job(tmp_path / "many").workers), 300)
    driver.kill()
    driver.wait()
    for worker in describe_job(tmp_path / "many").workers:
        os.kill(int(worker.process.rpartition("-")[2]), signal.SIGKILL)
    again = subprocess.run(command, capture_output=True, check=False)
    assert again.returncode == 3, "the broken image has no output"
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert len(json.loads(again.stdout)["failed"]) == 2


def test_an_image_that_changes_meanwhile_is_named(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    make(tmp_path, images)
    (images / "1.png").write_bytes((images / "0.png").read_bytes())
    (images / "2.png").unlink()
    run_worker(tmp_path / "many")
    failed = dict(describe_job(tmp_path / "many").failed)
    assert {Path(path).name for path in failed} >= {"1.png", "2.png"}
    assert "has changed" in failed[str(images / "1.png")]


def test_another_model_or_other_images_need_another_folder(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    make(tmp_path, images)
    with pytest.raises(OutputFailed, match="expected a folder for this job"):
        make(tmp_path, images, tta=4)
    write_image(images / "new.png", np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(OutputFailed, match="Choose another --out"):
        make(tmp_path, images)
    write_model(tmp_path / "model.safetensors", make_recipe("instance"))
    with pytest.raises(BadModel, match="the model file for which the job was made"):
        run_worker(tmp_path / "many")


def test_old_results_are_kept(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "1.png").write_text("old", encoding="utf-8")
    with pytest.raises(OutputFailed, match="without existing results"):
        make(tmp_path, images)
    assert (tmp_path / "many" / "1.png").read_text(encoding="utf-8") == "old"
    with pytest.raises(BadOption, match="--overwrite"):
        make(tmp_path, images, overwrite=True)
    with pytest.raises(BadOption, match="--tolerance"):
        make(tmp_path, images, tolerance=0.1)


def test_a_worker_of_another_version_is_refused(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    record = make(tmp_path, images).job.folder / "job.json"
    record.write_text(
        record.read_text(encoding="utf-8").replace('"pixelwise": "', '"pixelwise": "9.'), encoding="utf-8"
    )
    with pytest.raises(BadRun, match="Install the same version"):
        run_worker(tmp_path / "many")


def test_a_worker_of_another_machine_says_so(tmp_path: Path, images: Path) -> None:
    class Heard(Progress):
        texts: list[str] = []  # noqa: RUF012

        def message(self, *sentences: str) -> None:
            self.texts += sentences

    write_model(tmp_path / "model.safetensors")
    record = make(tmp_path, images).job.folder / "job.json"
    value = json.loads(record.read_text(encoding="utf-8"))
    value["settings"]["machine"]["processor"] = "another one"
    record.write_text(json.dumps(value), encoding="utf-8")
    run_worker(tmp_path / "many", progress=Heard())
    assert any("differs" in text and "processor" in text for text in Heard.texts)


def test_the_records_name_every_output_once(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    make(tmp_path, images)
    run_worker(tmp_path / "many")
    files = [file.name for outcome in Ledger(open_job(tmp_path / "many")).outcomes() for file in outcome.files]
    assert len(files) == len(set(files))
    listed = [line.split("  ")[1] for line in (tmp_path / "many" / "_SUCCESS").read_text(encoding="utf-8").splitlines()]
    assert sorted(listed) == sorted(contents(tmp_path / "many"))


@pytest.mark.parametrize(("task", "form"), [("binary", "tiff"), ("instance", "tiff"), ("multiclass", "zarr")])
def test_blocks_of_one_image_are_assembled_to_the_bytes_of_one_process(
    tmp_path: Path, rng: np.random.Generator, task: str, form: str
) -> None:
    write_model(tmp_path / "model.safetensors", make_recipe(task))
    write_image(tmp_path / "images" / "a.png", rng.integers(0, 256, (1, 150, 170)).astype(np.uint8))
    write_image(tmp_path / "images" / "b.png", rng.integers(0, 256, (1, 60, 40)).astype(np.uint8))
    options: dict[str, Any] = {"format": form, "tile": 32}
    predict(
        tmp_path / "model.safetensors",
        [tmp_path / "images"],
        tmp_path / "one",
        PredictOptions(**options),
        progress=Progress(),
    )
    job = make(tmp_path, tmp_path / "images", **options).job
    blocks = sum("block" in job.unit(number) for number in range(job.units))
    assert blocks > 20
    assert len(job.after) == 2
    run_worker(tmp_path / "many", 1, 3)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_streamed_image_that_changes_is_one_failure(tmp_path: Path, rng: np.random.Generator) -> None:
    write_model(tmp_path / "model.safetensors")
    write_image(tmp_path / "images" / "a.png", rng.integers(0, 256, (1, 150, 170)).astype(np.uint8))
    job = make(tmp_path, tmp_path / "images", format="tiff", tile=32).job
    (tmp_path / "images" / "a.png").unlink()
    run_worker(job.out)
    assert [Path(path).name for path, _ in describe_job(job.out).failed] == ["a.png"]
    assert not list(job.out.glob("a.*"))


def test_a_streamed_image_that_breaks_off_is_one_failure(tmp_path: Path, rng: np.random.Generator) -> None:
    write_model(tmp_path / "model.safetensors")
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, rng.integers(0, 256, (150, 170)).astype(np.uint8), tile=(32, 32))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.tif").write_bytes(whole.read_bytes())
    job = make(tmp_path, tmp_path / "images", format="tiff", tile=32).job
    damaged = bytearray(whole.read_bytes())
    stamp = (tmp_path / "images" / "a.tif").stat()
    (tmp_path / "images" / "a.tif").write_bytes(damaged[: len(damaged) // 2].ljust(len(damaged), b"\0"))
    os.utime(tmp_path / "images" / "a.tif", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    run_worker(job.out)
    state = describe_job(job.out)
    assert state.sealed
    assert [Path(path).name for path, _ in state.failed] in ([], ["a.tif"]), "not once per block"
