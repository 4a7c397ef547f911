"""Muon optimiser: orthogonalised momentum for the kernels of hidden layers, Adam for all other parameters.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". Gradients of kernels are dominated by a
few directions; orthogonalising the momentum makes all directions equally large. `benchmarks/RECIPE.md` reports the
gain. torch.optim.Muon accepts matrices only and would need a second optimiser for all other parameters.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

HIDDEN = "hidden"  # key of a parameter group: whether it holds kernels of hidden layers
MOMENTUM = 0.95
BETAS = (0.9, 0.999)  # of Adam
EPSILON = 1e-8
# Of x -> a x + b x^3 + c x^5, which maps singular values in (0.001, 1] to about 0.7...1.2 in five iterations
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# Root mean square of an update, in learning rates: that of Adam, so that both use the same learning rate
# (Liu et al. 2025, "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2)
UPDATE_RMS = 0.2


class Muon(Optimizer):
    """Orthogonalised Nesterov momentum for kernels of hidden layers, Adam with decoupled weight decay for the rest.

    Parameters
    ----------
    groups : list of dict
        Parameter groups; those with `hidden` hold kernels (out, in, ...), treated as matrices (out, in x ...).
    rate : float
        Learning rate.
    """

    def __init__(self, groups: list[dict[str, Any]], rate: float) -> None:
        _skip_compiler_import()
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
        # a matrix whose singular values are 1 has a mean square of 1 / its longer side
        kernel.add_(direction.view_as(gradient), alpha=-rate * UPDATE_RMS * math.sqrt(max(direction.shape)))

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


def _skip_compiler_import() -> None:
    """Call the methods of torch's optimisers without importing torch._dynamo.

    On the first call each of them imports it to disable compilation (`torch._compile._disable_dynamo`), which costs 1.7
    CPU seconds per training although nothing is compiled. Has no effect if torch changes this mechanism.
    """
    for method in (Optimizer.add_param_group, Optimizer.zero_grad, Optimizer.state_dict, Optimizer.load_state_dict):
        if (plain := getattr(method, "__wrapped__", None)) is not None:
            plain.__dynamo_disable = plain


def orthogonalise(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Return the matrix with all singular values mapped to about 1, between 0.6 and 1.3; zero stays zero.

    Newton-Schulz iteration (Jordan et al. 2024). X' = (a + b X X^T + c (X X^T)^2) X multiplies X from the left by a
    polynomial in X X^T, so the iterations use X X^T only and X is multiplied once at the end: a third of the
    arithmetic for kernels, which are much wider than high. Singular values below a thousandth of the largest one stay
    smaller.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = wide / wide.norm().clamp_min(1e-30)  # the square of a tiny gradient would underflow
    square = wide @ wide.T
    largest = square.norm().clamp_min(1e-30)  # no eigenvalue is larger
    square = square / largest
    product = factor = _polynomial(square)
    for _ in range(ITERATIONS - 1):
        square = square @ (factor @ factor)  # polynomials of one matrix commute
        factor = _polynomial(square)
        product = product @ factor
    result = (product @ wide) / largest.sqrt()
    return result.T if tall else result


def _polynomial(square: Tensor) -> Tensor:
    """Return a + b S + c S^2 of a square matrix S."""
    first, third, fifth = COEFFICIENTS
    factor = torch.addmm(square, square, square, beta=third, alpha=fifth)
    factor.diagonal().add_(first)
    return factor
