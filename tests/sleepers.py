"""Jobs for tests: units that sleep, write what only depends on their number, and misbehave on request.

As a program it is a worker: python sleepers.py OUT --index I --of N. Every attempt is noted in a log beside OUT. What
a unit does is a JSON object: `seconds` to sleep; `die`: the process kills itself; `error`: an exception; `hold`: the
first attempt waits until this file exists. With the environment variable NAIVE the ledger is not exclusive: the last
commit wins.
"""

import argparse
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.cluster import ledger as ledger_module
from pixelwise.cluster.environment import find_place
from pixelwise.cluster.job import Job, LeaseTimes, create_job
from pixelwise.cluster.join_tables import join_parts
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.storage import outputs as outputs_module
from pixelwise.cluster.work import Kinds, UnitResult
from pixelwise.cluster.worker import run_worker
from pixelwise.errors import Interrupted
from pixelwise.progress import Console, Progress

QUICK = LeaseTimes(heartbeat=0.2, stale=2.0)
PROGRAM = (sys.executable, __file__)


def content_of(number: int) -> bytes:
    """What the output of a unit holds."""
    return b"".join(hashlib.sha256(f"{number} {line}".encode()).digest() for line in range(40))


def make_job(out: Path, units: Iterable[dict[str, Any]], times: LeaseTimes = QUICK, **more: Any) -> Job:
    """Make a job of units that sleep."""
    return create_job(
        out, "sleep", "0" * 64, ((unit, 1) for unit in units), {"log": str(out) + ".log"}, times=times, **more
    )


def attempts(job: Job) -> list[tuple[int, str]]:
    """Unit and process of all attempts so far."""
    log = Path(job.settings["log"])
    rows = [line.split() for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    return [(int(unit), process) for unit, process in rows]


class Sleeping:
    """The work of such a job; see `work.Work`."""

    shares_units = True

    def __init__(self, job: Job) -> None:
        self._log = job.settings["log"]

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        tries = self._note(number)
        time.sleep(unit.get("seconds", 0.0))
        if unit.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if unit.get("error"):
            raise ValueError(unit["error"])
        while unit.get("hold") and tries == 1 and not Path(unit["hold"]).exists():
            time.sleep(0.02)
        atomic_write_bytes(outputs / f"{number:04d}.bin", content_of(number))
        atomic_write_bytes(parts / "all.csv", f"unit,square\n{number},{number * number}\n".encode())
        progress.message("All units sleep.")
        return UnitResult()

    def join(self, ledger: Ledger, outputs: Path) -> None:
        candidates = [ledger.part(unit, "all.csv") for unit in range(ledger.job.units)]
        if parts := [part for part in candidates if part.is_file()]:
            join_parts("all.csv", parts, outputs / "all.csv")

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        return ["an input"]

    def _note(self, number: int) -> int:
        """Note an attempt; return which one of this unit it is."""
        with Path(self._log).open("a+", encoding="utf-8") as file:
            file.write(f"{number} {os.getpid()}\n")
            file.flush()
            file.seek(0)
            return sum(line.split()[0] == str(number) for line in file)


KINDS: Kinds = {"sleep": lambda job, progress: Sleeping(job)}


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that other processes do."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.02)


def check_complete(job: Job, units: range) -> None:
    """Check that all outputs are there, as one process writes them, and nothing else."""
    assert {path.name for path in job.out.glob("*.bin")} == {f"{number:04d}.bin" for number in units}
    assert all((job.out / f"{number:04d}.bin").read_bytes() == content_of(number) for number in units)
    rows = "".join(f"{number},{number * number}\n" for number in units)
    assert (job.out / "all.csv").read_text(encoding="utf-8") == f"unit,square\n{rows}"
    subprocess.run(["sha256sum", "--check", "--quiet", "_SUCCESS"], cwd=job.out, check=True)
    assert not list(job.out.rglob("*.part"))


def write_program(folder: Path) -> Path:
    """Write a program `pixelwise` of which `pixelwise worker OUT ...` computes such jobs; return its folder."""
    program = folder / "bin" / "pixelwise"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{__file__}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program.parent


def make_naive() -> None:
    """Let the last of several commits of a unit win, as a plain atomic write does."""

    def write(path: Path, content: bytes, **_: Any) -> bool:
        atomic_write_bytes(path, content)
        return True

    def link(source: Path, target: Path) -> bool:
        source.replace(target)
        return True

    ledger_module.write_new_bytes = write  # type: ignore[assignment]
    outputs_module.link_new = link  # type: ignore[assignment]


def main() -> None:
    """Work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--index", type=int)
    parser.add_argument("--of", type=int)
    given = parser.parse_args()
    if os.environ.get("NAIVE"):
        make_naive()
    with contextlib.suppress(Interrupted):
        run_worker(given.out, *find_place(given.index, given.of), progress=Console(), kinds=KINDS)


if __name__ == "__main__":
    main()
