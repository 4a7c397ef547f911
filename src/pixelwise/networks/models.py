"""Segmentation and classification networks, assembled from encoder, decoder and head."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, along, sizes_along, sizes_with_remainder
from pixelwise.geometry.sizes import Geometry, as_exact, derive_axes_geometry, derive_classifier_geometry
from pixelwise.networks.blocks import Head
from pixelwise.networks.decoders import NestedDecoder
from pixelwise.networks.encoders import Encoder
from pixelwise.networks.ensemble import Ensemble

WEIGHTED = ("convolution", "transposed", "linear")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A row of the layer table, for a square input; `flops` counts a multiply-add as two.

    `values` is the number of values in the output map of one image. Sizes are those of the last axis.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> first = build(NetworkOptions(name="unet2015", base=2)).layers(572)[0]
    >>> first.name, first.arithmetic
    ('enc1 conv a', '(572 - 3 + 0) / 1 + 1 = 570')
    """

    name: str
    kind: str
    in_channels: int
    channels: int
    input_size: int
    output_size: int
    arithmetic: str
    parameters: int
    flops: int
    values: int


class Segmenter(nn.Module):
    """encoder -> skips -> decoder -> features -> head -> logits.

    Parameters
    ----------
    encoder, decoder, head : nn.Module
        Modules with a `layer_graph` (see `encoders`).
    exact : bool
        False if a layer depends on the whole image (instance or group normalisation).
    smallest : int
        Minimum side of every map; 2 if a layer cannot process a single pixel (instance normalisation).
    dimensions : {2, 3}
        Spatial axes of the images.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build_segmenter
    >>> network = build_segmenter(NetworkOptions(base=2, depth=2, classes=3))
    >>> network(torch.zeros(1, 1, 64, 48)).shape
    torch.Size([1, 3, 64, 48])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module,
        *,
        exact: bool,
        smallest: int = 1,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.dimensions = dimensions
        self._geometry = derive_axes_geometry(self.layer_graph(), dimensions, exact, smallest)

    def forward(self, image: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch classes *output_size"]:
        """Images of a valid size -> logits, without the border of valid convolutions.

        Raises
        ------
        BadOption
            A side is not valid; the nearest valid ones are named.
        """
        _check_sides(image, self._geometry)
        return self.head(self.decoder(self.encoder(image)))

    def forward_heads(self, image: Float[Tensor, "batch channels *size"]) -> list[Tensor]:
        """Return the logits of all heads that the loss uses: one, or several for deep supervision."""
        return [self(image)]

    def layer_graph(self) -> LayerGraph:
        """Return all layers in execution order."""
        return [*self.encoder.layer_graph(), *self.decoder.layer_graph(), *self.head.layer_graph()]  # type: ignore[operator]

    def geometry(self) -> Geometry:
        """Return stride, receptive field, halo, border and valid sizes, derived from the layers."""
        return self._geometry

    def make_exact(self) -> None:
        """Note that no layer depends on the whole image any more: the statistics of all normalisations are fixed."""
        self._geometry = as_exact(self._geometry)

    def layers(self, size: int) -> tuple[Layer, ...]:
        """Return a row per layer for an input of a valid `size` along each axis.

        Raises
        ------
        BadOption
            The size is not valid.
        """
        self._geometry.check(size)
        graphs = [along(self.layer_graph(), axis) for axis in range(self.dimensions)]
        return _rows(self.layer_graph(), size, [sizes_along(graph, size) or [] for graph in graphs])


class NestedSegmenter(Segmenter):
    """U-Net++: heads on X(0, 1), X(0, 2), ...; the logits are those of the last, or their mean with deep supervision.

    Zhou et al. 2018 (arXiv 1807.10165), section 3.2: trained with a loss per head, the network predicts with the mean
    of all heads ("accurate"), or with one of them and without the later columns ("fast", `prune`).

    Parameters
    ----------
    encoder : nn.Module
        Encoder with a `layer_graph`.
    decoder : NestedDecoder
        Nested decoder.
    heads : sequence of Head
        One for each of the last columns, shallow ones first.
    exact, smallest, dimensions
        As for `Segmenter`.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network = build(NetworkOptions(name="unetplusplus", base=2, depth=2, deep_supervision=True))
    >>> len(network.forward_heads(torch.zeros(1, 1, 16, 16)))
    2
    >>> network.prune(1).geometry().total_stride
    2
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: NestedDecoder,
        heads: Sequence[Head],
        *,
        exact: bool,
        smallest: int = 1,
        dimensions: int = 2,
    ) -> None:
        super().__init__(encoder, decoder, nn.ModuleList(heads), exact=exact, smallest=smallest, dimensions=dimensions)

    def forward(self, image: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch classes *output_size"]:
        """Images of a valid size -> logits: the mean over the heads."""
        heads = self.forward_heads(image)
        return heads[0] if len(heads) == 1 else sum(heads[1:], heads[0]) / len(heads)

    def forward_heads(self, image: Float[Tensor, "batch channels *size"]) -> list[Tensor]:
        """Return the logits of each head, shallow ones first."""
        _check_sides(image, self._geometry)
        maps = self.decoder(self.encoder(image))
        heads: nn.ModuleList = self.head  # type: ignore[assignment]
        return [head(features) for head, features in zip(heads, maps[-len(heads) :], strict=True)]

    def prune(self, column: int) -> "NestedSegmenter":
        """Return the sub-network that ends at X(0, column), with shared weights.

        Raises
        ------
        BadOption
            The column does not exist or has no head.
        """
        heads: nn.ModuleList = self.head  # type: ignore[assignment]
        columns: int = self.decoder.columns  # type: ignore[assignment]
        if not 1 <= column <= columns:
            raise BadOption(f"a column in 1...{columns}", f"{column}", "Choose one of them.")
        place = column - 1 - (columns - len(heads))
        if place < 0:
            raise BadOption("a head on the column", f"none on {column}", "Train with network.deep_supervision=true.")
        encoder, decoder = self.encoder.cut(column + 1), self.decoder.cut(column)  # type: ignore[operator]
        kwargs = {"exact": self._geometry.exact, "dimensions": self.dimensions}
        return NestedSegmenter(encoder, decoder, [heads[place]], **kwargs).train(self.training)  # type: ignore[arg-type]

    def layer_graph(self) -> LayerGraph:
        """Return all layers; each head starts at its node."""
        layer_graph = [*self.encoder.layer_graph(), *self.decoder.layer_graph()]  # type: ignore[operator]
        first = self.decoder.columns - len(self.head) + 1  # type: ignore[operator]
        for j, head in enumerate(self.head, first):  # type: ignore[arg-type]
            layer_graph += [Branch(f"0,{j}"), *head.layer_graph()]
        return layer_graph


class Classifier(nn.Module):
    """encoder -> coarsest map -> head -> one logit per class.

    Parameters
    ----------
    encoder : nn.Module
        Encoder with a `layer_graph`; only its coarsest map is used.
    head : nn.Module
        (batch, channels, h, w) -> (batch, classes), with a `layer_graph`.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build_classifier
    >>> network = build_classifier(NetworkOptions(name="resnet20", base=2, classes=5)).eval()
    >>> network(torch.zeros(1, 1, 33, 50)).shape
    torch.Size([1, 5])
    """

    dimensions = 2

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self._geometry = derive_classifier_geometry(self.layer_graph())

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Images of at least the minimum size -> logits.

        Raises
        ------
        BadOption
            A side is too small.
        """
        _check_sides(image, self._geometry)
        return self.head(self.encoder(image)[-1])

    def forward_heads(self, image: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """Return the logits as a list with one element."""
        return [self(image)]

    def layer_graph(self) -> LayerGraph:
        """Return all layers in execution order."""
        return [*self.encoder.layer_graph(), *self.head.layer_graph()]  # type: ignore[operator]

    def geometry(self) -> Geometry:
        """Return stride and receptive field of the last map, and the minimum size."""
        return self._geometry

    def layers(self, size: int) -> tuple[Layer, ...]:
        """Return a row per layer for a square input of `size`."""
        self._geometry.check(size)
        return _rows(self.layer_graph(), size, [sizes_with_remainder(self.layer_graph(), size) or []] * 2)


Network = Segmenter | Classifier
AnyNetwork = Network | Ensemble  # content of a model file


def make_segmenter(
    encoder: Encoder, decoder: nn.Module, head: nn.Module, *, normalisation: str, dimensions: int = 2
) -> Segmenter:
    """Assemble a segmenter with the tiling and size constraints of its normalisation.

    Parameters
    ----------
    encoder : Encoder
        Image -> skips.
    decoder : nn.Module
        Skips -> features.
    head : nn.Module
        Features -> logits.
    normalisation : {"batch", "group", "instance", "none"}
        Normalisation of the modules; "group" and "instance" depend on the whole image.
    dimensions : {2, 3}
        Spatial axes of the images.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build_segmenter
    >>> plain = build_segmenter(NetworkOptions(base=2, depth=2))
    >>> make_segmenter(plain.encoder, plain.decoder, plain.head, normalisation="instance").geometry().exact
    False
    """
    exact = normalisation in ("batch", "none")
    smallest = 2 if normalisation == "instance" else 1  # a single pixel has no standard deviation
    modules: tuple[nn.Module, nn.Module, nn.Module] = (encoder, decoder, head)  # type: ignore[assignment]
    return Segmenter(*modules, exact=exact, smallest=smallest, dimensions=dimensions)


def _check_sides(image: Tensor, geometry: Geometry) -> None:
    """Check that all sides are valid, except during export, where sides are symbols."""
    if not torch.compiler.is_exporting():
        for axis, side in enumerate(image.shape[2:]):
            geometry.along(axis).check(side)


def _rows(layer_graph: LayerGraph, size: int, sizes: Sequence[Sequence[int]]) -> tuple[Layer, ...]:
    """Return a row per layer; `sizes` are those after each element, along each axis."""
    each = list(zip(*sizes, strict=True))
    return tuple(
        _row(element, before, after)
        for element, before, after in zip(layer_graph, [(size,) * len(sizes), *each[:-1]], each, strict=True)
        if isinstance(element, LayerSpec)
    )


def _row(spec: LayerSpec, before: tuple[int, ...], after: tuple[int, ...]) -> Layer:
    # a transposed convolution applies its kernel per input pixel, the others per output pixel
    places = math.prod(before if spec.kind == "transposed" else after)
    weighted, last = spec.kind in WEIGHTED, len(after) - 1
    flops = 2 * spec.kernel_size(len(after)) * spec.in_channels * spec.channels * places if weighted else 0
    return Layer(
        name=spec.name,
        kind=spec.kind,
        in_channels=spec.in_channels,
        channels=spec.channels,
        input_size=before[last],
        output_size=after[last],
        arithmetic=spec.along(last).arithmetic(before[last]),
        parameters=spec.parameters,
        flops=flops,
        values=spec.channels * math.prod(after),
    )
