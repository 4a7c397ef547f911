"""Muon: kernels learn along their momentum, with all its directions made equally long.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". Gradients of kernels are dominated by a
few directions; orthogonalising the momentum lets the rare ones learn as fast: `benchmarks/RECIPE.md` has what that
brings. torch.optim.Muon takes matrices alone, and all other parameters would need an optimiser beside it.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

HIDDEN = "hidden"  # entry of a parameter group: its kernels are those of hidden layers
MOMENTUM = 0.95
BETAS = (0.9, 0.999)  # of Adam, for everything else
EPSILON = 1e-8
# Of x -> a x + b x^3 + c x^5, which brings singular values in (0.001, 1] to about 0.7...1.2 in five rounds
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
# The root of the mean square of an update, in learning rates: that of Adam's updates, so that both take the same rates
# (Liu et al. 2025, "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2)
UPDATE = 0.2


class Muon(Optimizer):
    """Orthogonalised momentum (Nesterov's) for kernels of hidden layers, Adam with decoupled decay for all else.

    Parameters
    ----------
    groups : list of dict
        Parameter groups; those with `hidden` hold kernels (out, in, ...), seen as matrices (out, in x ...).
    rate : float
        The learning rate of both.
    """

    def __init__(self, groups: list[dict[str, Any]], rate: float) -> None:
        _leave_out_compiler()
        super().__init__(groups, {"lr": rate, "weight_decay": 0.0, HIDDEN: False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._orthogonal if group[HIDDEN] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, parameter.grad, group["lr"])
        return loss

    def _orthogonal(self, kernel: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonalise(gradient.lerp(momentum, MOMENTUM).flatten(1))
        # a matrix of ones as singular values has a mean square of 1 / its longer side
        kernel.add_(direction.view_as(gradient), alpha=-rate * UPDATE * math.sqrt(max(direction.shape)))

    def _adam(self, parameter: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        count = int(state["step"])
        state["mean"].lerp_(gradient, 1 - BETAS[0])
        state["square"].lerp_(gradient.square(), 1 - BETAS[1])
        spread = (state["square"] / (1 - BETAS[1] ** count)).sqrt_().add_(EPSILON)
        parameter.addcdiv_(state["mean"], spread, value=-rate / (1 - BETAS[0] ** count))


def _leave_out_compiler() -> None:
    """Let the methods of torch's optimisers run as they are, without loading torch._dynamo.

    On its first call each of them imports it to switch compilation off inside (`torch._compile._disable_dynamo`): 1.7
    processor seconds of every training, in which nothing is compiled. Where torch does this otherwise, nothing changes.
    """
    for method in (Optimizer.add_param_group, Optimizer.zero_grad, Optimizer.state_dict, Optimizer.load_state_dict):
        if (plain := getattr(method, "__wrapped__", None)) is not None:
            plain.__dynamo_disable = plain


def orthogonalise(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Return the matrix with all its singular values brought to about 1, between 0.6 and 1.3; a matrix of 0 stays 0.

    Newton-Schulz iteration (Jordan et al. 2024). X' = (a + b X X^T + c (X X^T)^2) X multiplies X from the left by a
    polynomial in its own square, so the rounds are made on squares and X is multiplied once at the end: a third of
    the arithmetic for kernels, which are far wider than high. Singular values below a thousandth of the largest ones
    stay behind.
    """
    upright = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if upright else matrix
    wide = wide / wide.norm().clamp_min(1e-30)  # the square of a tiny gradient would be lost
    square = wide @ wide.T
    largest = square.norm().clamp_min(1e-30)  # no eigenvalue is larger
    square = square / largest
    product = factor = _polynomial(square)
    for _ in range(ROUNDS - 1):
        square = square @ (factor @ factor)  # powers of one matrix: their order does not matter
        factor = _polynomial(square)
        product = product @ factor
    result = (product @ wide) / largest.sqrt()
    return result.T if upright else result


def _polynomial(square: Tensor) -> Tensor:
    """Return a + b S + c S^2 of a square matrix S."""
    first, third, fifth = COEFFICIENTS
    factor = torch.addmm(square, square, square, beta=third, alpha=fifth)
    factor.diagonal().add_(first)
    return factor
