"""A taught network comes nearer to its teacher, in what it says of the very images it is shown."""

from copy import deepcopy

import pytest
import torch

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.training.distillation_loss import SHARE, Teacher
from pixelwise.training.learner import Learner, TrainingOptions
from pixelwise.training.losses import LossOptions, distillation_loss

OPTIONS = NetworkOptions(base=4, depth=2, classes=3)


def learn(teacher: Teacher | None, steps: int = 60) -> Learner:
    torch.manual_seed(1)
    options = TrainingOptions(steps=steps, learning_rate=5e-3)
    learner = Learner(build(OPTIONS), options, LossOptions(), "cpu", teacher=teacher)
    for index in range(steps):
        torch.manual_seed(100 + index)
        images = torch.randn(2, 1, 32, 32)
        learner.step(index, images, torch.randint(3, (2, 32, 32), dtype=torch.uint8))
    return learner


def test_a_taught_network_says_what_its_teacher_says() -> None:
    """The labels are noise; the control learns from them alone."""
    torch.manual_seed(0)
    network = build(OPTIONS).eval()
    with torch.no_grad():
        network.state_dict()["head.layer.bias"].copy_(torch.tensor([3.0, 0.0, -3.0]))
    teacher, before = Teacher(network, 3), deepcopy(network.state_dict())
    torch.manual_seed(7)
    images = torch.randn(4, 1, 32, 32)
    far: list[float] = []
    for learner in (learn(teacher), learn(None)):
        with torch.no_grad():
            far.append(float(distillation_loss(learner.network.eval()(images), network(images), 3)))
    assert far[0] < 0.8 * far[1], "half of the loss still pulls to the noise"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "it teaches only"


def test_the_loss_is_half_the_labels_and_half_the_teacher() -> None:
    torch.manual_seed(0)
    heads, answer = [torch.randn(2, 3, 4, 5) for _ in range(2)], torch.randn(2, 3, 4, 5)
    each = [float(distillation_loss(head, answer, 3)) for head in heads]
    mixed = Teacher(build(OPTIONS), 3).mix(torch.tensor(0.7), heads, answer)
    assert float(mixed) == pytest.approx((1 - SHARE) * 0.7 + SHARE * sum(each) / 2)
