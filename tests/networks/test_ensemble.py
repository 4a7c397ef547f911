"""An ensemble returns the mean probabilities of its members, as logits."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax
from torch import Tensor, nn

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.ensemble import Ensemble
from pixelwise.runtimes.fold_batch_norm import fold_batch_norm

OPTIONS = NetworkOptions(base=4, depth=2, classes=3)


class Constant(nn.Module):
    """A network with the same logits for every image."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits = torch.from_numpy(logits)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


@given(seed=st.integers(0, 10**6), members=st.integers(1, 4), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_the_softmax_of_its_logits_is_the_mean_of_the_members(seed: int, members: int, scale: float) -> None:
    logits = scale * np.random.default_rng(seed).standard_normal((members, 2, 4, 3, 5))
    joined = Ensemble([Constant(each) for each in logits], classes=4)(torch.zeros(2, 1, 3, 5)).numpy()
    np.testing.assert_allclose(softmax(joined, 1), softmax(logits, 2).mean(0), atol=1e-12)


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_channels_after_the_classes_are_logistic(seed: int, scale: float) -> None:
    logits = scale * np.random.default_rng(seed).standard_normal((3, 2, 4, 3, 5))
    joined = Ensemble([Constant(each) for each in logits], classes=3)(torch.zeros(2, 1, 3, 5)).numpy()
    np.testing.assert_allclose(softmax(joined[:, :3], 1), softmax(logits[:, :, :3], 2).mean(0), atol=1e-12)
    np.testing.assert_allclose(expit(joined[:, 3:]), expit(logits[:, :, 3:]).mean(0), atol=1e-12)


def test_control_the_mean_of_the_logits_differs() -> None:
    """Averaged logits are a geometric mean of probabilities."""
    logits = np.array([[4.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).reshape(2, 1, 3, 1, 1)
    mean = softmax(logits, 2).mean(0)
    assert np.abs(softmax(logits.mean(0), 1) - mean).max() > 0.1


def test_one_member_is_that_member() -> None:
    network = build(OPTIONS).eval()
    image = torch.randn(1, 1, 32, 48)
    assert torch.allclose(Ensemble([network], 3)(image).softmax(1), network(image).softmax(1), atol=1e-6)


def test_names_of_weights_and_sizes() -> None:
    members = [build(OPTIONS) for _ in range(3)]
    ensemble = Ensemble(members, 3)
    assert {name.partition(".")[0] for name in ensemble.state_dict()} == {"member1", "member2", "member3"}
    assert ensemble.members == tuple(members)
    assert ensemble.geometry() == members[0].geometry()
    assert ensemble.layer_graph() == members[0].layer_graph()


@pytest.mark.parametrize("name", ["unet", "unetplusplus", "resnet20"])
def test_batch_normalisation_is_folded_in_every_member(name: str) -> None:
    torch.manual_seed(0)
    options = NetworkOptions(name=name, base=4, classes=3, in_channels=3)
    ensemble = Ensemble([build(options) for _ in range(2)], 3).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = ensemble(image)
        folded = fold_batch_norm(ensemble)
        after = folded(image)
    assert torch.allclose(before, after, atol=1e-4)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
