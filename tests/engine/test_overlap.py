"""Threads that read ahead and write behind: order, bounds, errors, and no thread left over."""

import threading
import time
from collections.abc import Iterator

import pytest

from pixelwise.engine.overlap import Behind, ahead


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"reader", "writer"}


def test_items_come_in_order_and_not_too_far_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    seen = -1
    for seen, number in enumerate(ahead(items(), depth=2)):
        assert number == seen
        time.sleep(0.002)
        assert len(made) <= seen + 1 + 2 + 1
    assert seen == 19
    assert threads() == set()


def test_a_reader_works_while_the_caller_does() -> None:
    def slow() -> Iterator[int]:
        for number in range(10):
            time.sleep(0.02)
            yield number

    began = time.monotonic()
    for _ in ahead(slow()):
        time.sleep(0.02)
    assert time.monotonic() - began < 0.37, "10 x 0.04 s one after the other"


def test_errors_of_the_reader_reach_the_caller() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="torn"):
        next(stream)
    assert threads() == set()


def test_a_reader_stops_when_nobody_wants_more() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 0

    stream = ahead(endless())
    next(stream)
    stream.close()
    assert threads() == set()


def test_a_writer_keeps_order_and_is_done_at_the_end() -> None:
    written: list[int] = []

    def write(number: int) -> None:
        time.sleep(0.001)
        written.append(number)

    with Behind(write) as writer:
        for number in range(20):
            writer.put(number)
    assert written == list(range(20))
    assert threads() == set()


def test_errors_of_the_writer_reach_the_caller_and_nothing_more_is_written() -> None:
    written: list[int] = []

    def write(number: int) -> None:
        if number == 3:
            raise OSError("full")
        written.append(number)

    def hand_over(*numbers: int) -> None:
        with Behind(write) as writer:
            for number in numbers:
                writer.put(number)

    with pytest.raises(OSError, match="full"):
        hand_over(*range(1000))
    assert written == [0, 1, 2]
    with pytest.raises(OSError, match="full"):
        hand_over(3)
    assert threads() == set()


def test_what_was_handed_over_is_written_when_the_caller_fails() -> None:
    written: list[int] = []

    def fail() -> None:
        with Behind(written.append) as writer:
            writer.put(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert written == [1]
