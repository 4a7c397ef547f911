"""The loss of a taught network, against the formulas evaluated by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from pixelwise.training.losses import distillation_loss


@given(seed=st.integers(0, 10**6), classes=st.sampled_from([2, 4]))
def test_distillation_is_the_divergence_of_what_is_said(seed: int, classes: int) -> None:
    """Kullback-Leibler by the formula, sum q log(q / p): of the classes together, of each channel behind them alone."""
    rng = np.random.default_rng(seed)
    mine, taught = rng.standard_normal((2, 3, 4, 5, 6))
    q, p = (softmax(each[:, :classes], axis=1) for each in (taught, mine))
    wanted = (q * np.log(q / p)).sum(1)
    t, s = (expit(each[:, classes:]) for each in (taught, mine))
    wanted = wanted + (t * np.log(t / s) + (1 - t) * np.log((1 - t) / (1 - s))).sum(1)
    found = distillation_loss(torch.from_numpy(mine), torch.from_numpy(taught), classes)
    assert float(found) == pytest.approx(wanted.mean(), rel=1e-9)
    same = distillation_loss(torch.from_numpy(mine), torch.from_numpy(mine), classes)
    assert float(same) == pytest.approx(0, abs=1e-12)
