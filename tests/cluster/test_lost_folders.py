"""Folders that are removed, or do not answer for a while: workers wait, begin nothing anew, and blame no unit."""

import contextlib
import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.cluster.claims import Claim, Claims
from pixelwise.cluster.driver import LocalWorkers, watch_local
from pixelwise.cluster.image_units import check_folders
from pixelwise.cluster.job import FOLDER, SEAL, Job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.predict import predict_on
from pixelwise.cluster.status import describe_job
from pixelwise.cluster.work import WAITING, UnitResult, go_to
from pixelwise.cluster.worker import Messages, run_worker
from pixelwise.errors import BadRun, OutputFailed
from pixelwise.io.read import write_image
from pixelwise.progress import Progress
from sleepers import KINDS, Sleeping, check_complete, make_job
from tiny import make_recipe, write_model


class Disturbed(Sleeping):
    """Work that calls a function before its first unit."""

    def __init__(self, job: Job, disturb: Callable[[], None], *, long: bool = False) -> None:
        super().__init__(job)
        self._disturb, self.shares_units = [disturb], not long

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        while self._disturb:
            self._disturb.pop()()
        return super().compute(number, unit, outputs, parts, progress)


@pytest.mark.parametrize("protected", [True, False], ids=["checked", "control"])
def test_a_job_that_is_removed_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protected: bool
) -> None:
    job = make_job(tmp_path / "out", [{}] * 3)
    work = Disturbed(job, lambda: shutil.rmtree(job.out))
    if not protected:
        monkeypatch.setattr(Job, "check_present", lambda self: None)
    with pytest.raises(OutputFailed, match="the folder of a job") if protected else contextlib.suppress(Exception):
        run_worker(job.out, kinds={"sleep": lambda job, progress: work}, patience=0.0)
    left = [path for path in job.out.rglob("*") if path.is_file()]
    assert bool(left) != protected


def test_a_folder_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    job, aside = make_job(tmp_path / "out", [{}] * 3), tmp_path / "aside"

    def unmount() -> None:
        job.out.rename(aside)
        threading.Timer(0.3, mount).start()
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def mount() -> None:
        shutil.rmtree(job.out, ignore_errors=True)
        aside.rename(job.out)

    run_worker(job.out, kinds={"sleep": lambda job, progress: Disturbed(job, unmount)})
    check_complete(job, range(3))
    assert describe_job(job.out).set_aside == ()


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_file_system_that_does_not_answer_counts_against_no_unit(tmp_path: Path, code: int) -> None:
    job, failures = make_job(tmp_path / "out", [{}] * 2), iter(range(4))

    class Stale(Sleeping):
        def compute(
            self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress
        ) -> UnitResult:
            if next(failures, None) is not None:  # more often than a unit is tried
                raise OSError(code, os.strerror(code))
            return super().compute(number, unit, outputs, parts, progress)

    run_worker(job.out, kinds={"sleep": lambda job, progress: Stale(job)})
    check_complete(job, range(2))
    assert describe_job(job.out).set_aside == ()


def test_a_record_that_cannot_be_read_for_a_while_is_not_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path / "out", [{}])
    run_worker(job.out, kinds=KINDS)

    def stale(path: Path, *args: Any) -> Any:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(OutputFailed):
        Ledger(job).read(0)
    monkeypatch.undo()
    monkeypatch.setattr(Path, "open", stale)
    with pytest.raises(OutputFailed):
        job.unit(0)
    monkeypatch.undo()
    assert job.sealed
    monkeypatch.setattr(Path, "is_file", stale)
    assert not job.sealed


def test_a_claim_that_could_not_be_removed_does_not_hold_its_own_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, release, kept = make_job(tmp_path / "out", [{}]), Claims.release, list[Claim]()

    def once_without_effect(self: Claims, claim: Claim) -> None:
        if kept:
            release(self, claim)
        kept.append(claim)

    def fail() -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Claims, "release", once_without_effect)
    run_worker(job.out, kinds={"sleep": lambda job, progress: Disturbed(job, fail, long=True)})
    check_complete(job, range(1))


@pytest.mark.parametrize("protected", [True, False], ids=["checked", "control"])
def test_images_that_are_gone_with_their_folder_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protected: bool
) -> None:
    write_model(tmp_path / "model.safetensors", make_recipe("binary"))
    images, aside, out = tmp_path / "images", tmp_path / "aside", tmp_path / "out"
    for number in range(3):
        write_image(images / f"{number}.png", np.full((1, 24, 24), number, np.uint8))
    predict_on(tmp_path / "model.safetensors", [images], out, "none", unit_seconds=1e-6, progress=Progress())
    images.rename(aside)
    images.mkdir()
    os.utime(images, (0, 0))  # an old folder, where nothing is mounted
    if not protected:
        monkeypatch.setattr("pixelwise.cluster.image_units.check_folders", lambda images, made: None)
        run_worker(out)
        assert len(describe_job(out).failed) == 3
        return
    with pytest.raises(OutputFailed, match="the folder of the images"):
        run_worker(out, patience=0.0)
    images.rmdir()
    with pytest.raises(OutputFailed, match="the folder of the images"):
        run_worker(out, patience=0.0)
    assert describe_job(out).done == 0
    aside.rename(images)
    run_worker(out)
    assert describe_job(out).exit_code == 0


def test_a_machine_without_the_folder_of_the_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="the folder in which the job was made"):
        go_to(str(tmp_path / "none"))


def test_an_image_that_was_removed_is_an_answer(tmp_path: Path) -> None:
    image = tmp_path / "images" / "0.png"
    write_image(image, np.zeros((1, 8, 8), np.uint8))
    made = image.parent.stat().st_mtime
    check_folders([image.with_name("1.png")], made)
    image.unlink()
    os.utime(image.parent, (made + 1, made + 1))
    check_folders([image], made)
    os.utime(image.parent, (made - 1, made - 1))
    with pytest.raises(OutputFailed):
        check_folders([image], made)


def test_the_driver_says_what_workers_wait_for(tmp_path: Path) -> None:
    job, messages = make_job(tmp_path / "out", [{}]), Messages()
    program = f"import sys, time; print('{WAITING}: a full disk', flush=True); time.sleep(2); sys.exit(2)"
    with pytest.raises(OutputFailed):
        watch_local(LocalWorkers(job, 2, (sys.executable, "-c", program)), messages, "sleeping")
    assert messages.texts == [f"{WAITING}: a full disk"]


def test_a_driver_whose_folder_is_removed_ends(tmp_path: Path) -> None:
    job = make_job(tmp_path / "out", [{}])
    program = f"import shutil, sys; shutil.rmtree({str(job.out)!r}); sys.exit(2)"
    with pytest.raises(OutputFailed):
        watch_local(LocalWorkers(job, 1, (sys.executable, "-c", program)), Progress(), "sleeping")
    assert not (job.out / SEAL).exists()
    assert not list((job.out / FOLDER).rglob("*.json"))
