"""The fork server in this process: its requests and answers, its exit codes, what a worker becomes."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pixelwise.cluster.processes import fork_server
from pixelwise.cluster.processes.fork_server import ForkServer, _answer, _become, _run, is_single_threaded, main

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
SIGNALS = (signal.SIGCHLD, signal.SIGTERM)


@contextmanager
def streams() -> Generator[tuple[int, int], None, None]:
    """Ends of pipes that lead to standard input, and come from standard output."""
    kept, handlers = [os.dup(number) for number in (0, 1)], [signal.getsignal(number) for number in SIGNALS]
    requests, request = os.pipe()
    answer, answers = os.pipe()
    os.dup2(requests, 0)
    os.dup2(answers, 1)
    try:
        yield request, answer
    finally:
        _restore(kept, handlers)
        for end in (*kept, requests, answer, answers):
            os.close(end)


def _restore(kept: list[int], handlers: list[Any]) -> None:
    signal.set_wakeup_fd(-1)
    for number, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(number, handler)
    for number, own in enumerate(kept):
        os.dup2(own, number)


def read(answer: int) -> list[dict[str, int]]:
    return [json.loads(line) for line in os.read(answer, 1 << 16).splitlines()]


def ask(request: int, folder: Path, *words: str) -> None:
    for number, word in enumerate(words):
        value = {"number": number, "words": ["program", word], "log": str(folder / f"{number}.log")}
        os.write(request, json.dumps(value).encode() + b"\n")


def worker() -> None:
    """Write the word of the command, and end with it as the exit code if it is a number."""
    word = sys.argv[1]
    os.write(1, word.encode())
    if word == "sleep":
        time.sleep(600)
    if word.isdecimal():
        raise SystemExit(int(word))


def test_workers_start_end_and_are_reported(tmp_path: Path) -> None:
    with streams() as (request, answer):
        ask(request, tmp_path, "7", "fine")
        os.close(request)
        ForkServer(worker).run()
        answers = read(answer)
        assert sorted(row["number"] for row in answers if "pid" in row) == [0, 1]
        assert {row["number"]: row["code"] for row in answers if "code" in row} == {0: 7, 1: 0}
        assert [(tmp_path / f"{number}.log").read_text("utf-8") for number in range(2)] == ["7", "fine"]


def test_ending_the_server_ends_its_workers(tmp_path: Path) -> None:
    with streams() as (request, answer):
        ask(request, tmp_path, "sleep")

        def end() -> None:
            while not (tmp_path / "0.log").is_file() or not (tmp_path / "0.log").stat().st_size:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

        ender = threading.Thread(target=end)
        ender.start()
        ForkServer(worker).run()  # though its input is open
        ender.join()
        os.close(request)
        assert [row["code"] for row in read(answer) if "code" in row] == [-signal.SIGTERM]


def raising(error: BaseException) -> Callable[[], None]:
    def target() -> None:
        raise error

    return target


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (lambda: None, 0),
        (raising(SystemExit(3)), 3),
        (raising(SystemExit()), 0),
        (raising(SystemExit("a message")), 1),
        (raising(ValueError("wrong")), 1),
        (raising(KeyboardInterrupt()), 1),
    ],
)
def test_exit_codes_are_those_of_an_interpreter(
    target: Callable[[], None], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: shown.append(kind.__name__))
    assert _run(target) == code
    assert len(shown) == (code == 1 and "SystemExit" not in repr(target.__closure__))


def test_what_a_worker_becomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls that would end this process are recorded."""
    done: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "setsid", lambda: done.append(("session",)))
    monkeypatch.setattr(os, "dup2", lambda one, other: done.append(("stream", other)))
    monkeypatch.setattr(os, "_exit", lambda code: done.append(("exit", code)))
    monkeypatch.setattr(signal, "signal", lambda number, handler: done.append(("signal", number, handler)))
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda descriptor: done.append(("wake", descriptor)))
    monkeypatch.setattr(sys, "argv", ["server"])
    opened: list[int] = []
    open_file = os.open

    def record(*words: Any) -> int:
        opened.append(open_file(*words))
        return opened[-1]

    monkeypatch.setattr(os, "open", record)

    def target() -> None:
        done.append(("target", *sys.argv))
        raise SystemExit(4)

    _become(target, ["program", "word"], tmp_path / "log")
    defaults = [("signal", number, signal.SIG_DFL) for number in SIGNALS]
    assert done == [
        ("wake", -1), *defaults, ("session",), ("stream", 0), ("stream", 1), ("stream", 2),
        ("target", "program", "word"), ("exit", 4),
    ]  # fmt: skip
    done.clear()
    with pytest.raises(FileNotFoundError):
        _become(target, ["program"], tmp_path / "missing" / "log")
    assert done[-1] == ("exit", 1), "a worker without a log ends, and is no second server"
    for descriptor in opened:
        os.close(descriptor)


def test_an_answer_that_nobody_reads_is_dropped() -> None:
    with streams() as (request, answer):
        _answer(number=3, code=0)
        assert read(answer) == [{"number": 3, "code": 0}]
        os.close(request)
        end, closed = os.pipe()
        os.close(end)
        os.dup2(closed, 1)
        os.close(closed)
        _answer(number=4, code=0)


@pytest.mark.parametrize("alone", [True, False])
def test_only_a_process_of_one_thread_is_copied(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Callable[[], object]] = []
    monkeypatch.setattr(fork_server.gc, "freeze", lambda: None)
    monkeypatch.setattr(fork_server, "let_idle_threads_sleep", lambda: None)
    monkeypatch.setattr(fork_server, "is_single_threaded", lambda: alone)
    monkeypatch.setattr(ForkServer, "run", lambda self: ran.append(self._target))
    monkeypatch.setattr(sys, "argv", ["fork_server", "json:dumps", "string"])
    main()
    assert ran == [json.dumps] * alone


def test_threads_are_counted() -> None:
    release = threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    assert not is_single_threaded()
    release.set()
    other.join()
