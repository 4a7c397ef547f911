"""Concurrent reading, computing and writing with threads and bounded queues.

Threads suffice because file access, decoders, numpy and the runtimes release the GIL. An exception in a thread is
raised in the caller at its next step.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_TIMEOUT = 0.1  # seconds after which a waiting thread checks whether it was stopped


class _End:
    """End marker of a queue: the error that stopped the producer, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Iterable[Item], depth: int = 2, name: str = "reader") -> Generator[Item, None, None]:
    """Yield `items`, which a thread of this name produces up to `depth` items ahead.

    Memory: `depth` items in the queue, one being produced, one held by the caller. Closing the generator stops the
    thread.
    """
    queue: Queue[Item | _End] = Queue(depth)
    stopped = Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not _put(queue, item, stopped):
                    return
        except BaseException as raised:
            error = raised
        _put(queue, _End(error), stopped)

    thread = Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item  # frees its memory while waiting for the next one
    finally:
        stopped.set()
        thread.join()


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, depth: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in order, computed by several threads.

    Parameters
    ----------
    items : iterable
        Iterated in the thread of the caller.
    depth : int
        Maximum number of items submitted and not yet yielded.

    Notes
    -----
    Submitted items are completed even if the caller stops or an earlier item fails.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="worker") as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            del item  # frees its memory while waiting for the next one
            while waiting and (len(waiting) >= depth or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _put(queue: "Queue[Item | _End]", item: Item | _End, stopped: Event) -> bool:
    """Put an item into the queue; return False if `stopped` is set before there is space."""
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_TIMEOUT)
        except Full:
            continue
        return True
    return False


class BackgroundWriter(Generic[Item]):
    """Context manager that calls `work` for each item in a separate thread, in order, and waits for the last one.

    Parameters
    ----------
    depth : int
        Length of the queue; `put` blocks while it is full.
    """

    def __init__(self, work: Callable[[Item], object], depth: int = 2) -> None:
        self._work = work
        self._queue: Queue[Item | _End] = Queue(depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="writer", daemon=True)

    def put(self, item: Item) -> None:
        """Add an item to the queue; raise the exception of an earlier item."""
        self._queue.put(item)
        self._raise()

    def __enter__(self) -> "BackgroundWriter[Item]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all items are processed, also if the block failed."""
        self._queue.put(_End(None))
        self._thread.join()
        if error is None:
            self._raise()

    def _run(self) -> None:
        while not isinstance(item := self._queue.get(), _End):
            if self._error is None:
                try:
                    self._work(item)
                except BaseException as raised:
                    self._error = raised
            del item

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
