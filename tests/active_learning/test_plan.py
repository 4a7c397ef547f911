"""The time budget of a forecast, and the plan shared by its trainings."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.active_learning.plan import _count_scored, _scale_steps, _without_selection
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit.run_metadata import with_own_seed


@pytest.mark.parametrize(
    ("left", "each", "images"),
    [
        (600.0, 1.0, 72),  # 12 % of the time
        (600.0, 20.0, 5),  # 12 % would be 3: five take 17 %
        (600.0, 60.0, 3),  # five would take half of it: 30 % make three
        (600.0, 900.0, 1),
    ],
)
def test_scoring_takes_its_share_and_more_only_where_images_are_few(left: float, each: float, images: int) -> None:
    assert _count_scored(left, each) == images


@given(left=st.floats(10, 1e5), each=st.floats(1e-3, 1e4))
def test_scoring_never_takes_most_of_the_time(left: float, each: float) -> None:
    assert _count_scored(left, each) == 1 or _count_scored(left, each) * each <= 0.3 * left + 1e-6


def test_steps_follow_the_time_but_not_where_the_user_has_set_them() -> None:
    config = with_settings(Config(), {"training.steps": 200}, {})
    assert _scale_steps(config, 30.0, 60.0).training.steps == 100
    fixed = replace(config, origins={"training.steps": "user"})
    assert _scale_steps(fixed, 30.0, 60.0).training.steps == 200


def test_trainings_are_equal_and_each_draws_for_itself() -> None:
    config = _without_selection(with_settings(Config(), {"training.steps": 200, "training.budget": 60.0}, {}))
    training = config.training
    assert (training.steps, training.budget, training.validate_every) == (200, None, 200)
    assert (training.keep, training.patience, training.tune) == ("last", 0, False)
    seeds = [with_own_seed(config, number, "forecast").training.seed for number in (1, 2, 3)]
    assert seeds == [0, 1, 2]
