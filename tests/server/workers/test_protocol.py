"""Workers from the server's side: calls, errors, deaths, deadlines."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bright import drawn_image
from pixelwise.io.write import png_bytes
from pixelwise.server.failures import Failure
from pixelwise.server.worker_client import WorkerClient

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


def test_calls_errors_and_mistakes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(drawn_image()))
    (tmp_path / "b.png").write_bytes(b"nothing")

    async def use(worker: WorkerClient) -> tuple[Any, list[tuple[int, str]]]:
        info = await worker.call("probe", path=str(tmp_path / "a.png"))
        failures: list[tuple[int, str]] = []
        for name, arguments in (("probe", {"path": str(tmp_path / "b.png")}), ("probe", {"no": 1}), ("tile", {})):
            try:
                await worker.call(name, **arguments)
            except Failure as failure:
                failures.append((failure.status, failure.message))
        return info.value, failures

    info, failures = with_worker(use)
    assert (info["height"], info["width"], info["bytes"]) == (96, 96, 96 * 96)
    assert [status for status, _ in failures] == [422, 500, 500]
    assert all(str(tmp_path) not in message for _, message in failures)


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


def test_a_deadline_ends_the_call(tmp_path: Path) -> None:
    async def use(worker: WorkerClient) -> int:
        with pytest.raises(Failure) as late:
            await worker.call("write_example", seconds=0.01, folder=str(tmp_path / "example"))
        return late.value.status

    assert with_worker(use) == 504
