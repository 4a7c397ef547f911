"""The queue of predictions, with a worker that only takes notes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pixelwise.server.failures import Failure
from pixelwise.server.limits import Limits
from pixelwise.server.metrics import Metrics
from pixelwise.server.predictions import BATCH_PIXELS, IN_FLIGHT, MAX_BATCH, Predictions
from pixelwise.server.worker_client import WorkerClient
from pixelwise.server.workers.protocol import Reply

SMALL, LARGE = 1000, 2**20 + 1


class Notes(WorkerClient):
    """Answers each image with its name; an image named `bad` is refused, one named `fatal` ends the worker."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__("no_module")
        self.batches: list[list[str]] = []
        self.keys: list[str] = []
        self.wait, self.flying, self.most = seconds, 0, 0

    async def call(self, name: str, *, key: str = "", seconds: float | None = None, **arguments: Any) -> Reply:
        images = [request["image"] for request in arguments["requests"]]
        self.batches.append(images)
        self.keys.append(key)
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(self.wait)
        self.flying -= 1
        if "fatal" in images:
            raise Failure(503, "worker_died", "The worker ended.", retry_after=1)
        error = {"kind": "BadImage", "text": "Expected an image."}
        return Reply({"results": [{"error": error} if image == "bad" else {"image": image} for image in images]})


async def ask(queue: Predictions, image: str, pixels: int = SMALL, model: str = "m") -> str:
    try:
        return str((await queue.predict(Path(model), {"image": image, "key": image}, pixels))["image"])
    except Failure as failure:
        return str(failure.status)


def run(worker: Notes, *questions: tuple[Any, ...], deadline: float = 30.0) -> list[str]:
    """Ask everything at once; return the answers."""

    async def all_at_once() -> list[str]:
        queue = Predictions(worker, Limits(deadline=deadline), Metrics())
        return await asyncio.gather(*(ask(queue, *question) for question in questions))

    return asyncio.run(all_at_once())


def test_small_images_that_wait_are_computed_together() -> None:
    worker = Notes()
    names = [str(number) for number in range(2 * MAX_BATCH + 1)]
    assert run(worker, *((name,) for name in names)) == names, "everybody gets the own answer"
    assert [len(batch) for batch in worker.batches] == [MAX_BATCH, MAX_BATCH, 1]


def test_a_batch_has_no_more_pixels_than_are_computed_fast() -> None:
    worker = Notes()
    run(worker, *((str(number), BATCH_PIXELS // 2) for number in range(4)), ("large", BATCH_PIXELS + 1), ("last",))
    assert worker.batches == [["0", "1"], ["2", "3"], ["large"], ["last"]]


def test_a_few_batches_are_sent_at_the_same_time_but_a_large_image_alone() -> None:
    worker = Notes(0.01)
    run(worker, *((str(number), BATCH_PIXELS) for number in range(9)))
    assert worker.most == IN_FLIGHT
    worker = Notes(0.01)
    run(worker, *((str(number), LARGE) for number in range(3)), ("small",))
    assert worker.most == 1


def test_large_images_and_other_models_are_not_mixed() -> None:
    worker = Notes()
    run(worker, ("a",), ("b", LARGE), ("c",), ("d", SMALL, "n"), ("e", SMALL, "n"))
    assert worker.batches == [["a"], ["b"], ["c"], ["d", "e"]]


def test_a_bad_image_does_not_spoil_its_batch() -> None:
    assert run(Notes(), ("a",), ("bad",), ("c",)) == ["a", "422", "c"]


def test_images_beside_one_that_ends_the_worker_are_tried_again() -> None:
    worker = Notes()
    assert run(worker, ("a",), ("fatal",), ("c",)) == ["a", "503", "c"]
    assert worker.batches == [["a", "fatal", "c"], ["a"], ["fatal"], ["c"]]
    assert worker.keys == ["", "a", "fatal", "c"], "only what was alone with it can have ended the worker"


def test_work_that_is_too_late_is_not_computed() -> None:
    worker = Notes(0.4)
    answers = run(worker, ("a", LARGE), ("b", LARGE), ("c", LARGE), deadline=0.6)
    assert answers == ["a", "504", "504"]
    assert ["c"] not in worker.batches


def test_a_large_image_may_have_more_time() -> None:
    queue = Predictions(Notes(0.3), Limits(deadline=0.1), Metrics())
    answer = asyncio.run(queue.predict(Path("m"), {"image": "a", "key": "a"}, LARGE, seconds=20.0))
    assert answer == {"image": "a"}


@pytest.mark.parametrize("name", ["wait", "compute"])
def test_times_are_measured(name: str) -> None:
    worker, metrics = Notes(), Metrics()

    async def once() -> str:
        return await ask(Predictions(worker, Limits(), metrics), "a")

    assert asyncio.run(once()) == "a"
    assert f'pixelwise_prediction_seconds_count{{step="{name}"}} 1.0' in metrics.text().decode()
