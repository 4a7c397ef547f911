"""The queue of predictions: small images that wait are computed together, late ones are dropped."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.server.failures import Failure
from pixelwise.server.limits import Limits
from pixelwise.server.metrics import Metrics
from pixelwise.server.pace import Pace
from pixelwise.server.worker_client import WorkerClient

MAX_BATCH = 8
"""Images that are computed together."""

SMALL = 2**20
"""Pixels of an image beside which others are computed; larger ones are alone in the memory of the worker."""

BATCH_PIXELS = 2**18
"""Pixels of a batch, unless one image has more: larger ones are not computed faster, and answered later."""

IN_FLIGHT = 3
"""Batches that the worker has: it works on two, and finds the next one when one of them is finished."""


@dataclass
class _Waiting:
    """A request that waits; `alone` if its worker died: then it must not be the fault of another one."""

    model: str
    request: dict[str, Any]
    pixels: int
    since: float
    seconds: float
    future: asyncio.Future[dict[str, Any]]
    alone: bool = False

    @property
    def shares(self) -> bool:
        """Whether others may be computed at the same time."""
        return not self.alone and self.pixels <= SMALL


class Predictions:
    """Predicts images, a few batches at the same time.

    Parameters
    ----------
    worker : WorkerClient
        Runs `workers.predictor`.
    pace : Pace, optional
        Updated with how long pixels take.
    """

    def __init__(self, worker: WorkerClient, limits: Limits, metrics: Metrics, pace: Pace | None = None) -> None:
        self._worker, self._limits, self._metrics, self._pace = worker, limits, metrics, pace or Pace()
        self._queue: deque[_Waiting] = deque()
        self._flying: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._due = False

    async def predict(
        self, model: Path, request: Mapping[str, Any], pixels: int, seconds: float | None = None
    ) -> dict[str, Any]:
        """Predict one image; `request` as in `workers.predictor`.

        It is given up after `seconds`, by default those of the limits.

        Raises
        ------
        Failure
            The image cannot be used, the worker died, or the deadline passed.
        """
        future = asyncio.get_running_loop().create_future()
        seconds = self._limits.deadline if seconds is None else seconds
        self._queue.append(_Waiting(str(model), dict(request), pixels, time.monotonic(), seconds, future))
        self._dispatch_soon()
        try:
            result = await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise Failure(504, "deadline", f"The prediction was not finished within {seconds:g} s.") from None
        if "error" in result:
            raise Failure(422, "bad_image", str(result["error"]["text"]))
        return result

    def _dispatch_soon(self) -> None:
        """Send batches once what arrives at the same time is in the queue."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._due = False
        while batch := self._next_batch():
            task = asyncio.create_task(self._compute(batch))
            self._flying[task] = batch
            task.add_done_callback(self._land)

    def _land(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        self._dispatch_soon()

    async def _compute(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        for waiting in batch:
            self._metrics.seconds.labels("wait").observe(began - waiting.since)
        self._metrics.batch_size.observe(len(batch))
        left = min(waiting.since + waiting.seconds for waiting in batch) - began
        key = batch[0].request["key"] if batch[0].alone else ""
        try:
            reply = await self._worker.call(
                "predict",
                key=key,
                seconds=max(1.0, left),
                model=batch[0].model,
                requests=[waiting.request for waiting in batch],
            )
        except Failure as failure:
            self._fail(batch, failure)
            return
        now = time.monotonic()
        self._metrics.seconds.labels("compute").observe(now - began)
        self._pace.note(len(batch), sum(waiting.pixels for waiting in batch), began, now)
        for waiting, result in zip(batch, reply.value["results"], strict=True):
            if not waiting.future.done():
                waiting.future.set_result(result)

    def _fail(self, batch: list[_Waiting], failure: Failure) -> None:
        """Refuse a batch; if the worker died, try each image of it once more, alone: one of them may have ended it."""
        again: list[_Waiting] = []
        for waiting in batch:
            if failure.status == 503 and not waiting.alone:
                waiting.alone = True
                again.append(waiting)
            elif not waiting.future.done():
                waiting.future.set_exception(failure)
        self._queue.extendleft(reversed(again))

    def _next_batch(self) -> list[_Waiting]:
        """Take the first request that is still waited for, and small ones of the same model behind it.

        None while the worker has enough, or has something that cannot share it with the next one.
        """
        batch: list[_Waiting] = []
        while self._queue and len(batch) < MAX_BATCH:
            waiting = self._queue[0]
            if waiting.future.done():
                self._queue.popleft()
                continue
            if not self._has_place(waiting) or (batch and not _fit(batch, waiting)):
                break
            batch.append(self._queue.popleft())
        return batch

    def _has_place(self, waiting: _Waiting) -> bool:
        flying = [one for batch in self._flying.values() for one in batch]
        return not flying or (len(self._flying) < IN_FLIGHT and all(one.shares for one in (waiting, *flying)))


def _fit(batch: list[_Waiting], other: _Waiting) -> bool:
    pixels = sum(waiting.pixels for waiting in (*batch, other))
    same = other.model == batch[0].model
    return same and batch[0].shares and other.shares and pixels <= BATCH_PIXELS
