"""Optimisers by name, their parameter groups, and their state as named tensors."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pixelwise.training.muon import HIDDEN, Muon

OptimiserName = Literal["adamw", "muon", "sgd"]
Groups = list[dict[str, Any]]
HEAD = "head"  # the child module of a network that returns logits
FACTOR = "factor"  # key of a parameter group: factor of its learning rate


def adamw(groups: Groups, rate: float, *, momentum: float, nesterov: bool) -> Optimizer:
    """Return AdamW (Loshchilov & Hutter, arXiv 1711.05101) with its default betas, 0.9 and 0.999."""
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def sgd(groups: Groups, rate: float, *, momentum: float, nesterov: bool) -> Optimizer:
    """Return SGD with momentum, of Nesterov or classical as in Caffe (and the U-Net paper)."""
    # not fused: the fused update fails if a parameter is unfrozen later than others of its group
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov and momentum > 0)


def muon(groups: Groups, rate: float, *, momentum: float, nesterov: bool) -> Optimizer:
    """Return Muon (`training.muon`), with its own momentum of 0.95."""
    return Muon(groups, rate)


OPTIMISERS: dict[OptimiserName, Callable[..., Optimizer]] = {"adamw": adamw, "muon": muon, "sgd": sgd}


def parameter_groups(network: nn.Module, decay: float, factors: Mapping[nn.Parameter, float]) -> Groups:
    """Group the parameters by learning rate and weight decay.

    Weight decay applies to kernels only, not to biases and normalisation scales. `factors` holds the learning-rate
    factors that are not 1. Kernels of the head form separate groups and are not orthogonalised by Muon, because each of
    their directions is a class.
    """
    head = {p for name, module in network.named_children() if name == HEAD for p in module.parameters()}
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        kernel = parameter.ndim > 1
        key = factors.get(parameter, 1.0), kernel, kernel and parameter not in head
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay if kernels else 0.0, FACTOR: factor, HIDDEN: hidden}
        for (factor, kernels, hidden), parameters in groups.items()
    ]


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of each parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group[FACTOR]


def state_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return the optimiser state as tensors named "<index of the parameter>.<name>"."""
    return {
        f"{index}.{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def load_state_tensors(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the result of `state_tensors`."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        if value.ndim:
            # the fused update requires moments in the memory format of their parameter
            value = torch.empty_like(parameters[int(index)]).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
