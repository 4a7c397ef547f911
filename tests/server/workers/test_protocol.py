"""Workers from the server's side: calls, errors, deaths, deadlines."""

import asyncio
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest

from bright import drawn_image
from pixelwise.errors import BadImage, BadModel
from pixelwise.io.write import png_bytes
from pixelwise.server.failures import Failure
from pixelwise.server.worker_client import WorkerClient
from pixelwise.server.workers.protocol import READY, Reply, _answer, run_worker

READER = "pixelwise.server.workers.reader"


def with_worker(use: Callable[[WorkerClient], Awaitable[Any]]) -> Any:
    """Run a coroutine with a running reader."""

    async def run() -> Any:
        worker = WorkerClient(READER)
        worker.start()
        try:
            await worker.wait_ready()
            return await use(worker)
        finally:
            await worker.close()

    return asyncio.run(run())


def test_calls_errors_mistakes_and_a_deadline(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(drawn_image()))
    (tmp_path / "b.png").write_bytes(b"nothing")

    async def use(worker: WorkerClient) -> tuple[Any, list[tuple[int, str]], int]:
        info = await worker.call("probe", path=str(tmp_path / "a.png"))
        failures: list[tuple[int, str]] = []
        for name, arguments in (("probe", {"path": str(tmp_path / "b.png")}), ("probe", {"no": 1}), ("tile", {})):
            try:
                await worker.call(name, **arguments)
            except Failure as failure:
                failures.append((failure.status, failure.message))
        with pytest.raises(Failure) as late:
            await worker.call("write_example", seconds=0.01, folder=str(tmp_path / "example"))
        return info.value, failures, late.value.status

    info, failures, late = with_worker(use)
    assert (info["height"], info["width"], info["bytes"]) == (96, 96, 96 * 96)
    assert [status for status, _ in failures] == [422, 500, 500]
    assert all(str(tmp_path) not in message for _, message in failures)
    assert late == 504


def test_a_worker_that_is_killed_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(drawn_image()))

    async def use(worker: WorkerClient) -> tuple[int | None, int | None]:
        first = worker.pid
        os.kill(first or 0, signal.SIGKILL)
        for _ in range(1000):
            with suppress(Failure):  # until the server has noticed
                await worker.call("probe", path=str(tmp_path / "a.png"))
                break
            await asyncio.sleep(0.05)
        return first, worker.pid

    first, second = with_worker(use)
    assert first != second


def test_a_call_that_was_let_in_before_the_worker_died_is_answered() -> None:
    """Between the check that the worker is ready and the call itself it may die, and all that waited be refused."""

    async def use(worker: WorkerClient) -> Failure:
        refused = asyncio.Event()
        worker._on_restart = refused.set
        worker.kill()
        await refused.wait()
        with pytest.raises(Failure) as died:
            await asyncio.wait_for(worker._call("probe", "", {"path": "a.png"}), 20)
        return died.value

    failure = with_worker(use)
    assert (failure.status, failure.code) == (503, "worker_died")


def test_an_input_that_ends_the_worker_is_not_tried_for_ever(tmp_path: Path) -> None:

    async def use(worker: WorkerClient) -> list[int]:
        statuses: list[int] = []
        for number in range(3):
            await worker.wait_ready()
            call = asyncio.create_task(worker.call("write_example", key="input", folder=str(tmp_path / str(number))))
            await asyncio.sleep(0.02)
            worker.kill()
            try:
                await call
            except Failure as failure:
                statuses.append(failure.status)
        return statuses

    assert with_worker(use) == [503, 503, 422]


def answers(monkeypatch: pytest.MonkeyPatch, *requests: dict[str, Any], **calls: Callable[..., Reply]) -> list[Any]:
    """Run a worker in this process; return the head and the payload of its replies."""

    def end(code: int) -> None:
        raise SystemExit(code)

    lines = b"".join(json.dumps({"arguments": {}, **request}).encode() + b"\n" for request in requests)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    kept = os.dup(1)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 1)
        try:
            with pytest.raises(SystemExit):
                run_worker(calls, prepare=lambda: Reply({"ready": True}))
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        written.seek(0)
        found: list[Any] = []
        for line in written:
            head = json.loads(line)
            found.append((head, written.read(head["bytes"])))
    return found


def test_a_worker_answers_and_stays_alive(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(kind: str) -> Reply:
        if kind == "memory":
            raise MemoryError
        if kind == "image":
            raise BadImage("an image", "a text", "Export it again.", "/home/ada/x.png")
        raise ZeroDivisionError("a mistake")

    def double(text: str) -> Reply:
        os.write(1, b"a library prints this")
        return Reply({"length": 2 * len(text)}, payload=2 * text.encode())

    requests = [
        {"id": 5 + n, "call": "fail", "arguments": {"kind": kind}} for n, kind in enumerate(("memory", "image", ""))
    ]
    replies = answers(
        monkeypatch, *requests, {"id": 9, "call": "double", "arguments": {"text": "ab\n"}}, fail=fail, double=double
    )
    ready, memory, image, mistake, good = [head for head, _ in replies]
    assert ready == {"id": READY, "ok": True, "value": {"ready": True}, "bytes": 0}
    assert [head["id"] for head in (memory, image, mistake, good)] == [5, 6, 7, 9]
    kinds = [head["value"]["kind"] for head in (memory, image, mistake) if not head["ok"]]
    assert kinds == ["MemoryError", "BadImage", "Internal"]
    assert "ada" not in json.dumps(image)
    assert "mistake" not in json.dumps(mistake), "the log has it, the client has not"
    assert good["value"] == {"length": 6}
    assert replies[-1][1] == b"ab\nab\n"
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_worker_that_cannot_prepare_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()

    def prepare() -> Reply:
        raise BadModel("a model", "an empty file", "Train one.")

    _answer(written, Lock(), READY, prepare, {})
    head = json.loads(written.getvalue())
    assert (head["id"], head["ok"], head["value"]["kind"]) == (READY, False, "BadModel")
