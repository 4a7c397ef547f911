"""Mutated files, and the rule for reading them: a result or a PixelwiseError, within five seconds."""

import json
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pixelwise.errors import PixelwiseError

SECONDS = 5  # of the processor
WAITING = 600  # on the clock: other processes may hold the processor, and reading may wait for ever
FACTOR = int(os.environ.get("PIXELWISE_FUZZ", "1"))  # 1: a few seconds per format; 1000: hours


ODD: list[Any] = [None, "", "x", -1, 0, 1e400, 10**30, [], {}, [[]], [1], True, "../0", "\0", {"name": ""}]


class Hang(BaseException):
    """A reader did not return in time; not an Exception, so that no reader catches it."""


def examples(count: int) -> Any:
    """Return settings for `count` examples, times the environment variable PIXELWISE_FUZZ; above 1 they vary."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        derandomize=FACTOR == 1,
        database=None,
        suppress_health_check=checks,
    )


def edits(length: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Return lists of (position, byte)."""
    return st.lists(st.tuples(st.integers(0, length - 1), st.integers(0, 255)), min_size=1, max_size=8)


def mutate(content: bytes, changed: list[tuple[int, int]], cut: int | None) -> bytes:
    """Return `content` with some bytes replaced, then cut at `cut`."""
    mutated = bytearray(content)
    for position, byte in changed:
        mutated[position] = byte
    return bytes(mutated[:cut])


@contextmanager
def limited(seconds: float = SECONDS) -> Generator[None]:
    """Raise `Hang` if the block takes longer."""

    def ring(*_: object) -> None:
        raise Hang

    alarms = {signal.SIGALRM: (signal.ITIMER_REAL, WAITING), signal.SIGPROF: (signal.ITIMER_PROF, seconds)}
    before = {number: signal.signal(number, ring) for number in alarms}
    for timer, limit in alarms.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for number, (timer, _) in alarms.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def accept_or_refuse(read: Callable[[], object]) -> bool:
    """Return whether `read` accepts the file; a foreign exception or a hang fails the test."""
    refusal = ""
    try:
        with limited():
            read()
    except PixelwiseError as error:
        refusal = str(error)
    assert "\n" not in refusal
    return not refusal


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in inner for place in places(part, (*at, key)))]


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return a JSON value with the part at a path replaced."""
    if not at:
        return new
    copy = json.loads(json.dumps(value))
    target = copy
    for key in at[:-1]:
        target = target[key]
    target[at[-1]] = new
    return copy
