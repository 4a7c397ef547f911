"""VGG encoders: Simonyan & Zisserman 2015, "Very deep convolutional networks" (arXiv 1409.1556), table 1."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerSpec, Merge, Save
from pixelwise.networks.blocks import Block, convolution_spec, has_values, pooling_spec
from pixelwise.networks.stages import run_stages

WIDTHS = (64, 128, 256, 512, 512)


class VGGEncoder(Block):
    """Five stages of 3 x 3 convolutions and 2 x 2 max pooling; parameter names `features.{i}` as in torchvision.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    counts : sequence of int
        Convolutions per stage: 2 2 3 3 3 for VGG-16.
    normalised : bool
        Batch normalisation after each convolution.

    Attributes
    ----------
    channels : tuple of int
        The maps before each pooling, and the one after the last: 64, 128, 256, 512, 512, 512.
    strides : tuple of int
        1, 2, 4, 8, 16, 32.
    ends_on_pooling : bool
        True: no convolution follows the last pooling, so the decoder starts with a block on the last map.

    Examples
    --------
    >>> VGGEncoder(3, [1, 1, 2, 2, 2], normalised=True).channels
    (64, 128, 256, 512, 512, 512)
    """

    def __init__(self, in_channels: int, counts: Sequence[int], *, normalised: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        layer_graph: list[LayerSpec | Save | Branch | Merge] = []
        self._stages: list[int] = []  # index of the pooling of each stage
        source = in_channels
        for stage, (width, count) in enumerate(zip(WIDTHS, counts, strict=True)):
            for place in range(count):
                conv = nn.Conv2d(source, width, 3, padding=1)
                norm = [nn.BatchNorm2d(width)] if normalised else []
                layers += [conv, *norm, nn.ReLU(inplace=True)]
                layer_graph.append(convolution_spec(f"conv{stage + 1}_{place + 1}", conv, *norm))
                source = width
            self._stages.append(len(layers))
            layers.append(nn.MaxPool2d(2, 2))
            layer_graph += [Save(str(stage)), pooling_spec(f"pool{stage + 1}", width, 2, 2)]
        self._layer_graph = layer_graph
        self.features = nn.Sequential(*layers)
        self.channels, self.strides = (*WIDTHS, WIDTHS[-1]), (1, 2, 4, 8, 16, 32)
        self.ends_on_pooling = True

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, in_channels, h, w) -> one map per skip, fine to coarse."""
        return run_stages(self, image)

    def stage(self, index: int, features: Tensor) -> Tensor:
        """Return map `index` from the previous one, or from the image for 0."""
        first, stop = [0, *self._stages][index], [*self._stages, len(self.features)][index]
        for layer in list(self.features)[first:stop]:
            features = layer(features)
        return features

    def parts(self) -> list[list[nn.Module]]:
        """Return the parameter groups of fine-tuning, coarse stages last."""
        edges = [0, *self._stages]
        return [[*self.features][low:high] for low, high in pairwise(edges)]


def initialise_vgg(network: nn.Module) -> None:
    """Initialise convolutions as Kaiming normal (fan-out) and linear layers from N(0, 0.01), as torchvision does.

    Examples
    --------
    >>> layer = nn.Linear(100, 100)
    >>> initialise_vgg(layer)
    >>> round(layer.weight.std().item(), 2), layer.bias.any().item()
    (0.01, False)
    """
    if not has_values(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
