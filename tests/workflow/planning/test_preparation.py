"""The speed of a training step is measured, in a share of the time that is to be filled."""

import pytest
import torch
from torch import Tensor

from pixelwise.engine.task import Learner, StepResult, TrainingOptions
from pixelwise.images.patches import PatchOptions
from pixelwise.networks.architectures import NetworkOptions
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning import preparation
from pixelwise.workflow.planning.choices import Limit
from pixelwise.workflow.planning.preparation import MaskPreparation, describe_network, seconds_per_step


def draw(config: Config) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 1, 16, 16), torch.zeros(1, 16, 16, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("each", "limit", "steps"),
    [
        (0.1, Limit(seconds=600.0), 7),
        (2.0, Limit(seconds=600.0), 5),  # 5 s are spent, and three steps are counted
        (40.0, Limit(seconds=600.0), 2),  # a tenth of the budget is spent
        (4.0, Limit(seconds=60.0), 2),
        (40.0, Limit(steps=10), 5),  # nothing to keep to
        (40.0, Limit(), 2),  # ten minutes are proposed
    ],
)
def test_measuring_does_not_eat_up_the_time_it_measures_for(
    monkeypatch: pytest.MonkeyPatch, each: float, limit: Limit, steps: int
) -> None:
    done: list[int] = []

    def step(learner: Learner, index: int, images: Tensor, targets: Tensor) -> StepResult:
        done.append(index)
        return StepResult(1.0, applied=True)

    # the first step is slower, as real ones are, and must not count
    monkeypatch.setattr(preparation.time, "perf_counter", lambda: len(done) * each + (each if done else 0.0))
    monkeypatch.setattr(Learner, "step", step)
    config = Config(network=NetworkOptions(base=2, depth=1))
    assert seconds_per_step(config, "cpu", draw, limit) == pytest.approx(each)
    assert done == list(range(steps))


def test_a_network_is_named_by_what_it_was_built_with() -> None:
    assert describe_network(NetworkOptions(depth=3, base=12)) == "unet of depth 3 and base width 12"
    # options that a network does not read are not told
    assert describe_network(NetworkOptions(name="unet2015", depth=2)) == "unet2015 of depth 4 and base width 32"
    on = describe_network(NetworkOptions(encoder="resnet18", base=16))
    assert on == "unet on resnet18 of total stride 32, decoder of base width 16"


def test_one_patch_is_no_patches() -> None:
    config = Config(network=NetworkOptions(base=8), patches=PatchOptions(batch=1), training=TrainingOptions(steps=1))
    size = f"{config.patches.height} x {config.patches.width}"
    assert MaskPreparation().describe(config) == f"unet of depth 4 and base width 8, 1 step of 1 patch of {size}"
