"""Jobs: one process each, watched through the run folder, also by the next server."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pixelwise.errors import Interrupted
from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job, Jobs, read_metrics
from pixelwise.server.project import Project

# Stands in for `pixelwise train DATA --out RUN`: a row of metrics per tenth of a second, saves on SIGTERM.
PROGRAM = """
import pathlib, signal, sys, time
words = sys.argv[1:]
run = pathlib.Path(words[words.index("--out") + 1])
if words[1] == "bad":
    print("Error: expected masks; got none.", file=sys.stderr)
    sys.exit(2)
def stop(*_):
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
(run / "snapshots").mkdir(parents=True, exist_ok=True)
rows = ["step,val_score"]
for step in range(1, 1 + int(words[words.index("--steps") + 1])):
    rows.append(f"{step},{step / 10}")
    (run / "snapshots" / f"step-{step:07d}.png").touch()
    (run / "metrics.csv.part").write_text("\\n".join(rows) + "\\n")
    (run / "metrics.csv.part").rename(run / "metrics.csv")
    time.sleep(0.1)
(run / "summary.json").write_text("{}")
"""


def with_jobs(folder: Path, use: Callable[[Jobs, list[Job]], Awaitable[Any]]) -> tuple[Any, list[dict[str, Any]]]:
    """Run a coroutine with jobs; return its result and all events."""

    async def run() -> Any:
        done: list[Job] = []
        jobs = Jobs(project, done.append, (sys.executable, "-c", PROGRAM))
        jobs.restore()
        result = await use(jobs, done)
        await jobs.close()
        return result

    project = Project(folder)
    result = asyncio.run(run())
    events = [event for _, event in project.events.after(0)]
    project.close()
    return result, events


async def until(jobs: Jobs, job_id: str, *states: str) -> Job:
    while jobs.get(job_id).state not in states:
        await asyncio.sleep(0.05)
    return jobs.get(job_id)


def words(run: Path, steps: int, data: str = "data") -> tuple[str, ...]:
    return "train", data, "--out", str(run), "--steps", str(steps)


def test_a_job_is_watched_to_its_end(tmp_path: Path) -> None:
    async def use(jobs: Jobs, done: list[Job]) -> tuple[Job, list[Job]]:
        run = tmp_path / "run"
        run.mkdir()
        job = jobs.start("train", words(run, 3), run, 60.0)
        assert jobs.running("train") == jobs.get(job.id)
        return await until(jobs, job.id, "done", "failed"), done

    (job, done), events = with_jobs(tmp_path / "p", use)
    assert job.state == "done"
    assert done == [job]
    assert [event["row"]["step"] for event in events if event["kind"] == "metrics"] == [1, 2, 3]
    assert [event["job"]["state"] for event in events if event["kind"] == "job"] == ["running", "done"]


def test_a_job_goes_on_without_its_server_and_its_events_come_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()

    async def begin(jobs: Jobs, done: list[Job]) -> str:
        job = jobs.start("train", words(run, 12), run)
        while not read_metrics(run):
            await asyncio.sleep(0.05)
        return job.id

    async def go_on(jobs: Jobs, done: list[Job]) -> Job:
        return await until(jobs, "0001", "done", "stopped", "failed")

    job_id, before = with_jobs(tmp_path / "p", begin)
    assert job_id == "0001"
    assert not any(event["kind"] == "job" and event["job"]["state"] == "done" for event in before)
    job, events = with_jobs(tmp_path / "p", go_on)
    assert job.state == "done"
    assert [event["row"]["step"] for event in events if event["kind"] == "metrics"] == list(range(1, 13))


def test_stop_and_continue(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()

    async def use(jobs: Jobs, done: list[Job]) -> list[str]:
        job = jobs.start("train", words(run, 30), run)
        while not read_metrics(run):
            await asyncio.sleep(0.05)
        states = [jobs.stop(job.id).state, (await until(jobs, job.id, "stopped", "failed", "done")).state]
        with pytest.raises(Failure):
            jobs.resume("0002")
        (run / "config.yaml").touch()  # the plan of a real run
        again = jobs.resume(job.id)
        assert again.words[-1] == "--resume"
        jobs.stop(job.id)
        return [*states, (await until(jobs, job.id, "stopped", "failed", "done")).state]

    states, events = with_jobs(tmp_path / "p", use)
    assert states[:2] == ["stopping", "stopped"]
    assert states[2] == "stopped"
    revisions = [event["job"]["revision"] for event in events if event["kind"] == "job"]
    assert revisions == sorted(set(revisions)), "each change has a larger number, so that a page can order them"


def test_a_stopped_training_says_how_far_it_came_without_folder_and_command() -> None:
    folder = "data/a: b\n/runs/0001"  # the page shows the command, and the button does what it does
    hint = "The state is saved. Continue with: pixelwise train data --resume"
    stop = Interrupted("705 steps", "47 of 705 steps are done", hint, Path(folder))
    job = Job(id="1", kind="train", command=("train",), folder=folder, started=0.0, message=f"Stopped: {stop}")
    assert replace(job, state="stopped").to_json()["message"] == "47 of 705 steps are done. The state is saved."
    assert replace(job, state="failed").to_json()["message"] == job.message


def test_a_failure_says_why(tmp_path: Path) -> None:
    async def use(jobs: Jobs, done: list[Job]) -> Job:
        job = jobs.start("train", words(tmp_path / "run", 1, "bad"), tmp_path / "run")
        return await until(jobs, job.id, "failed", "done")

    job, _ = with_jobs(tmp_path / "p", use)
    assert (job.state, job.message) == ("failed", "Error: expected masks; got none.")


def test_a_run_that_continues_has_a_configuration_of_its_own() -> None:
    words = ("train", "data", "--config", "plan.yaml", "--out", "run")
    job = Job(id="0001", kind="train", command=words, folder="run", started=0.0)
    assert job.words == words
    assert replace(job, resumed=True).words == ("train", "data", "--out", "run", "--resume")


def test_a_training_that_ended_before_its_plan_begins_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()

    async def use(jobs: Jobs, done: list[Job]) -> Job:
        job = jobs.start("train", words(run, 3, "bad"), run)
        await until(jobs, job.id, "failed")
        (run / "fingerprint.json").touch()
        again = jobs.resume(job.id)
        assert not (run / "fingerprint.json").exists()
        return again

    again, _ = with_jobs(tmp_path / "p", use)
    assert "--resume" not in again.words


def test_what_a_killed_server_announced_is_not_announced_again(tmp_path: Path) -> None:
    """The server is killed after an event, before it notes anything: the log of events is what counts."""
    run = tmp_path / "run"
    run.mkdir()

    async def use(jobs: Jobs, done: list[Job]) -> Job:
        job = jobs.start("train", words(run, 3), run)
        return await until(jobs, job.id, "done")

    job, events = with_jobs(tmp_path / "p", use)
    # as if the last state was saved, but neither announced nor noted
    file, log = tmp_path / "p" / "jobs" / "0001.json", tmp_path / "p" / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert json.loads(file.read_text(encoding="utf-8"))["state"] == "done"

    async def look(jobs: Jobs, done: list[Job]) -> list[Job]:
        return done

    done, after = with_jobs(tmp_path / "p", look)
    assert done == [job]
    assert after == events
    file.write_text(file.read_text(encoding="utf-8").replace('"done"', '"running"'), encoding="utf-8")
    _, after = with_jobs(tmp_path / "p", lambda jobs, done: until(jobs, "0001", "done"))
    assert [event for event in after if event["kind"] == "metrics"] == [e for e in events if e["kind"] == "metrics"]


def test_rows_that_are_written_again_are_announced_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "snapshots").mkdir(parents=True)

    async def use(jobs: Jobs, done: list[Job]) -> None:
        jobs.jobs["0001"] = Job(id="0001", kind="train", command=(), folder=str(run), started=0.0)
        for steps in ((10, 20, 30), (10, 20), (10, 20, 25, 30, 40)):
            rows = "".join(f"{step},0.5\n" for step in steps)
            (run / "metrics.csv").write_text(f"step,val_score\n{rows}", encoding="utf-8")
            jobs._announce("0001")  # pyright: ignore[reportPrivateUsage]

    _, events = with_jobs(tmp_path / "p", use)
    assert [event["row"]["step"] for event in events if event["kind"] == "metrics"] == [10, 20, 30, 40]
