"""The steps that are measured."""

import pytest

from pixelwise.networks.architectures import NetworkOptions
from pixelwise.sampling.patches import PatchOptions
from pixelwise.sampling.whole_images import ClassificationOptions
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.choices import TrainingBudget
from pixelwise.workflow.planning.step_functions import make_image_step, make_patch_step, step_times
from pixelwise.workflow.planning.step_times import UNFINISHED_STEP


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.125, 0.125), (0.03, 0.0625)])
def test_a_share_of_a_step_has_that_share_of_its_pixels(share: float, expected: float) -> None:
    config = Config(network=NetworkOptions(base=2, depth=1), patches=PatchOptions(height=64, width=64, batch=4))
    step, found = make_patch_step("cpu")(config, share)
    assert found == pytest.approx(expected)
    step()


def test_photos_are_measured_in_smaller_batches() -> None:
    config = Config(
        network=NetworkOptions(name="resnet20", base=2),
        classification=ClassificationOptions(side=16, shorter=16, batch=8),
    )
    step, found = make_image_step("cpu")(config, 1 / 32)
    assert found == 2 / 8
    step()


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (TrainingBudget(seconds=60.0), 3.0),
        (TrainingBudget(seconds=300.0), 15.0),
        (TrainingBudget(steps=5, time_limit=60.0), 3.0),
        (TrainingBudget(), 20.0),
    ],
)
def test_measuring_takes_a_twentieth_of_the_time(limit: TrainingBudget, seconds: float) -> None:
    allowed = step_times(make_patch_step("cpu"), limit).seconds
    assert allowed == pytest.approx(UNFINISHED_STEP * seconds)
