"""Optimisers: parameter groups, learning rates, momentum, and state as tensors."""

import pytest
import torch
from torch import nn

from pixelwise.training.optimisers import (
    OPTIMISERS,
    OptimiserName,
    load_state_tensors,
    parameter_groups,
    set_learning_rate,
    state_tensors,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 3))


def learn(net: nn.Module, optimiser: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        images = torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(step))
        net(images).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()


def make(name: OptimiserName, net: nn.Module, momentum: float = 0.9, nesterov: bool = False) -> torch.optim.Optimizer:
    return OPTIMISERS[name](parameter_groups(net, 0.01, {}), 0.01, momentum=momentum, nesterov=nesterov)


def test_only_kernels_decay_and_each_parameter_is_in_one_group() -> None:
    net = network()
    kernel, bias = net[0].weight, net[0].bias
    groups = parameter_groups(net, 0.3, {kernel: 0.5, bias: 0.5})
    result = [(p, g["weight_decay"], g["factor"]) for g in groups for p in g["params"]]
    assert len(result) == len(list(net.parameters()))
    assert {id(p) for p, _, _ in result} == {id(p) for p in net.parameters()}
    for parameter, decay, factor in result:
        assert decay == (0.3 if parameter.ndim > 1 else 0.0)
        assert factor == (0.5 if parameter is kernel or parameter is bias else 1.0)


def test_the_learning_rate_of_a_group_includes_its_factor() -> None:
    net = network()
    groups = parameter_groups(net, 0.0, dict.fromkeys(net[0].parameters(), 0.25))
    optimiser = OPTIMISERS["adamw"](groups, 1.0, momentum=0.0, nesterov=False)
    set_learning_rate(optimiser, 0.8)
    assert {(g["factor"], g["lr"]) for g in optimiser.param_groups} == {(1.0, 0.8), (0.25, 0.2)}


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_by_hand(nesterov: bool) -> None:
    """Two steps with a gradient of 1: v = m v + g; the step is lr v, or lr (g + m v) after Nesterov."""
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)
    optimiser = OPTIMISERS["sgd"](parameter_groups(weight, 0.0, {}), 0.1, momentum=0.9, nesterov=nesterov)
    for _ in range(2):
        optimiser.zero_grad()
        weight(torch.ones(1, 1)).sum().backward()
        optimiser.step()
    steps = (1 + 0.9 * 1) + (1 + 0.9 * 1.9) if nesterov else 1 + 1.9
    assert weight.weight.item() == pytest.approx(-0.1 * steps)


@pytest.mark.parametrize(("name", "momentum"), [("adamw", 0.9), ("muon", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
def test_restoring_the_state_is_exact(name: OptimiserName, momentum: float) -> None:
    straight = network()
    optimiser = make(name, straight, momentum)
    learn(straight, optimiser, 3)
    other = network()
    other.load_state_dict(straight.state_dict())
    again = make(name, other, momentum)
    load_state_tensors(again, {key: value.clone() for key, value in state_tensors(optimiser).items()})
    stateless = network()
    stateless.load_state_dict(straight.state_dict())
    for net, optimise in ((straight, optimiser), (other, again), (stateless, make(name, stateless, momentum))):
        learn(net, optimise, 2, first=3)
    assert torch.equal(straight[0].weight, other[0].weight)
    # control: without the state the weights differ (SGD without momentum has none)
    assert torch.equal(straight[0].weight, stateless[0].weight) == (momentum == 0.0)
