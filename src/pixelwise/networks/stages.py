"""Encoders as a sequence of stages, each of which computes one map from the previous one."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from pixelwise.geometry.layer_graph import LayerGraph


@runtime_checkable
class StageEncoder(Protocol):
    """An encoder whose map i depends on map i - 1 alone, and map 0 on the image.

    Examples
    --------
    >>> from pixelwise.networks.encoders import make_resnet_encoder
    >>> isinstance(make_resnet_encoder(3, 18), StageEncoder)
    True
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Return map `index` from the previous one, or from the image for 0."""
        ...

    def layer_graph(self) -> LayerGraph:
        """Return the layers."""
        ...


def run_stages(encoder: StageEncoder, image: Tensor) -> list[Tensor]:
    """Return all maps of an encoder, (batch, channels, h, w) each, fine to coarse.

    Examples
    --------
    >>> import torch
    >>> from pixelwise.networks.encoders import make_cifar_encoder
    >>> [tuple(skip.shape) for skip in run_stages(make_cifar_encoder(1, 20, base=2), torch.zeros(1, 1, 8, 8))]
    [(1, 2, 8, 8), (1, 4, 4, 4), (1, 8, 2, 2)]
    """
    maps: list[Tensor] = []
    features = image
    for index in range(len(encoder.channels)):
        features = encoder.stage(index, features)
        maps.append(features)
    return maps
