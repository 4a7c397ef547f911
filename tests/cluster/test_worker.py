"""A worker computes every unit once, sets aside what kills it, and waits for a full disk; frozen ones lose."""

import errno
import math
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.cluster import sealing
from pixelwise.cluster.claims import MAX_ATTEMPTS
from pixelwise.cluster.job import Job, open_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.predict import predict_on
from pixelwise.cluster.status import describe_job
from pixelwise.cluster.work import UnitResult
from pixelwise.cluster.worker import run_worker
from pixelwise.errors import BadRun, Interrupted
from pixelwise.io.read import write_image
from pixelwise.progress import Progress
from sleepers import KINDS, PROGRAM, Sleeping, attempts, check_complete, make_job, wait_until
from tiny import write_model


def start(job: Job, index: int = 0, of: int = 1, **environment: str) -> "subprocess.Popen[bytes]":
    words = [*PROGRAM, str(job.out), "--index", str(index), "--of", str(of)]
    return subprocess.Popen(words, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)


def snapshot(job: Job) -> dict[Path, tuple[int, int]]:
    """Return number and time of change of all files, without the signs of life of workers."""
    files = [path for path in job.out.rglob("*") if path.is_file() and path.parent.name != "workers"]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_one_worker_computes_everything_and_seals(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}] * 7)
    result = run_worker(job.out, kinds=KINDS)
    assert (result.computed, result.lost, result.sealed) == (7, 0, True)
    check_complete(job, range(7))
    units = [f"{job.listing}.{suffix}" for suffix in ("jsonl", "npy")]
    assert {path.name for path in job.folder.iterdir()} == {"done", "job.json", *units}
    assert run_worker(job.out, kinds=KINDS).computed == 0, "there is nothing left"


def test_workers_begin_with_their_own_stride_and_share_the_last_units(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}] * 20)
    run_worker(job.out, 1, 2, kinds=KINDS)
    shared = [12, 13, 14, 15, 16, 17, 18, 19]
    assert [unit for unit, _ in attempts(job)] == [1, 3, 5, 7, 9, 11, 0, 2, 4, 6, 8, 10, *shared]


def test_a_job_without_units_is_sealed(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [])

    class Empty(Sleeping):
        def join(self, ledger: Ledger, outputs: Path) -> None:
            """Nothing."""

    run_worker(job.out, kinds={"sleep": lambda job, progress: Empty(job)})
    assert job.sealed


def test_a_unit_that_fails_is_tried_again_and_set_aside(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}, {"error": "no such thing"}, {}])
    run_worker(job.out, kinds=KINDS)
    tried = [unit for unit, _ in attempts(job)]
    assert tried.count(1) == MAX_ATTEMPTS
    state = describe_job(job.out)
    assert (state.sealed, state.set_aside, state.exit_code) == (True, (1,), 3)
    assert state.failed == (("an input", "an input: 3 attempts failed, the last one: ValueError: no such thing"),)
    assert "Traceback" in Ledger(job).read(1).answer["errors"][0]
    assert {path.name for path in job.out.glob("*.bin")} == {"0000.bin", "0002.bin"}


def test_a_unit_that_kills_its_worker_is_set_aside(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}, {"die": True}, {}])
    codes = [start(job).wait() for _ in range(MAX_ATTEMPTS + 1)]
    assert codes == [-signal.SIGKILL] * MAX_ATTEMPTS + [0]
    assert describe_job(job.out).set_aside == (1,)
    assert Ledger(job).read(1).answer["errors"] == ["the process was killed"] * MAX_ATTEMPTS


@pytest.mark.parametrize("naive", [False, True], ids=["exclusive", "control"])
def test_a_frozen_worker_that_wakes_changes_nothing(tmp_path: Path, naive: bool) -> None:
    hold = tmp_path / "hold"
    job = make_job(tmp_path / "out", [{"hold": str(hold)}, {}, {}])
    slow = {"NAIVE": "1"} if naive else {}
    zombie = start(job, **slow)
    wait_until(lambda: bool(attempts(job)))
    os.kill(zombie.pid, signal.SIGSTOP)
    result = run_worker(job.out, kinds=KINDS)
    assert result.sealed
    assert [unit for unit, _ in attempts(job)].count(0) == 2
    before = snapshot(job)
    hold.touch()
    os.kill(zombie.pid, signal.SIGCONT)
    assert zombie.wait() == 0
    after = snapshot(job)
    if naive:
        assert after != before, "without exclusive commits the last one wins: the test would notice"
    else:
        assert after == before
        check_complete(job, range(3))


def test_a_second_worker_takes_what_a_killed_one_left_at_once(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"hold": str(tmp_path / "never")}, {}])
    first = start(job)
    wait_until(lambda: bool(attempts(job)))
    first.kill()
    first.wait()
    run_worker(job.out, kinds=KINDS)
    check_complete(job, range(2))


