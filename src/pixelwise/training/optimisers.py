"""Optimisers as values: OPTIMISERS can be read; and their state as named tensors."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pixelwise.training.muon import HIDDEN, Muon

OptimiserName = Literal["adamw", "muon", "sgd"]
Groups = list[dict[str, Any]]
HEAD = "head"  # the child of a network that puts out logits
FACTOR = "factor"  # entry of a parameter group: its rate is the schedule's times this


def adamw(groups: Groups, rate: float, *, momentum: float, nesterov: bool) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101); its own momenta, 0.9 and 0.999."""
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def sgd(groups: Groups, rate: float, *, momentum: float, nesterov: bool) -> Optimizer:
    """Stochastic gradient descent with momentum, Nesterov's or the plain one of Caffe (and so of the U-Net paper)."""
    # not fused: the fused update cannot take a parameter that begins to learn later than others of its group
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov and momentum > 0)


def muon(groups: Groups, rate: float, *, momentum: float, nesterov: bool) -> Optimizer:
    """Orthogonalised momentum for the kernels of hidden layers (`training.muon`), with its own momentum of 0.95."""
    return Muon(groups, rate)


OPTIMISERS: dict[OptimiserName, Callable[..., Optimizer]] = {"adamw": adamw, "muon": muon, "sgd": sgd}


def parameter_groups(network: nn.Module, decay: float, factors: Mapping[nn.Parameter, float]) -> Groups:
    """Group the parameters by learning rate and weight decay.

    Kernels alone decay: shrinking biases and normalisation scales does not regularise anything. `factors` holds the
    factors of the learning rate that are not 1. Kernels of the head are told from those of hidden layers:
    each of its directions is a class.
    """
    head = {p for name, module in network.named_children() if name == HEAD for p in module.parameters()}
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        kernel = parameter.ndim > 1
        key = factors.get(parameter, 1.0), kernel, kernel and parameter not in head
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": found, "weight_decay": decay if kernels else 0.0, FACTOR: factor, HIDDEN: hidden}
        for (factor, kernels, hidden), found in groups.items()
    ]


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Give each group its learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group[FACTOR]


def state_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return moments and counters, named "<number of the parameter>.<name>"."""
    return {
        f"{index}.{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def load_state_tensors(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `state_tensors` returned."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        if value.ndim:
            # the fused update walks through memory: moments must lie there as their parameter does
            value = torch.empty_like(parameters[int(index)]).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
