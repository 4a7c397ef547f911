"""Convolutions in two and three dimensions."""

from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class StridedPointwise2d(nn.Conv2d):
    """Strided 1 x 1 convolution that subsamples its input first.

    Results and weight names are those of `nn.Conv2d`, whose backward pass in bfloat16 on CPUs writes out of bounds for
    few channels (torch 2.13 with oneDNN: 8 to 16 channels, stride 2). In evaluation mode it is `nn.Conv2d`, bit by bit.

    Examples
    --------
    >>> import torch
    >>> StridedPointwise2d(4, 8, 1, 2)(torch.zeros(1, 4, 9, 9)).shape
    torch.Size([1, 8, 5, 5])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution at every stride-th pixel."""
        if not self.training:
            return super().forward(input)
        down, right = self.stride
        return functional.conv2d(input[:, :, ::down, ::right], self.weight, self.bias)


class StridedPointwise3d(nn.Conv3d):
    """Strided 1 x 1 x 1 convolution; see `StridedPointwise2d`.

    Examples
    --------
    >>> import torch
    >>> StridedPointwise3d(4, 8, 1, 2)(torch.zeros(1, 4, 9, 9, 9)).shape
    torch.Size([1, 8, 5, 5, 5])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution at every stride-th voxel."""
        if not self.training:
            return super().forward(input)
        deep, down, right = self.stride
        return functional.conv3d(input[:, :, ::deep, ::down, ::right], self.weight, self.bias)


def make_convolution(
    in_channels: int, channels: int, kernel: int, stride: int = 1, *, bias: bool = True, dimensions: int = 2
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution padded by half its kernel.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    channels : int
        Channels of the output.
    kernel : int
        Side of the kernel, an odd number.
    stride : int
        Stride of the kernel.
    bias : bool
        Add a bias per channel.
    dimensions : {2, 3}
        Spatial axes of the maps.

    Examples
    --------
    >>> make_convolution(4, 8, 3, bias=False)
    Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    if kernel == 1 and stride > 1:
        pointwise = {2: StridedPointwise2d, 3: StridedPointwise3d}[dimensions]
        return pointwise(in_channels, channels, 1, stride, bias=bias)
    return CONVOLUTIONS[dimensions](in_channels, channels, kernel, stride, kernel // 2, bias=bias)
