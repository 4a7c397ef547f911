"""The queue in front of the worker that predicts: requests that wait are computed together, late ones are dropped."""

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
from pixelwise.server.worker_client import WorkerClient

MAX_BATCH = 8
"""Images that are computed together."""

_SMALL = 2**20  # pixels of an image that may share a batch


@dataclass
class _Waiting:
    model: str
    request: dict[str, Any]
    pixels: int
    since: float
    future: asyncio.Future[dict[str, Any]]


class Predictions:
    """Predicts images one batch after the other.

    Parameters
    ----------
    worker : WorkerClient
        Runs `workers.predictor`.
    limits : Limits
    metrics : Metrics
    """

    def __init__(self, worker: WorkerClient, limits: Limits, metrics: Metrics) -> None:
        self._worker, self._limits, self._metrics = worker, limits, metrics
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def predict(self, model: Path, request: Mapping[str, Any], pixels: int) -> dict[str, Any]:
        """Predict one image; `request` as in `workers.predictor`.

        Raises
        ------
        Failure
            The image cannot be used, the worker died, or the deadline passed.
        """
        future = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(str(model), dict(request), pixels, time.monotonic(), future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        try:
            result = await asyncio.wait_for(future, self._limits.deadline)
        except TimeoutError:
            seconds = self._limits.deadline
            raise Failure(504, "deadline", f"The prediction was not finished within {seconds:g} s.") from None
        if "error" in result:
            raise Failure(422, "bad_image", str(result["error"]["text"]))
        return result

    async def _work(self) -> None:
        while batch := self._next_batch():
            began = time.monotonic()
            for waiting in batch:
                self._metrics.seconds.labels("wait").observe(began - waiting.since)
            self._metrics.batch_size.observe(len(batch))
            await self._compute(batch)
            self._metrics.seconds.labels("compute").observe(time.monotonic() - began)

    async def _compute(self, batch: list[_Waiting]) -> None:
        key = batch[0].request["key"] if len(batch) == 1 else ""
        requests = [waiting.request for waiting in batch]
        left = self._limits.deadline - (time.monotonic() - min(waiting.since for waiting in batch))
        try:
            reply = await self._worker.call(
                "predict", key=key, seconds=max(1.0, left), model=batch[0].model, requests=requests
            )
            results = reply.value["results"]
        except Failure as failure:
            if failure.status == 503 and len(batch) > 1:  # one of them ended the worker: each is tried alone
                for waiting in batch:
                    await self._compute([waiting])
                return
            for waiting in batch:
                if not waiting.future.done():
                    waiting.future.set_exception(failure)
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(result)

    def _next_batch(self) -> list[_Waiting]:
        """Take the first request that is still waited for, and small ones of the same model behind it."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < MAX_BATCH:
            waiting = self._queue[0]
            fits = not batch or (waiting.model == batch[0].model and max(waiting.pixels, batch[0].pixels) <= _SMALL)
            if not fits:
                break
            self._queue.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        return batch
