"""The measured speed of predictions."""

import pytest

from pixelwise.server.pace import Pace


def test_batches_that_overlap_count_their_time_once() -> None:
    pace = Pace()
    now = 0.0
    for _ in range(50):  # two at a time, each two seconds long, one ends every second
        pace.note(1, 100, began=now, ended=now + 2)
        now += 1
    assert pace.seconds(100) == pytest.approx(1.0, rel=0.05)
    assert pace.seconds(0, unknown=3) == pytest.approx(3.0, rel=0.05)


def test_a_pause_without_work_is_not_work() -> None:
    pace = Pace()
    for began in (0.0, 1000.0, 2000.0):
        pace.note(1, 100, began=began, ended=began + 1)
    assert pace.seconds(100) == pytest.approx(1.0)


def test_what_is_long_ago_counts_little() -> None:
    pace = Pace()
    pace.note(1, 100, began=0.0, ended=100.0)  # the first one waited for the model
    for number in range(60):
        pace.note(1, 100, began=100.0 + number, ended=101.0 + number)
    assert pace.seconds(100) == pytest.approx(1.0, rel=0.05)
