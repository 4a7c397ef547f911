"""Prefetching, background writing and ordered mapping: order, queue lengths, errors, and end of threads."""

import threading
import time
from collections.abc import Iterator

import pytest

from pixelwise.inference.pipeline import BackgroundWriter, ordered_map, prefetch


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"reader", "writer"}


def test_items_are_in_order_and_not_too_far_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    seen = -1
    for seen, number in enumerate(prefetch(items(), depth=2)):
        assert number == seen
        time.sleep(0.002)
        assert len(made) <= seen + 1 + 2 + 1
    assert seen == 19
    assert threads() == set()


def test_a_reader_works_while_the_caller_does() -> None:
    begun = [threading.Event() for _ in range(10)]

    def items() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in prefetch(items()):
        assert number == 9 or begun[number + 1].wait(20), "the next item is started while the caller holds this one"
    assert all(event.is_set() for event in begun)
    for event in begun:
        event.clear()
    assert not any(begun[number + 1].is_set() for number in items() if number < 9), "control: without prefetching"


def test_errors_of_the_reader_reach_the_caller() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    stream = prefetch(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="torn"):
        next(stream)
    assert threads() == set()


def test_a_closed_reader_stops() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 0

    stream = prefetch(endless())
    next(stream)
    stream.close()
    assert threads() == set()


def test_a_writer_keeps_order_and_is_done_at_the_end() -> None:
    written: list[int] = []

    def write(number: int) -> None:
        time.sleep(0.001)
        written.append(number)

    with BackgroundWriter(write) as writer:
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
        with BackgroundWriter(write) as writer:
            for number in numbers:
                writer.put(number)

    with pytest.raises(OSError, match="full"):
        hand_over(*range(1000))
    assert written == [0, 1, 2]
    with pytest.raises(OSError, match="full"):
        hand_over(3)
    assert threads() == set()


def test_queued_items_are_written_when_the_caller_fails() -> None:
    written: list[int] = []

    def fail() -> None:
        with BackgroundWriter(written.append) as writer:
            writer.put(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert written == [1]


def test_several_threads_keep_the_order_and_wait_for_one_another() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(number: int) -> int:
        both.wait()
        time.sleep(0.01 * (number % 2 == 0))
        return -number

    assert list(ordered_map(work, range(8), threads=2, depth=4)) == [-number for number in range(8)]


@pytest.mark.parametrize("depth", [1, 3])
def test_the_number_of_submitted_items_is_limited(depth: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for seen, number in enumerate(ordered_map(lambda number: number, items(), threads=2, depth=depth)):
        assert number == seen
        assert len(taken) <= seen + depth


def test_submitted_items_are_completed_after_an_error_or_close() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        time.sleep(0.02)
        if number == 0:
            raise OSError("full")
        done.append(number)
        return number

    with pytest.raises(OSError, match="full"):
        list(ordered_map(work, [0, 1, 2], threads=3, depth=3))
    assert sorted(done) == [1, 2]
    stream = ordered_map(work, range(3, 100), threads=2, depth=3)
    assert next(stream) == 3
    stream.close()
    assert sorted(done) == [1, 2, 3, 4, 5]
