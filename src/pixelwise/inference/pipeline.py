"""Reading, computing and writing at the same time: threads ahead, threads behind, short queues between them.

Threads: files, decoders and numpy release Python's lock, and so do the runtimes. What goes wrong in a thread goes wrong
in the caller, at its next step.
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
_WAIT = 0.1  # seconds after which a waiting thread looks whether it is still needed


class _End:
    """What a reader puts behind its last item: the error that stopped it, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Iterable[Item], depth: int = 2, name: str = "reader") -> Generator[Item, None, None]:
    """Yield `items`, which a thread of this name makes up to `depth` steps ahead.

    Memory: `depth` items in the queue, one in the making, one with the caller. Closing the generator stops the thread.
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
            del item  # while the next is waited for, this one must not stay in memory
    finally:
        stopped.set()
        thread.join()


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, depth: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in order, while several threads are at work on the items behind it.

    Parameters
    ----------
    function : callable
    items : iterable
        Taken here, in the thread of the caller.
    threads : int
    depth : int
        Items that are begun, or done and not yet yielded, at most.

    Notes
    -----
    What was begun is done, also where the caller stops or an earlier item has failed.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="worker") as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            del item  # while the next is waited for, this one must not stay in memory
            while waiting and (len(waiting) >= depth or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _put(queue: "Queue[Item | _End]", item: Item | _End, stopped: Event) -> bool:
    """Put an item into the queue as soon as there is room; False when nobody waits for it any more."""
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_WAIT)
        except Full:
            continue
        return True
    return False


class BackgroundWriter(Generic[Item]):
    """Calls `work` for each item in a thread of its own, in order; a context that waits for the last one.

    Parameters
    ----------
    work : callable
    depth : int
        Items that may wait; `put` waits while there are as many.
    """

    def __init__(self, work: Callable[[Item], object], depth: int = 2) -> None:
        self._work = work
        self._queue: Queue[Item | _End] = Queue(depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="writer", daemon=True)

    def put(self, item: Item) -> None:
        """Hand over an item; raises what an earlier one raised."""
        self._queue.put(item)
        self._raise()

    def __enter__(self) -> "BackgroundWriter[Item]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all is done; where the block failed, what waits is still written."""
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
