"""Fine-tuning: a frozen encoder does not change and is trained afterwards; layer-wise learning-rate decay."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.training.batch import Batch
from pixelwise.training.fine_tuning import FineTuningOptions, freeze_encoder, learning_rate_factors, unfreeze_step
from pixelwise.training.learner import Learner, TrainingOptions
from pixelwise.training.losses import LossOptions
from pixelwise.training.schedule import middle_of_step

PLAIN = TrainingOptions(steps=20, weight_decay=0.1)


def make_learner(frozen: int, options: TrainingOptions = PLAIN, layer_decay: float = 1.0) -> Learner:
    torch.manual_seed(0)
    network = build(NetworkOptions(base=8, depth=2, dropout=0.2))
    return Learner(network, options, LossOptions(), "cpu", layer_decay=layer_decay, unfreeze_step=frozen)


def batch(seed: int) -> tuple[Tensor, Tensor]:
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    return images, (images[:, 0] > 0).to(torch.uint8)


def learn(learner: Learner, first: int, last: int) -> None:
    for index in range(first, last):
        assert learner.step(index, Batch(*batch(index))).applied


def values(learner: Learner, which: str, name: str) -> dict[str, Tensor]:
    """Return weights and statistics of the encoder or the decoder, of the network or its EMA."""
    return {k: v.clone() for k, v in learner.tensors()[which].items() if k.startswith(name)}


def moved(before: dict[str, Tensor], after: dict[str, Tensor], ending: str = "") -> list[bool]:
    return [not torch.equal(before[k], after[k]) for k in before if k.endswith(ending)]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_frozen_encoder_does_not_change_and_is_trained_afterwards(optimiser: str) -> None:
    learner = make_learner(3, replace(PLAIN, optimiser=optimiser))
    encoder, decoder = (values(learner, "weights", name) for name in ("encoder", "decoder"))
    average = values(learner, "average", "encoder")
    learn(learner, 0, 3)
    assert not any(moved(encoder, values(learner, "weights", "encoder")))  # statistics and decay included
    assert not any(moved(average, values(learner, "average", "encoder")))
    assert all(moved(decoder, values(learner, "weights", "decoder"), "weight"))
    assert all(moved(decoder, values(learner, "weights", "decoder"), "running_mean"))
    learn(learner, 3, 4)
    after = values(learner, "weights", "encoder")
    assert all(moved(encoder, after, "weight"))
    assert all(moved(encoder, after, "running_mean"))
    assert all(moved(average, values(learner, "average", "encoder"), "weight"))


def test_control_without_freezing_weights_and_statistics_change_at_once() -> None:
    learner = make_learner(0)
    encoder = values(learner, "weights", "encoder")
    learn(learner, 0, 1)
    assert all(moved(encoder, values(learner, "weights", "encoder"), "weight"))
    assert all(moved(encoder, values(learner, "weights", "encoder"), "running_mean"))


def test_a_frozen_encoder_has_no_gradient_but_active_dropout() -> None:
    learner = make_learner(5)
    learn(learner, 0, 1)
    encoder = learner.network.encoder
    assert isinstance(encoder, nn.Module)
    assert not any(p.requires_grad for p in encoder.parameters())
    kinds = {type(m): m.training for m in encoder.modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout)}
    assert kinds == {nn.BatchNorm2d: False, nn.Dropout: True}


@pytest.mark.parametrize("stop", [2, 4, 5])
def test_resuming_is_exact(stop: int) -> None:
    """Stop while the encoder is frozen, when it is unfrozen, and after."""
    straight = make_learner(4)
    learn(straight, 0, 7)
    first = make_learner(4)
    learn(first, 0, stop)
    second = make_learner(4)
    second.load_tensors({g: {n: v.clone().contiguous() for n, v in t.items()} for g, t in first.tensors().items()})
    learn(second, stop, 7)
    for which in ("weights", "average", "optimiser"):
        assert not any(moved(values(straight, which, ""), values(second, which, "")))
    # control: another unfreeze step gives other weights
    other = make_learner(5)
    learn(other, 0, 7)
    assert any(moved(values(straight, "weights", "encoder"), values(other, "weights", "encoder")))


def test_stages_further_from_the_decoder_learn_more_slowly() -> None:
    network = build(NetworkOptions(base=4, depth=2))
    factors = learning_rate_factors(network, 0.5)
    encoder: Any = network.encoder
    assert set(factors) == set(encoder.parameters())
    by_stage = [{factors[p] for module in modules for p in module.parameters()} for modules in encoder.parts()]
    assert by_stage == [{0.125}, {0.25}, {0.5}]
    assert learning_rate_factors(network, 1.0) == {}
    assert learning_rate_factors(nn.Conv2d(1, 1, 1), 0.5) == {}


def test_the_factors_apply_to_the_update() -> None:
    """The first step of Adam changes each weight by its learning rate, whatever the gradient (without decay)."""
    learner = make_learner(0, TrainingOptions(steps=20, weight_decay=0.0), layer_decay=0.1)
    before = values(learner, "weights", "")
    learn(learner, 0, 1)
    after = values(learner, "weights", "")
    step = {k: float((before[k] - after[k]).abs().max()) for k in before if k.endswith("weight")}
    rate = learner.schedule.rate(middle_of_step(0, 20))
    assert step["encoder.stages.2.layers.0.weight"] == pytest.approx(0.1 * rate, rel=0.01)
    assert step["encoder.stages.0.layers.0.weight"] == pytest.approx(0.001 * rate, rel=0.05)
    assert max(v for k, v in step.items() if k.startswith("decoder")) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("", 0), ("200st", 200), ("20%", 300), ("5ep", 63), ("1 ep", 13), ("0.5ep", 7), ("100%", 1500), ("0st", 0)],
)
def test_frozen_steps(text: str, steps: int) -> None:
    # 12.5 steps per epoch; 1500 planned steps
    assert unfreeze_step(FineTuningOptions(freeze=text), 1500, 12.5) == steps


@pytest.mark.parametrize("text", ["soon", "5", "ep", "-1st", "5 epochs", "1e3st"])
def test_invalid_durations_are_rejected(text: str) -> None:
    with pytest.raises(BadOption, match=r"expected transfer\.freeze as a number with ep, st or %"):
        FineTuningOptions(freeze=text)


@pytest.mark.parametrize("rate", [0.0, -0.5, 1.5])
def test_invalid_decays_are_rejected(rate: float) -> None:
    with pytest.raises(BadOption, match=r"transfer\.layer_decay above 0 and at most 1"):
        FineTuningOptions(layer_decay=rate)


def test_a_network_without_encoder_cannot_be_frozen() -> None:
    with pytest.raises(BadOption, match=r"expected a network with an encoder for transfer\.freeze; got Conv2d"):
        freeze_encoder(nn.Conv2d(1, 1, 1), frozen=True)
