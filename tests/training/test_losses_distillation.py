"""The distillation loss equals its formula."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from pixelwise.training.losses import distillation_loss


@given(seed=st.integers(0, 10**6), classes=st.sampled_from([2, 4]))
def test_the_distillation_loss_is_the_kullback_leibler_divergence(seed: int, classes: int) -> None:
    """Sum q log(q / p) over the classes, and for each further channel separately."""
    rng = np.random.default_rng(seed)
    student, teacher = rng.standard_normal((2, 3, 4, 5, 6))
    q, p = (softmax(each[:, :classes], axis=1) for each in (teacher, student))
    expected = (q * np.log(q / p)).sum(1)
    t, s = (expit(each[:, classes:]) for each in (teacher, student))
    expected = expected + (t * np.log(t / s) + (1 - t) * np.log((1 - t) / (1 - s))).sum(1)
    result = distillation_loss(torch.from_numpy(student), torch.from_numpy(teacher), classes)
    assert float(result) == pytest.approx(expected.mean(), rel=1e-9)
    same = distillation_loss(torch.from_numpy(student), torch.from_numpy(student), classes)
    assert float(same) == pytest.approx(0, abs=1e-12)