def test_a_stopped_worker_gives_its_unit_back(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{"hold": str(tmp_path / "never")}, {}])
    worker = start(job)
    wait_until(lambda: bool(attempts(job)))
    assert describe_job(job.out).running == (0,)
    worker.terminate()
    assert worker.wait() == 0  # the program of the test ends so
    assert describe_job(job.out).running == ()
    assert not list((job.folder / "tries").rglob("*.json")), "it does not count as a failed attempt"
    run_worker(job.out, kinds=KINDS)
    check_complete(job, range(2))


class _Full(Sleeping):
    """A disk that is full for the first attempts."""

    def __init__(self, job: Job, left: float = 3) -> None:
        super().__init__(job)
        self.left = left

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        if self.left:
            self.left -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().compute(number, unit, outputs, parts, progress)


def test_a_full_disk_is_waited_for_and_counts_against_no_unit(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}] * 2)
    run_worker(job.out, kinds={"sleep": lambda job, progress: _Full(job)})
    check_complete(job, range(2))
    assert describe_job(job.out).set_aside == ()


def test_a_disk_that_stays_full_ends_the_worker(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}] * 2)
    with pytest.raises(OSError, match="No space left"):
        run_worker(job.out, kinds={"sleep": lambda job, progress: _Full(job, math.inf)}, patience=0.1)
    assert not job.sealed
    run_worker(job.out, kinds=KINDS)
    check_complete(job, range(2))


def test_control_other_errors_are_not_waited_for(tmp_path: Path) -> None:
    class Broken(Sleeping):
        def compute(
            self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress
        ) -> UnitResult:
            raise FileNotFoundError(errno.ENOENT, "No such file")

    job = make_job(tmp_path / "out", [{}])
    run_worker(job.out, kinds={"sleep": lambda job, progress: Broken(job)})
    assert describe_job(job.out).set_aside == (0,)


def test_units_that_need_others_come_after_them(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}, {}, {}, {}], after={0: (1, 4)})
    run_worker(job.out, kinds=KINDS)
    assert [unit for unit, _ in attempts(job)] == [1, 2, 3, 0]


def test_ctrl_c_is_an_interruption_with_the_way_on(tmp_path: Path) -> None:
    class Stopped(Sleeping):
        def compute(
            self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress
        ) -> UnitResult:
            raise KeyboardInterrupt

    job = make_job(tmp_path / "out", [{}])
    with pytest.raises(Interrupted, match="pixelwise worker"):
        run_worker(job.out, kinds={"sleep": lambda job, progress: Stopped(job)})
    assert not list((job.folder / "tries").rglob("*.json"))


@pytest.mark.parametrize("again", ["worker", "predict"])
def test_what_a_worker_that_was_stopped_while_it_sealed_left_is_removed(
    again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(job: Job) -> None:
        raise KeyboardInterrupt

    write_model(tmp_path / "model.safetensors")
    write_image(tmp_path / "images" / "a.png", np.zeros((1, 20, 20), np.uint8))
    words = (tmp_path / "model.safetensors", [tmp_path / "images"], tmp_path / "out")
    predict_on(*words, "none")
    job = open_job(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "sweep", stopped)
        with pytest.raises(Interrupted):
            run_worker(job.out)
    assert job.sealed
    assert {"tries", "parts", "workers"} <= {path.name for path in job.folder.iterdir()}
    assert not (job.folder / "work").exists()
    if again == "worker":
        run_worker(job.out)
    else:
        predict_on(*words, "none")
    assert not {"tries", "parts", "workers"} & {path.name for path in job.folder.iterdir()}


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="an output folder with a job"):
        run_worker(tmp_path)


def test_late_outputs_of_a_process_killed_while_publishing_are_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path / "out", [{}, {}])
    publish, calls = Ledger.publish, list[int]()

    def die(self: Ledger, outcome: Any) -> None:
        calls.append(outcome.unit)
        if len(calls) == 1:
            raise KeyboardInterrupt
        publish(self, outcome)

    monkeypatch.setattr(Ledger, "publish", die)
    with pytest.raises(Interrupted):
        run_worker(job.out, kinds=KINDS)
    assert not list(job.out.glob("*.bin"))
    run_worker(job.out, kinds=KINDS)
    check_complete(job, range(2))


def test_an_old_file_of_the_user_stops_the_job_and_is_kept(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}])
    atomic_write_bytes(job.out / "0000.bin", b"of the user")
    with pytest.raises(Exception, match="another file of that name"):
        run_worker(job.out, kinds=KINDS, patience=0.0)
    assert (job.out / "0000.bin").read_bytes() == b"of the user"
