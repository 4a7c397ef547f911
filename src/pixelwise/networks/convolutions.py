"""Convolutions in two and three dimensions."""

from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class StridedPointwise2d(nn.Conv2d):
    """A 1 x 1 convolution with a stride: it reads every stride-th pixel, so the others are left out first.

    The numbers are those of `nn.Conv2d` and so are the names of the weights. With bfloat16 on CPUs, the backward pass
    of that one writes outside its memory for few channels (torch 2.13 with oneDNN: 8 to 16 channels, stride 2). In
    evaluation mode, which nobody learns in, it is that one, to the last bit.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution at every stride-th pixel."""
        if not self.training:
            return super().forward(input)
        down, right = self.stride
        return functional.conv2d(input[:, :, ::down, ::right], self.weight, self.bias)


class StridedPointwise3d(nn.Conv3d):
    """The same for volumes."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution at every stride-th voxel."""
        if not self.training:
            return super().forward(input)
        deep, down, right = self.stride
        return functional.conv3d(input[:, :, ::deep, ::down, ::right], self.weight, self.bias)


def make_convolution(
    in_channels: int, channels: int, kernel: int, stride: int = 1, *, bias: bool = True, dimensions: int = 2
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution padded by half its kernel."""
    if kernel == 1 and stride > 1:
        pointwise = {2: StridedPointwise2d, 3: StridedPointwise3d}[dimensions]
        return pointwise(in_channels, channels, 1, stride, bias=bias)
    return CONVOLUTIONS[dimensions](in_channels, channels, kernel, stride, kernel // 2, bias=bias)
