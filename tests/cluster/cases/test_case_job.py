"""A data set whose files are read by workers has the findings, the page and the corrected copy of one process."""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from planted_faults import plant
from typer.testing import CliRunner

from pixelwise.cli.main import app
from pixelwise.cluster.cases import case_job, case_units
from pixelwise.cluster.cases.case_job import examine_with_workers
from pixelwise.cluster.cases.case_units import CaseWork
from pixelwise.cluster.job import LeaseTimes, open_job
from pixelwise.cluster.places import Place
from pixelwise.cluster.status import describe_job
from pixelwise.cluster.worker import run_worker
from pixelwise.errors import BadOption, BadRun, Interrupted, OutputFailed
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis import cases
from pixelwise.workflow.diagnosis.diagnosis import Diagnosis
from pixelwise.workflow.doctor import doctor
from spots import write_spots

QUIET = Progress()


def by_workers(data: Path, out: Path, **options: Any) -> Diagnosis:
    """Diagnose with a job that a worker in this process computes."""
    observe = examine_with_workers(None, out)
    with pytest.raises(Interrupted):
        doctor(data, observe=observe, progress=QUIET, **options)
    assert run_worker(out, progress=QUIET).sealed
    return doctor(data, observe=observe, progress=QUIET, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def report(found: Diagnosis) -> dict[str, Any]:
    return {**found.to_json(), "fixed": None, "page": None}


@pytest.fixture(autouse=True)
def several_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_job, "SHORTEST", 0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set with a fault of each hard kind."""
    base = tmp_path_factory.mktemp("faulty")
    source = write_spots(base / "source", 40)
    return plant(source, source, base / "data", seed=1, per_kind=1, cases=40, limit=99).folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cases that the diagnosis itself measures."""
    seen: list[str] = []
    read = cases.read_case

    def counting(dataset: Any, examined: cases.ExaminedCase) -> Any:
        seen.append(examined.case.name)
        return read(dataset, examined)

    monkeypatch.setattr(cases, "read_case", counting)
    return seen


def test_findings_page_and_copy_are_those_of_one_process(data: Path, tmp_path: Path, counted: list[str]) -> None:
    one = doctor(data, html=tmp_path / "one.html", fix=tmp_path / "one", progress=QUIET)
    alone, counted[:] = list(counted), []
    many = by_workers(data, tmp_path / "job", html=tmp_path / "many.html", fix=tmp_path / "many")
    assert len(one.hard) > 10
    assert report(many) == report(one)
    assert many.to_text().replace("many", "one") == one.to_text()
    assert (tmp_path / "many.html").read_bytes() == (tmp_path / "one.html").read_bytes()
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert sorted(counted) == sorted(alone), "what workers have measured is not measured again"
    assert open_job(tmp_path / "job").units > 5


def test_a_wrong_guess_is_measured_again(tmp_path: Path, counted: list[str]) -> None:
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(12):
        rare = number == 7  # no case of the sample has its class
        mask = rng.integers(0, 4 if rare else 3, (6, 6)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
        image = (mask * 60 + rng.integers(0, 40, mask.shape)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number:02}.png")
    one = doctor(tmp_path / "data", progress=QUIET)
    counted.clear()
    many = by_workers(tmp_path / "data", tmp_path / "job")
    assert report(many) == report(one)
    assert len(counted) == 12


def test_class_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "data" / ("a", "b")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((32, 32), np.uint8) if number == 3 else rng.integers(0, 255, (32, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    shutil.copyfile(tmp_path / "data" / "a" / "00.png", tmp_path / "data" / "b" / "copy.png")
    one = doctor(tmp_path / "data", progress=QUIET)
    assert one.findings
    assert report(by_workers(tmp_path / "data", tmp_path / "job")) == report(one)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    one, out, killed = doctor(data, progress=QUIET), tmp_path / "job", list[int]()

    def kill() -> None:
        while len(killed) < 2:  # fewer than the attempts after which a unit is set aside
            for process in running(out) - set(killed):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                break
            time.sleep(0.01)

    chaos = threading.Thread(target=kill, daemon=True)
    chaos.start()
    times = LeaseTimes(heartbeat=0.3, stale=3.0)
    many = doctor(data, observe=examine_with_workers(Place(count=2), out, times), progress=QUIET)
    assert report(many) == report(one)
    assert killed
    assert describe_job(out).sealed


def running(out: Path) -> set[int]:
    """The workers that compute a unit."""
    if not (out / ".job" / "job.json").is_file():
        return set()
    state = describe_job(out)
    return {int(worker.process.rpartition("-")[2]) for worker in state.workers} if state.running else set()


def test_changed_data_are_refused(data: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "data", tmp_path / "job"
    shutil.copytree(data, copy)
    with pytest.raises(Interrupted):
        doctor(copy, observe=examine_with_workers(None, out), progress=QUIET)
    changed = next((copy / "images").iterdir())
    os.utime(changed, (1, 1))
    with pytest.raises(BadRun, match="files that have changed"):
        run_worker(out, progress=QUIET)
    with pytest.raises(OutputFailed):
        doctor(copy, observe=examine_with_workers(None, out), progress=QUIET)


def test_cases_that_end_their_workers_are_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("spoilt")

    monkeypatch.setattr(CaseWork, "compute", fail)
    with pytest.raises(BadRun, match=r"cases 1 to .*spoilt"):
        by_workers(data, tmp_path / "job")


def test_places(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--out"):
        examine_with_workers(None)
    with pytest.raises(OutputFailed, match="outside"):
        doctor(data, observe=examine_with_workers(None, data / "job"), progress=QUIET)


def test_the_command_prints_how_workers_are_started(data: Path, tmp_path: Path) -> None:
    words = ["doctor", str(data), "--on", "none", "--out", str(tmp_path / "job")]
    first = CliRunner().invoke(app, words)
    assert isinstance(first.exception, Interrupted)
    assert "sbatch" in first.stderr
    run_worker(tmp_path / "job", progress=QUIET)
    second = CliRunner().invoke(app, [*words, "--json"])
    alone = CliRunner().invoke(app, ["doctor", str(data), "--json"])
    assert json.loads(second.stdout) == json.loads(alone.stdout)
    assert second.exit_code == alone.exit_code == 6
    assert isinstance(CliRunner().invoke(app, ["doctor", str(data), "--out", "x"]).exception, BadOption)


def test_the_sample_is_scanned_in_detail() -> None:
    for count in (1, 5, 64, 65, 1000, 4097):
        every = max(1, -(-count // case_units.DETAILED))
        assert all(number % every == 0 for number in case_units.sample_of(count))
