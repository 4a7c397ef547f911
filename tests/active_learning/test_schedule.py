"""The trainings of a forecast within its time budget."""

from pathlib import Path

import pytest

from pixelwise.active_learning.schedule import ForecastSchedule, SubsetTraining, check_share, choose_schedule
from pixelwise.errors import BadDataset, BadOption

DATA = Path("DATA")


@pytest.mark.parametrize(
    ("seconds", "sizes", "repeats"),
    [
        (720.0, (3, 5, 9, 18), 3),  # a minute for each of twelve
        (719.0, (3, 5, 9, 18), 2),
        (480.0, (3, 5, 9, 18), 2),  # a minute for each of eight
        (479.0, (5, 9, 18), 2),
        (239.0, (3, 5, 9, 18), 2),  # less than a minute for each of four: 20 seconds are enough
        (130.0, (5, 9, 18), 2),
        (100.0, (5, 18), 2),
        (40.0, (5, 18), 2),
        (None, (3, 5, 9, 18), 2),
    ],
)
def test_more_time_makes_more_trainings(seconds: float | None, sizes: tuple[int, ...], repeats: int) -> None:
    found = choose_schedule(18, seconds, DATA)
    assert (found.sizes, found.repeats) == (sizes, repeats)


@pytest.mark.parametrize("cases", range(4, 40))
def test_every_schedule_has_two_sizes_and_a_repeat(cases: int) -> None:
    for seconds in (40.0, 100.0, 1000.0, None):
        found = choose_schedule(cases, seconds, DATA)
        assert len(found.sizes) >= 2
        assert found.sizes[-1] == cases
        assert found.repeats >= 2


def test_each_size_comes_once_before_any_comes_again() -> None:
    schedule = ForecastSchedule(sizes=(2, 4, 8), repeats=2)
    assert [training.name for training in schedule.trainings] == ["2-1", "4-1", "8-1", "2-2", "4-2", "8-2"]
    assert schedule.committee(schedule.trainings[:4]) == [
        SubsetTraining(masks=4, repeat=1),
        SubsetTraining(masks=8, repeat=1),
    ]


def test_too_few_images_and_too_little_time_are_refused() -> None:
    with pytest.raises(BadDataset, match="DATA: expected at least 4 labelled training images; got 3 images"):
        choose_schedule(3, None, DATA)
    with pytest.raises(BadOption, match="10 s per training; got 8 s for each of 4 trainings"):
        choose_schedule(18, 33.0, DATA)
    with pytest.raises(BadOption, match=r"got 0 s for each of 4 trainings"):
        check_share(-3.0, ForecastSchedule(sizes=(2, 4), repeats=2))
