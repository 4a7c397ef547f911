"""Distillation: the predictions of a student approach those of its teacher."""

from copy import deepcopy

import pytest
import torch

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.training.batch import Batch
from pixelwise.training.distillation_loss import TEACHER_WEIGHT, Teacher
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
        learner.step(index, Batch(images, torch.randint(3, (2, 32, 32), dtype=torch.uint8)))
    return learner


def test_a_student_approaches_its_teacher() -> None:
    """The labels are noise; the control is trained on them alone."""
    torch.manual_seed(0)
    network = build(OPTIONS).eval()
    with torch.no_grad():
        network.state_dict()["head.layer.bias"].copy_(torch.tensor([3.0, 0.0, -3.0]))
    teacher, before = Teacher(network, 3), deepcopy(network.state_dict())
    torch.manual_seed(7)
    images = torch.randn(4, 1, 32, 32)
    divergences: list[float] = []
    for learner in (learn(teacher), learn(None)):
        with torch.no_grad():
            divergences.append(float(distillation_loss(learner.network.eval()(images), network(images), 3)))
    assert divergences[0] < 0.8 * divergences[1], "half of the loss is the noise"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), (
        "the teacher is not trained"
    )


def test_the_loss_is_half_the_labels_and_half_the_teacher() -> None:
    torch.manual_seed(0)
    heads, teacher_logits = [torch.randn(2, 3, 4, 5) for _ in range(2)], torch.randn(2, 3, 4, 5)
    each = [float(distillation_loss(head, teacher_logits, 3)) for head in heads]
    mixed = Teacher(build(OPTIONS), 3).combine_losses(torch.tensor(0.7), heads, teacher_logits, torch.zeros(2, 4, 5))
    assert float(mixed) == pytest.approx((1 - TEACHER_WEIGHT) * 0.7 + TEACHER_WEIGHT * sum(each) / 2)
