"""Layers in two and three dimensions: convolutions, pooling, normalisation and upsampling."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from pixelwise.networks.options import NormalisationName

Convolution = nn.Conv2d | nn.Conv3d
Upsampling = Literal["transposed", "bilinear", "nearest"]
CONVOLUTIONS: Mapping[int, Callable[..., Convolution]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: Mapping[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAXIMA: Mapping[int, Callable[..., nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGES: Mapping[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
GROUP_CHANNELS = 8  # channels per group: many small groups approximate instance normalisation (Zhou & Yang)
Extent = int | tuple[int, ...]  # of a kernel or a stride: along all axes, or along each


def half(kernel: Extent) -> Extent:
    """Return half of a kernel, rounded down: the padding that keeps the size.

    Examples
    --------
    >>> half(3), half((1, 3, 5))
    (1, (0, 1, 2))
    """
    return kernel // 2 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)


def per_axis(extent: Extent, dimensions: int) -> tuple[int, ...]:
    """Return a kernel or a stride along each axis.

    Examples
    --------
    >>> per_axis(2, 3), per_axis((1, 2, 2), 3)
    ((2, 2, 2), (1, 2, 2))
    """
    return (extent,) * dimensions if isinstance(extent, int) else extent


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


POINTWISE: Mapping[int, Callable[..., Convolution]] = {2: StridedPointwise2d, 3: StridedPointwise3d}


def make_convolution(
    in_channels: int, channels: int, kernel: Extent, stride: Extent = 1, *, bias: bool = True, dimensions: int = 2
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution padded by half its kernel.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    channels : int
        Channels of the output.
    kernel : int or tuple of int
        Side of the kernel, an odd number; of each axis if they differ.
    stride : int or tuple of int
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
    if kernel == 1 and stride not in (1, (1,) * dimensions):
        return POINTWISE[dimensions](in_channels, channels, 1, stride, bias=bias)
    return CONVOLUTIONS[dimensions](in_channels, channels, kernel, stride, half(kernel), bias=bias)


def make_normalisation(name: NormalisationName, channels: int, dimensions: int = 2) -> list[nn.Module]:
    """Return the normalisation layer as a list: empty for "none".

    Parameters
    ----------
    name : {"batch", "group", "instance", "none"}
        "batch": statistics of each channel over the batch in training, running ones in inference. "instance": of each
        channel of each image. "group": of each image over groups of about 8 channels. The latter two depend on the
        whole image, whose statistics prediction measures before its tiles.
    channels : int
        Channels of the map.
    dimensions : {2, 3}
        Spatial axes of the map.

    Examples
    --------
    >>> (layer,) = make_normalisation("group", 32)
    >>> layer.num_groups
    4
    >>> make_normalisation("none", 32)
    []
    """
    if name == "batch":
        return [BATCH_NORMS[dimensions](channels)]
    if name == "group":
        return [nn.GroupNorm(math.gcd(channels, max(1, channels // GROUP_CHANNELS)), channels)]
    if name == "instance":
        return [INSTANCE_NORMS[dimensions](channels, affine=True)]
    return []


def make_interpolation(kind: Upsampling, dimensions: int = 2, stride: Extent = 2) -> nn.Module:
    """Return a layer that upsamples by `stride` without weights; "bilinear" is trilinear in three dimensions.

    Examples
    --------
    >>> import torch
    >>> make_interpolation("nearest")(torch.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """
    factor = stride if isinstance(stride, int) else tuple(float(side) for side in stride)
    if kind == "nearest":
        return nn.Upsample(scale_factor=factor, mode="nearest")
    return nn.Upsample(scale_factor=factor, mode="bilinear" if dimensions == 2 else "trilinear", align_corners=False)
