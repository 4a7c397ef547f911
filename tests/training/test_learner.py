"""Training steps: schedule, skipped updates, EMA weights, deep supervision, and exact resuming."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.models import Segmenter
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner, TrainingOptions, centre
from pixelwise.training.losses import LossOptions, distance_loss, segmentation_loss
from pixelwise.training.pairwise_loss import pairwise_loss


def make_learner(**options: object) -> Learner:
    torch.manual_seed(0)
    network = build(NetworkOptions(base=8, depth=2, dropout=0.2))
    training = TrainingOptions(steps=20, **options)
    return Learner(network, training, LossOptions(), "cpu")


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 1, 32, 32, generator=generator)
    return images, (images[:, 0] > 0).to(torch.uint8)


def state(learner: Learner) -> dict[str, Tensor]:
    return {f"{g}.{n}": v.clone() for g, group in learner.tensors().items() for n, v in group.items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_training_lowers_the_loss_and_updates_the_ema() -> None:
    learner = make_learner(learning_rate=1e-2)
    losses = [learner.step(i, Batch(*batch(0))).loss for i in range(20)]
    assert losses[-1] < 0.6 * losses[0]
    average, weights = learner.average.state_dict(), learner.network.state_dict()
    assert any(not torch.equal(average[k], weights[k]) for k in weights)


def test_the_last_channel_learns_the_distance_and_the_others_the_classes() -> None:
    torch.manual_seed(0)
    network = build(NetworkOptions(base=8, depth=2, classes=4))
    options = TrainingOptions(steps=30, learning_rate=1e-2)
    learner = Learner(network, options, LossOptions(distance=2.0), "cpu")
    images, classes = batch(0)
    distances = torch.sigmoid(images[:, 0])
    logits = network.eval()(images)
    expected = segmentation_loss(logits[:, :3], classes, LossOptions())
    expected = expected + 2 * distance_loss(logits[:, 3], distances, classes)
    network.train()
    actual = learner._compute_loss(logits, images, classes, None, distances)
    torch.testing.assert_close(actual, expected)
    losses = [learner.step(i, Batch(images, classes, None, distances)).loss for i in range(30)]
    assert losses[-1] < 0.6 * losses[0]
    said = torch.sigmoid(learner.network.eval()(images).detach()[:, 3])
    assert float((said - distances).abs().mean()) < 0.12


def test_the_pairwise_loss_is_added_also_where_no_pixel_is_known() -> None:
    network = build(NetworkOptions(name="unet2015", base=2, classes=3))
    learner = Learner(network, TrainingOptions(), LossOptions(pairwise=3.0), "cpu")
    images = torch.randn(1, 1, 204, 204, generator=torch.Generator().manual_seed(0))
    unknown = torch.full((1, 204, 204), 255, dtype=torch.uint8)
    logits = network.eval()(images)
    edge = (204 - logits.shape[2]) // 2
    assert edge > 0, "the output is smaller than the image"
    expected = 3 * pairwise_loss(logits, images[..., edge:-edge, edge:-edge])
    torch.testing.assert_close(learner._compute_loss(logits, images, unknown, None), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_batch_that_is_not_finite_changes_nothing(bad: float) -> None:
    learner = make_learner()
    learner.step(0, Batch(*batch(0)))
    before = state(learner)
    images, targets = batch(1)
    images[0, 0, 3, 3] = bad
    result = learner.step(1, Batch(images, targets))
    assert not result.applied
    assert not math.isfinite(result.loss)
    assert same(before, state(learner))
    assert learner.skipped == 1
    assert learner.step(2, Batch(*batch(2))).applied
    assert learner.skipped == 0


def test_control_without_skipping_such_a_batch_corrupts_the_statistics() -> None:
    learner = make_learner()
    images, _ = batch(1)
    images[0, 0, 3, 3] = float("nan")
    learner.network.train()(images)
    norms = [m for m in learner.network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not all(bool(torch.isfinite(m.running_mean).all()) for m in norms if m.running_mean is not None)


def test_resuming_is_exact() -> None:
    straight = make_learner()
    for i in range(6):
        straight.step(i, Batch(*batch(i)))
    first = make_learner()
    for i in range(3):
        first.step(i, Batch(*batch(i)))
    torch.manual_seed(12345)  # other code may draw random numbers in between
    second = make_learner()
    # as loaded from a checkpoint: contiguous, not channels last
    second.load_tensors({g: {n: v.clone().contiguous() for n, v in t.items()} for g, t in first.tensors().items()})
    for i in range(3, 6):
        second.step(i, Batch(*batch(i)))
    assert same(state(straight), state(second))


def test_control_without_optimiser_state_weights_differ() -> None:
    straight, other = make_learner(), make_learner()
    for i in range(3):
        straight.step(i, Batch(*batch(i)))
    other.network.load_state_dict(straight.network.state_dict())
    other.average.load_state_dict(straight.average.state_dict())
    straight.step(3, Batch(*batch(3)))
    other.step(3, Batch(*batch(3)))
    assert not same(state(straight), state(other))


def test_targets_are_cropped_to_the_output_of_a_valid_network() -> None:
    targets = torch.arange(36).reshape(1, 6, 6)
    assert centre(targets, torch.zeros(1, 2, 2, 4)).tolist() == [[[13, 14, 15, 16], [19, 20, 21, 22]]]


def test_invalid_options_are_rejected() -> None:
    with pytest.raises(BadOption, match=r"expected training\.steps above 0; got 0"):
        TrainingOptions(steps=0)
    with pytest.raises(BadOption, match=r"training.momentum in \[0, 1\); got 1"):
        TrainingOptions(momentum=1.0)
    with pytest.raises(BadOption, match=r"training.warmup_share in \[0, 1\); got 1"):
        TrainingOptions(warmup_share=1.0)


def test_the_ema_decay_is_small_in_the_first_steps() -> None:
    """The decay of step i is at most (1 + i) / (10 + i), whatever the time constant."""
    learner = make_learner(ema_fraction=0.5, learning_rate=1e-2)
    expected = [p.detach().clone().double() for p in learner.average.parameters()]
    for i in range(3):
        learner.step(i, Batch(*batch(i)))
        decay = (1 + i) / (10 + i)  # 0.9 for a time constant of 10 steps
        for mean, weights in zip(expected, learner.network.parameters(), strict=True):
            mean.lerp_(weights.detach().double(), 1 - decay)
    for actual, mean in zip(learner.average.parameters(), expected, strict=True):
        torch.testing.assert_close(actual.double(), mean, rtol=1e-4, atol=1e-6)


def test_statistics_of_batch_normalisation_cover_many_images() -> None:
    """Images of two kinds take turns, in runs of ten steps: the statistics of the EMA weights are those of both."""
    torch.manual_seed(0)
    network = build(NetworkOptions(base=4, depth=1))
    learner = Learner(network, TrainingOptions(steps=200, learning_rate=1e-6), LossOptions(), "cpu")
    images, classes = batch(0)
    for index in range(200):
        learner.step(index, Batch(images + (3.0 if index // 10 % 2 else -3.0), classes))
    (name,) = [name for name, _ in network.named_buffers() if name.endswith("running_mean")][:1]
    kinds = [network.state_dict()[name], learner.average.state_dict()[name]]
    (convolution,) = [module for module in network.modules() if isinstance(module, nn.Conv2d)][:1]
    with torch.no_grad():
        dark, bright = ((convolution(images + offset)).mean((0, 2, 3)) for offset in (-3.0, 3.0))
    position = [float(((kind - dark) / (bright - dark)).median()) for kind in kinds]
    assert position[0] > 0.6, "control: the running statistics are nearly those of the last kind"
    assert position[1] == pytest.approx(0.5, abs=0.1)


def test_without_ema_the_weights_are_those_of_the_last_step() -> None:
    learner = make_learner(ema_fraction=0.0)
    for i in range(3):
        learner.step(i, Batch(*batch(i)))
    average, weights = learner.average.state_dict(), learner.network.state_dict()
    assert all(torch.equal(average[k], weights[k]) for k in weights if weights[k].is_floating_point())


def test_the_weight_map_is_cropped_like_the_targets() -> None:
    """Only the centre of the weight map affects the loss of a valid network."""

    def after(border: Tensor | None) -> float:
        torch.manual_seed(0)
        network = build(NetworkOptions(name="unet2015", base=2))
        options = TrainingOptions(steps=5)
        learner = Learner(network, options, LossOptions(border_weight=10.0), "cpu")
        image = torch.randn(1, 1, 188, 188, generator=torch.Generator().manual_seed(1))
        return learner.step(0, Batch(image, (image[:, 0] > 0).to(torch.uint8), border)).loss

    border = torch.zeros(1, 188, 188)
    plain = after(None)
    assert after(border) == pytest.approx(plain, rel=1e-6)
    border[:, :92] = 50.0
    assert after(border) == pytest.approx(plain, rel=1e-6)
    border[:, 92, 92] = 50.0
    assert after(border) != pytest.approx(plain, rel=1e-3)


def nested(precision: Literal["float32", "bfloat16"] = "float32", *, deep: bool = True, frozen: int = 0) -> Learner:
    torch.manual_seed(0)
    network = build(NetworkOptions(name="unetplusplus", base=4, depth=3, deep_supervision=deep))
    options = TrainingOptions(steps=5, precision=precision)
    return Learner(network, options, LossOptions(), "cpu", unfreeze_step=frozen)


def head_gradients(learner: Learner) -> list[float]:
    """Run one step and return the largest gradient of the weight of each head."""
    network = learner.network
    assert isinstance(network, Segmenter)
    heads = [p for name, p in network.head.named_parameters() if name.endswith("weight")]
    actual = [0.0] * len(heads)
    for place, weight in enumerate(heads):
        weight.register_hook(lambda g, place=place: actual.__setitem__(place, float(g.abs().max())))
    assert learner.step(0, Batch(*batch(0))).applied
    return actual


def test_the_loss_of_deep_supervision_is_the_mean_over_all_heads() -> None:
    learner = nested()
    images, targets = batch(0)
    with torch.no_grad():
        heads = nested().network.train().forward_heads(images)  # no dropout here: the same logits as in the step
    alone = [float(segmentation_loss(logits, targets, LossOptions())) for logits in heads]
    assert len(alone) == 3
    assert learner.step(0, Batch(images, targets)).loss == pytest.approx(sum(alone) / 3, rel=1e-5)
    # control: neither the loss of the mean of the logits, which prediction uses, nor that of the last head
    mean = float(segmentation_loss(sum(heads[1:], heads[0]) / 3, targets, LossOptions()))
    assert all(other != pytest.approx(sum(alone) / 3, rel=1e-3) for other in (mean, alone[-1]))


def test_every_head_gets_a_gradient() -> None:
    actual = head_gradients(nested())
    assert len(actual) == 3
    assert all(value > 0 for value in actual)


@pytest.mark.parametrize("network", [{"name": "unetplusplus"}, {"name": "unet"}, {"name": "attention_unet"}])
def test_with_one_head_the_loss_is_that_of_the_logits(network: dict[str, str]) -> None:
    torch.manual_seed(0)
    options = NetworkOptions(base=4, depth=2, **network)
    learner = Learner(build(options), TrainingOptions(steps=5), LossOptions(), "cpu")
    images, targets = batch(0)
    with torch.no_grad():
        logits = learner.average.train()(images)  # a copy of the network before the step
    assert learner.step(0, Batch(images, targets)).loss == float(segmentation_loss(logits, targets, LossOptions()))


@pytest.mark.parametrize(("precision", "kind"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_all_heads_use_the_given_precision(precision: Literal["float32", "bfloat16"], kind: torch.dtype) -> None:
    learner = nested(precision)
    kinds: list[torch.dtype] = []
    network = learner.network
    assert isinstance(network, Segmenter)
    for module in network.head.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, given, logits: kinds.append(logits.dtype))
    assert learner.step(0, Batch(*batch(0))).applied
    assert kinds == [kind] * 3


def test_resuming_deep_supervision_with_a_frozen_encoder_is_exact() -> None:
    straight, first, second = (nested(frozen=2) for _ in range(3))
    for i in range(4):
        straight.step(i, Batch(*batch(i)))
    for i in range(2):
        first.step(i, Batch(*batch(i)))
    second.load_tensors({g: {n: v.clone().contiguous() for n, v in t.items()} for g, t in first.tensors().items()})
    for i in range(2, 4):
        second.step(i, Batch(*batch(i)))
    assert same(state(straight), state(second))
