"""A training in several processes on this machine, started again when one is lost."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pixelwise.errors import BadOption
from pixelwise.parallel import cores
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.signals import handle_signals

SAVED = 75  # exit code of a training that saved its state
FINAL = frozenset({0, 2, 3, 4, 5, 130})  # exit codes after which another start would end in the same way
GRACE_SECONDS = 20.0  # for the other processes to end by themselves when one has ended
_ATTEMPTS = 3  # starts without a new checkpoint
_POLL_SECONDS = 0.1
PROGRAM = (sys.executable, "-m", "pixelwise")


@dataclass(frozen=True, kw_only=True)
class RankRequest:
    """A training to run: the words after `pixelwise`, its run folder, processes, and whether it is started again."""

    words: tuple[str, ...]
    folder: Path
    ranks: int = 1
    supervise: bool = False
    program: Sequence[str] = PROGRAM


def train_in_processes(request: RankRequest, progress: Progress) -> int:
    """Run a training in processes of their own; return its exit code.

    With `supervise` a training of which a process was killed, or that ended with a saved state, is continued from its
    last checkpoint, until it ends by itself, is stopped (Ctrl-C, SIGTERM), or makes no progress in three starts.

    Raises
    ------
    BadOption
        The number of processes is not a power of two.
    """
    if request.ranks < 1 or request.ranks & (request.ranks - 1):
        raise BadOption("--ranks of 1, 2, 4, 8, ...", f"{request.ranks}", "Each process has the same number of slots.")
    words, without_progress, newest = list(request.words), 0, _newest(request.folder)
    with _noted_signals() as stopped:
        while True:
            code = _run_once([*request.program, *words], request.ranks, stopped)
            if code in FINAL or not request.supervise or stopped:
                return code
            before, newest = newest, _newest(request.folder)
            without_progress = without_progress + 1 if newest == before else 0
            if without_progress >= _ATTEMPTS:
                progress.message(f"Given up after {pluralise(_ATTEMPTS, 'start')} without a new checkpoint.")
                return code
            if (request.folder / "config.yaml").is_file() and "--resume" not in words:
                words.append("--resume")
            progress.message(f"The training ended with code {code}; it is continued from {newest or 'its beginning'}.")
            time.sleep(min(30.0, 2.0**without_progress - 1))


def without_flags(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command line without --ranks and --supervise.

    Examples
    --------
    >>> without_flags(["train", "data", "--ranks", "2", "--supervise", "--steps", "9"])
    ('train', 'data', '--steps', '9')
    """
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if word == "--ranks":
            next(following, None)
        elif word != "--supervise" and not word.startswith("--ranks="):
            kept.append(word)
    return tuple(kept)


def _run_once(command: Sequence[str], ranks: int, stopped: list[int]) -> int:
    """Run all processes once; return the exit code of the training."""
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as place:
        processes = [_start(command, rank, ranks, Path(place) / "store") for rank in range(ranks)]
        try:
            _wait(processes, stopped)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
    codes = [process.returncode for process in processes]
    if not any(codes):
        return 0
    return next((code for code in codes if code in FINAL - {0}), SAVED)


def _start(command: Sequence[str], rank: int, ranks: int, store: Path) -> "subprocess.Popen[bytes]":
    environment = dict(os.environ)
    if ranks > 1:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks}
        environment |= {name: str(value) for name, value in numbers.items()} | {"PIXELWISE_STORE": str(store)}
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // ranks)))
    return subprocess.Popen(command, env=environment)


def _wait(processes: Sequence["subprocess.Popen[bytes]"], stopped: list[int]) -> None:
    """Return when all processes have ended, or `GRACE_SECONDS` after one has failed or a signal has come."""
    until: float | None = None
    announced = False
    while any(process.poll() is None for process in processes):
        failed = any(process.returncode for process in processes)
        if stopped and not announced:
            announced = True
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
        if until is None and failed:
            until = time.monotonic() + GRACE_SECONDS
        if until is not None and time.monotonic() > until:
            return
        time.sleep(_POLL_SECONDS)


def _newest(folder: Path) -> str:
    """Return the name of the newest checkpoint; "" if there is none."""
    return max((path.name for path in folder.glob("checkpoints/step-*")), default="")


@contextmanager
def _noted_signals() -> Generator[list[int], None, None]:
    """Yield the list of signals that came; they are passed on to the processes, which save their state."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    with handle_signals(note):
        yield came
