"""Descriptions of steps, and the steps that are measured."""

import pytest

from pixelwise.networks.architectures import NetworkOptions
from pixelwise.sampling.patches import PatchOptions
from pixelwise.sampling.whole_images import ClassificationOptions
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.choices import TrainingBudget
from pixelwise.workflow.planning.preparation import (
    SegmentationPlanner,
    describe_network,
    make_patch_step,
    make_photo_step,
    step_times,
)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.125, 0.125), (0.03, 0.0625)])
def test_a_share_of_a_step_has_that_share_of_its_pixels(share: float, expected: float) -> None:
    config = Config(network=NetworkOptions(base=2, depth=1), patches=PatchOptions(height=64, width=64, batch=4))
    step, found = make_patch_step("cpu")(config, share)
    assert found == pytest.approx(expected)
    step()


def test_photos_are_measured_in_smaller_batches() -> None:
    config = Config(
        network=NetworkOptions(name="resnet20", base=2), photos=ClassificationOptions(side=16, shorter=16, batch=8)
    )
    step, found = make_photo_step("cpu")(config, 1 / 32)
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
    assert step_times("cpu", make_patch_step("cpu"), limit).seconds == pytest.approx(seconds)


def test_a_network_is_named_by_what_it_was_built_with() -> None:
    assert describe_network(NetworkOptions(depth=3, base=12)) == "unet of depth 3 and base width 12"
    assert describe_network(NetworkOptions(name="unet2015")) == "unet2015 of depth 4 and base width 32"
    on = describe_network(NetworkOptions(encoder="resnet18", base=16))
    assert on == "unet on resnet18 of total stride 32, decoder of base width 16"


def test_one_patch_is_no_patches() -> None:
    config = Config(network=NetworkOptions(base=8), patches=PatchOptions(batch=1), training=TrainingOptions(steps=1))
    size = f"{config.patches.height} x {config.patches.width}"
    assert SegmentationPlanner().describe(config) == f"unet of depth 4 and base width 8, 1 step of 1 patch of {size}"
