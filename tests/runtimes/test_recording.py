"""What is recorded of a network, and what is not."""

import pytest
import torch
from torch import Tensor, nn

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.runtimes.recording import record

NETWORKS = ["unet", "resunet", "attention_unet", "unetplusplus", "resencunet", "vnet"]


@pytest.mark.parametrize("name", NETWORKS)
def test_replayed_operations_give_the_logits(name: str) -> None:
    torch.manual_seed(0)
    network = build(NetworkOptions(name=name, base=2, depth=2, normalisation="instance")).double().eval()
    recording = record(network, 2, (16, 16), 1)
    assert recording is not None
    image = torch.rand(1, 1, 32, 24, dtype=torch.float64)
    with torch.inference_mode():
        last = len(recording.graph) - 1
        (found,) = recording.run(range(1, last + 1), {0: image.clone()}, {last}, {})
        assert found[0] == last
        assert torch.equal(found[1], network(image))
    strides = {operation.strides for operation in recording.graph}
    assert strides == {(1, 1), (2, 2), (4, 4)}


class Odd(nn.Module):
    """A convolution, and something that cannot be computed on tiles."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv, self.kind = nn.Conv2d(1, 2, 3, padding=1), kind

    def forward(self, image: Tensor) -> Tensor:
        features = self.conv(image)
        if self.kind == "mean":
            return features * features.mean((2, 3), keepdim=True)
        if self.kind == "roll":
            return torch.roll(features, 1, 2)
        if self.kind == "crop":
            return features[:, :, 1:-1]
        if self.kind == "split":
            return torch.split(features, 1, 1)[0]
        if self.kind == "batch":
            return nn.functional.batch_norm(features, None, None, training=True)
        return features


@pytest.mark.parametrize("kind", ["mean", "roll", "crop", "split", "batch"])
def test_other_functions_are_not_recorded(kind: str) -> None:
    assert record(Odd(kind).eval(), 2, (8, 8), 1) is None


def test_control_the_same_network_without_them_is_recorded() -> None:
    assert record(Odd("").eval(), 2, (8, 8), 1) is not None
