"""Cells are run side by side on cores of their own, and what came out is written down at once."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from score import MEASURES, all_scores, measure_folder

from accuracy_parts.contenders import Cell, Place, learn, meaning
from pixelwise.commit import commit_text
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
            commit_text(self._path, before + json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n")


class Children:
    """Runs commands in process groups of their own, so that all of their processes end when this one is stopped."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.stopped = False

    def call(self, command: Sequence[str], log: Path, threads: int, limit: float) -> float:
        """Run a command and return its seconds; what it says goes to the end of `log`.

        Raises
        ------
        RuntimeError
            It failed, or ran for longer than `limit` seconds.
        """
        env = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": ""}
        began = time.monotonic()
        with log.open("ab") as file:
            with self._lock:
                if self.stopped:
                    raise RuntimeError("stopped")
                child = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, env=env, start_new_session=True
                )
                self._running.add(child)
            try:
                code = child.wait(limit)
            except subprocess.TimeoutExpired as error:
                raise RuntimeError(f"more than {limit:.0f} s; see {log}") from error
            finally:
                end_group(child)
                with self._lock:
                    self._running.discard(child)
        if code:
            raise RuntimeError(f"exit code {code}; see {log}")
        return time.monotonic() - began

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
    limit = 3600 + 4 * cell.seconds
    began = time.monotonic()
    facts = learn(cell, place, threads, lambda command: children.call(command, folder / "log.txt", threads, limit))
    wall = time.monotonic() - began
    masks = folder / "masks"
    found = measure_folder(measure, place.truth(cell.set), masks, meaning(measure, masks))
    scores = all_scores(measure, found)
    took = {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(facts).items()}
    return {
        **asdict(cell),
        **took,
        "wall_s": round(wall, 1),
        "threads": threads,
        "code": code_version(),
        "headline": measure.headline,
        "score": scores[measure.headline],
        "scores": scores,
        "images": list(found.images),
        "numbers": [[int(value) if value == int(value) else float(value) for value in row] for row in found.rows],
    }


def code_version() -> str:
    """Return the commit of the code, with `-dirty` where it was changed since; empty where git cannot say."""
    here = Path(__file__).parent
    try:
        said = subprocess.run(
            ["git", "--no-optional-locks", "describe", "--always", "--dirty"], cwd=here, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.decode().strip()


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
            progress.tell(f"{cell.name}: {text}")
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
