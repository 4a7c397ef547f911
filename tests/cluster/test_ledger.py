"""A unit has one outcome, and a published file never changes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.cluster import ledger as module
from pixelwise.cluster.job import Job
from pixelwise.cluster.ledger import OUTPUTS, PARTS, SHARD, Ledger, Outcome
from pixelwise.cluster.storage import outputs
from pixelwise.cluster.storage.outputs import sum_up
from pixelwise.errors import BadRun, OutputFailed
from sleepers import make_job


def computed(job: Job, unit: int, worker: str, content: str = "x", **more: Any) -> Outcome:
    """What a worker has when it has computed a unit: complete files in a folder of its own."""
    work = job.folder / "work" / worker / str(unit)
    for inner, name in ((OUTPUTS, f"{unit}.txt"), (PARTS, "t.csv")):
        (work / inner).mkdir(parents=True, exist_ok=True)
        (work / inner / name).write_text(content, encoding="utf-8")
    return Outcome(
        unit=unit,
        worker=worker,
        seconds=1.0,
        work=f"{worker}/{unit}",
        files=sum_up(work / OUTPUTS),
        parts=sum_up(work / PARTS),
        **more,
    )


def test_the_first_outcome_counts(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}, {}])
    ledger = Ledger(job)
    assert ledger.scan().tolist() == [False, False]
    assert ledger.record(computed(job, 1, "a", "first"))
    before = (job.out / "1.txt").stat()
    assert not ledger.record(computed(job, 1, "b", "other"))
    after = (job.out / "1.txt").stat()
    assert (job.out / "1.txt").read_text(encoding="utf-8") == "first"
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert ledger.read(1).worker == "a"
    assert ledger.scan().tolist() == [False, True]
    assert ledger.part(1, "t.csv").read_text(encoding="utf-8") == "first"


def test_control_without_exclusivity_the_second_replaces_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> bool:
        atomic_write_bytes(path, content)
        return True

    job = make_job(tmp_path, [{}])
    monkeypatch.setattr(module, "write_new_bytes", write)
    monkeypatch.setattr(outputs, "link_new", lambda source, target: source.replace(target) is not None)
    for worker in ("a", "b"):
        assert Ledger(job).record(computed(job, 0, worker, worker))
    assert (job.out / "0.txt").read_text(encoding="utf-8") == "b"


def test_what_a_process_killed_while_publishing_left_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path, [{}])
    ledger = Ledger(job)
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "publish", lambda self, outcome: None)  # killed between record and publication
        ledger.record(computed(job, 0, "a"))
    assert not (job.out / "0.txt").exists()
    ledger.complete()
    assert (job.out / "0.txt").read_text(encoding="utf-8") == "x"
    assert not list((job.folder / "work").rglob("*.txt"))
    ledger.complete()


def test_files_that_are_nowhere_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, [{}])
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "publish", lambda self, outcome: None)
        Ledger(job).record(computed(job, 0, "a"))
    shutil.rmtree(job.folder / "work")
    with pytest.raises(OutputFailed, match="got none"):
        Ledger(job).complete()


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}])
    (job.out / "0.txt").write_text("of the user", encoding="utf-8")
    with pytest.raises(OutputFailed, match="another file of that name"):
        Ledger(job).record(computed(job, 0, "a"))
    assert (job.out / "0.txt").read_text(encoding="utf-8") == "of the user"


def test_units_of_several_folders_are_found(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}] * (2 * SHARD + 1))
    ledger = Ledger(job)
    for unit in (0, SHARD - 1, SHARD, 2 * SHARD):
        ledger.record(Outcome(unit=unit, worker="w", seconds=0.0))
    assert ledger.scan().nonzero()[0].tolist() == [0, SHARD - 1, SHARD, 2 * SHARD]
    assert ledger.has(SHARD)
    assert not ledger.has(1)
    assert Ledger(job).has(2 * SHARD)


def test_temporary_files_are_no_outcomes(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}, {}])
    folder = job.folder / "done" / "000"
    folder.mkdir(parents=True)
    for name in (".000000.json.x.part", "000001.txt", "notes.json", "000009.json"):
        (folder / name).touch()
    assert not Ledger(job).scan().any()


def test_failures_are_found_without_reading_all_outcomes(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}, {}, {}])
    ledger = Ledger(job)
    failed = (("a.png", "a.png: broken"),)
    outcomes = [Outcome(unit=0, worker="w", seconds=0.0), Outcome(unit=2, worker="w", seconds=0.0, failed=failed)]
    for outcome in outcomes:
        ledger.record(outcome)
    assert ledger.failures() == [outcomes[1]]
    assert Outcome.from_bytes(outcomes[1].to_bytes()) == outcomes[1]


def test_a_damaged_outcome_is_one_line(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}])
    ledger = Ledger(job)
    ledger.record(Outcome(unit=0, worker="w", seconds=0.0))
    (job.folder / "done" / "000" / "000000.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadRun, match="the outcome of a unit"):
        ledger.read(0)
