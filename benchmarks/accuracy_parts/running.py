"""Cells are run side by side on cores of their own, and what came out is written down at once."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import code_version, limited_to
from score import MEASURES, Numbers, all_scores, measure_folder

from accuracy_parts.contenders import Cell, Place, learn, meaning
from pixelwise.atomic_write import atomic_write_text
from pixelwise.parallel import cores
from pixelwise.progress import Progress


class Book:
    """The finished cells, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def records(self) -> list[dict[str, Any]]:
        """Return what is finished."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text("utf-8").splitlines()]

    def add(self, record: dict[str, Any]) -> None:
        """Write a record down; the file is never seen half written."""
        with self._lock:
            before = self._path.read_text("utf-8") if self._path.exists() else ""
            atomic_write_text(self._path, before + json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal that ended it, None: the time limit), wall seconds."""

    code: int | None
    seconds: float


class Children:
    """Runs commands in process groups of their own, so that all of their processes end when this one is stopped."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.stopped = False

    def run(self, command: Sequence[str], log: Path, limit: float, env: Mapping[str, str]) -> Ended:
        """Run a command for at most `limit` seconds, with `env` beside the environment of this process.

        What it says goes to the end of `log`. The time is that from before its start to its end.

        Raises
        ------
        RuntimeError
            `stop` was called.
        """
        began = time.monotonic()
        with log.open("ab") as file:
            with self._lock:
                if self.stopped:
                    raise RuntimeError("stopped")
                child = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | env, start_new_session=True
                )
                self._running.add(child)
            try:
                code = child.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                end_group(child)
                with self._lock:
                    self._running.discard(child)
        return Ended(code, time.monotonic() - began)

    def call(
        self, command: Sequence[str], log: Path, limit: float, env: Mapping[str, str], made: Path | None = None
    ) -> float:
        """Run a command as `run` does, and return its seconds.

        Raises
        ------
        RuntimeError
            It ran for longer than `limit` seconds, was killed, or failed without making the file `made`.
        """
        ended = self.run(command, log, limit, env)
        if ended.code is None:
            raise RuntimeError(f"more than {limit:.0f} s; see {log}")
        if ended.code < 0 or (ended.code and not (made is not None and made.exists())):
            raise RuntimeError(f"exit code {ended.code}; see {log}")
        return ended.seconds

    def stop(self) -> None:
        """End all that runs; nothing new is started."""
        with self._lock:
            self.stopped = True
            for child in self._running:
                end_group(child)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and what it has started, where anything of it is left."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()


def run_cell(cell: Cell, place: Place, threads: int, children: Children) -> dict[str, Any]:
    """Train, predict and score one cell, from the start; return its record."""
    folder, measure = place.folder(cell), MEASURES[cell.set]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    limit, log = 3600 + 4 * cell.seconds, folder / "log.txt"
    began = time.monotonic()
    env = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": ""}
    if not place.warm_cache:
        env["PIXELWISE_CACHE"] = str(folder / "cache")
    facts = learn(cell, place, threads, lambda command, made: children.call(command, log, limit, env, made))
    wall = time.monotonic() - began
    shutil.rmtree(folder / "cache", ignore_errors=True)
    found = score_masks(place, cell.set, folder / "masks")
    scores = all_scores(measure, found)
    took = {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(facts).items()}
    return {
        **asdict(cell),
        **took,
        "wall_s": round(wall, 1),
        "threads": threads,
        "limited_to": limited_to(),
        "first": place.first,
        "code": code_version(),
        "headline": measure.headline,
        "score": scores[measure.headline],
        "scores": scores,
        "images": list(found.images),
        "numbers": [[int(value) if value == int(value) else float(value) for value in row] for row in found.rows],
    }


def score_masks(place: Place, name: str, masks: Path) -> Numbers:
    """Compare the masks predicted of the scored part of a set with the truth."""
    measure = MEASURES[name]
    return measure_folder(measure, place.truth(name), masks, meaning(measure, masks))


def run_lanes(
    cells: Sequence[Cell], lanes: Sequence[frozenset[int] | None], place: Place, book: Book, progress: Progress
) -> list[Cell]:
    """Run cells, one at a time in each lane; return those that failed, which are told and leave the others be.

    A lane is a set of processor cores; None is all that this process may use.
    """
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    failed: list[Cell] = []
    children = Children()
    with progress.bar("cells", len(cells)) as advance:

        def done(cell: Cell, text: str) -> None:
            progress.message(f"{cell.name}: {text}")
            advance(1, "")

        def work(lane: frozenset[int] | None) -> None:
            if lane is not None:
                os.sched_setaffinity(0, lane)  # of this thread, and of the processes it starts
            drain(waiting, len(lane) if lane else cores(), place, book, children, done, failed)

        threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            children.stop()
    return failed


def drain(
    waiting: "queue.SimpleQueue[Cell]",
    threads: int,
    place: Place,
    book: Book,
    children: Children,
    done: Callable[[Cell, str], None],
    failed: list[Cell],
) -> None:
    """Run the waiting cells until there is none, or all is stopped."""
    while not children.stopped:
        try:
            cell = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            record = run_cell(cell, place, threads, children)
        except Exception as error:  # whatever is wrong with one cell is told, and the others are run
            if not children.stopped:
                failed.append(cell)
                done(cell, f"failed: {type(error).__name__}: {error}")
            continue
        book.add(record)
        value = "not defined" if record["score"] is None else f"{record['score']:.4f}"
        done(cell, f"{record['headline']} {value} after {record['train_s']:.0f} s of training")
