"""Muon: orthogonalisation, size of updates, and Adam for the other parameters."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pixelwise.training.muon import UPDATE_RMS, Muon, orthogonalise
from pixelwise.training.optimisers import parameter_groups


@given(rows=st.integers(2, 40), columns=st.integers(2, 40), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_singular_values_become_about_one_and_singular_vectors_stay(rows: int, columns: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(rows * 100 + columns)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(columns, columns, generator=generator))
    rank = min(rows, columns)
    values = torch.linspace(1.0, 0.1, rank)
    matrix = scale * left[:, :rank] @ values.diag() @ right[:, :rank].T
    inner = left[:, :rank].T @ orthogonalise(matrix) @ right[:, :rank]
    assert ((inner.diagonal() > 0.6) & (inner.diagonal() < 1.3)).all()
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-3
    # control: before, they differed by a factor of ten
    assert values.max() / values.min() == pytest.approx(10.0)


def test_a_matrix_of_zeros_stays_zero() -> None:
    assert torch.equal(orthogonalise(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_an_update_is_as_large_as_one_of_adam() -> None:
    """The root mean square is 0.2 learning rates, whatever the shape and the gradient."""
    for shape, size in (((16, 8, 3, 3), 1e-4), ((8, 32, 3, 3), 10.0)):
        kernel = nn.Parameter(torch.zeros(shape))
        kernel.grad = size * torch.randn(shape, generator=torch.Generator().manual_seed(0))
        Muon([{"params": [kernel], "hidden": True}], 0.5).step()
        assert kernel.detach().square().mean().sqrt().item() == pytest.approx(UPDATE_RMS * 0.5, rel=0.2)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.body(images)))


def step(net: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    net(torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(1))).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad()


def test_all_parameters_but_hidden_kernels_are_updated_as_by_adamw() -> None:
    """Both have the same gradients in the first step."""
    mine, theirs = Small(), Small()
    step(mine, Muon(parameter_groups(mine, 0.1, {}), 0.01))
    groups = [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in parameter_groups(theirs, 0.1, {})]
    step(theirs, torch.optim.AdamW(groups, lr=0.01))
    for (name, here), there in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(here, there, atol=1e-6) == (name != "body.weight"), name


def test_several_steps_of_its_adam_are_those_of_torch() -> None:
    for decay in (0.0, 0.1):
        mine, theirs = nn.Parameter(torch.linspace(-1, 1, 7)), nn.Parameter(torch.linspace(-1, 1, 7))
        ours = Muon([{"params": [mine], "weight_decay": decay}], 0.02)
        reference = torch.optim.AdamW([theirs], lr=0.02, weight_decay=decay)
        for number in range(5):
            for parameter, optimiser in ((mine, ours), (theirs, reference)):
                parameter.grad = (parameter.detach() - 0.3) * (number + 1)
                optimiser.step()
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_memory_order_does_not_change_a_step() -> None:
    kernels = [nn.Parameter(torch.ones(4, 3, 3, 3)) for _ in range(2)]
    kernels[1].data = kernels[1].data.to(memory_format=torch.channels_last)
    gradient = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    for kernel in kernels:
        kernel.grad = gradient.clone(memory_format=torch.preserve_format).to(
            memory_format=torch.channels_last if kernel is kernels[1] else torch.contiguous_format
        )
        Muon([{"params": [kernel], "hidden": True}], 0.1).step()
    assert torch.equal(kernels[0], kernels[1])


def test_a_parameter_without_a_gradient_stays() -> None:
    net = Small()
    before = net.body.weight.detach().clone()
    Muon(parameter_groups(net, 0.1, {}), 0.5).step()
    assert torch.equal(net.body.weight, before)


@pytest.mark.parametrize(
    ("protection", "loaded"), [("", "False"), ("muon._skip_compiler_import = lambda: None;", "True")]
)
def test_a_step_does_not_load_the_compiler(protection: str, loaded: str) -> None:
    program = (
        f"import sys, torch; from pixelwise.training import muon; {protection}"
        "weight = torch.ones(2, 2, requires_grad=True); weight.sum().backward();"
        "optimiser = muon.Muon([{'params': [weight], 'hidden': True}], 0.1); optimiser.step(); optimiser.zero_grad();"
        "optimiser.load_state_dict(optimiser.state_dict()); print('torch._dynamo' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == loaded
