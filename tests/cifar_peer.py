"""A small ResNet of section 4.2 of He et al. 2015 in plain torch, written beside ours, with published key names."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PeerBlock(nn.Module):
    """Two convolutions; where the size is halved, the identity of every second pixel between channels of zeros."""

    def __init__(self, in_channels: int, channels: int, *, both_sides: bool) -> None:
        super().__init__()
        self.halves, new = in_channels != channels, channels - in_channels
        self.zeros = (channels // 4, channels // 4) if both_sides else (0, new)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 2 if self.halves else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(features)))))
        if self.halves:
            batch, _, height, width = inner.shape
            before, after = (inner.new_zeros(batch, count, height, width) for count in self.zeros)
            features = torch.cat([before, features[:, :, ::2, ::2], after], 1)
        return functional.relu(inner + features)


class PeerResNet(nn.Module):
    """6 n + 2 layers, with `linear` for the last one, as in akamaster/pytorch_resnet_cifar10."""

    def __init__(self, depth: int = 20, *, both_sides: bool, base: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, base, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        widths = (base, base, 2 * base, 4 * base)
        for stage in (1, 2, 3):
            sources = [widths[stage - 1]] + [widths[stage]] * ((depth - 2) // 6 - 1)
            blocks = [PeerBlock(source, widths[stage], both_sides=both_sides) for source in sources]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(4 * base, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.bn1(self.conv1(images)))
        for stage in (1, 2, 3):
            features = getattr(self, f"layer{stage}")(features)
        return self.linear(features.mean((2, 3)))


def make_peer(*, both_sides: bool, seed: int = 3, **options: int) -> PeerResNet:
    """Draw weights and statistics that differ from channel to channel."""
    torch.manual_seed(seed)
    peer = PeerResNet(both_sides=both_sides, **options)
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return peer.eval()
