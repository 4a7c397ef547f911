"""Attention gates: Oktay et al. 2018, "Attention U-Net: learning where to look for the pancreas" (arXiv 1804.03999)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save, axis_fields
from pixelwise.networks.blocks import ConvLayer, convolution_spec
from pixelwise.networks.layers import CONVOLUTIONS, Extent, make_interpolation, per_axis
from pixelwise.networks.options import NormalisationName


class GridGate(nn.Module):
    """The published attention gate: weights a skip by a coarser gating signal.

    Equations 1 and 2 and figure 2, additive attention on the coarser grid: theta is a 2 x 2 convolution of stride 2
    without bias on the skip, phi a 1 x 1 convolution on the gating signal; ReLU of their sum, psi 1 x 1, sigmoid; the
    coefficients are interpolated to the size of the skip and multiplied with it; then 1 x 1 and normalisation.

    Parameters
    ----------
    name : str
        Name of the skip in the layer graph.
    skip_channels : int
        Channels of the skip.
    gate_channels : int
        Channels of the gating signal, which has half the size of the skip.
    normalisation : {"batch", "group", "instance", "none"}
        After the 1 x 1 convolutions of signal and output.
    dimensions : {2, 3}
        Spatial axes of the maps.
    with_signal : bool
        Apply 1 x 1 convolution, normalisation and ReLU to the gating signal, as for the coarsest map.
    stride : int or tuple of int
        Between the skip and the gating signal; of each axis if they differ.

    Examples
    --------
    >>> import torch
    >>> gate = GridGate("0", 4, 8, "batch")
    >>> gate(torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 8, 8)).shape
    torch.Size([1, 4, 16, 16])
    """

    def __init__(
        self,
        name: str,
        skip_channels: int,
        gate_channels: int,
        normalisation: NormalisationName,
        dimensions: int = 2,
        *,
        with_signal: bool = False,
        stride: Extent = 2,
    ) -> None:
        super().__init__()
        self._strides = per_axis(stride, dimensions)
        self.signal: ConvLayer | None = None
        if with_signal:
            self.signal = ConvLayer(
                f"gate {name} signal",
                gate_channels,
                gate_channels,
                kernel=1,
                normalisation=normalisation,
                bias=True,
                dimensions=dimensions,
            )
        conv = CONVOLUTIONS[dimensions]
        self.theta = conv(skip_channels, skip_channels, stride, stride=stride, bias=False)
        self.phi = conv(gate_channels, skip_channels, 1)
        self.psi = conv(skip_channels, 1, 1)
        self.up = make_interpolation("bilinear", dimensions, stride)
        self.out = _project(normalisation, dimensions)(f"gate {name} out", skip_channels, skip_channels)
        self._name = name

    def coefficients(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return the coefficients (batch, 1, h, w) in 0...1 on the grid of the skip; `gate` has half the size."""
        gate = gate if self.signal is None else self.signal(gate)
        return self.up(self.psi((self.theta(skip) + self.phi(gate)).relu()).sigmoid())

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return the weighted skip, in its shape."""
        return self.out(self.coefficients(skip, gate) * skip)

    def layer_graph(self) -> LayerGraph:
        """Return the layers; the gating signal is the current map before and after, the result is "<name> gated"."""
        name = self._name
        theta, phi, psi = (
            convolution_spec(f"gate {name} {part}", getattr(self, part)) for part in ("theta", "phi", "psi")
        )
        ones = (1,) * len(self._strides)
        fields = axis_fields(ones, self._strides, (0,) * len(ones))
        up = LayerSpec(name=f"gate {name} up", kind="bilinear", in_channels=1, channels=1, **fields)
        signal, weighted_skip = f"gate {name} signal", f"gate {name} skip"
        first = [Save(signal), Branch(name), theta, Save(weighted_skip), Branch(signal)]
        prepare = [] if self.signal is None else self.signal.layer_graph()
        return [
            *first,
            *prepare,
            phi,
            Merge(weighted_skip, "added"),
            psi,
            up,
            Merge(name, "multiplied"),
            *self.out.layer_graph(),
            Save(f"{name} gated"),
            Branch(signal),
        ]


class AlignedGate(nn.Module):
    """Attention gate of common reimplementations, on the grid of the skip: 1 x 1 with normalisation on both inputs.

    The gating signal is the upsampled map, in the size of the skip; the inner width is half that of the skip.

    Parameters
    ----------
    name, skip_channels, dimensions
        As for `GridGate`.
    gate_channels : int
        Channels of the gating signal.
    normalisation : {"batch", "group", "instance", "none"}
        After each 1 x 1 convolution.

    Examples
    --------
    >>> import torch
    >>> gate = AlignedGate("0", 4, 4, "batch")
    >>> gate.coefficients(torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 16, 16)).shape
    torch.Size([1, 1, 16, 16])
    """

    def __init__(
        self, name: str, skip_channels: int, gate_channels: int, normalisation: NormalisationName, dimensions: int = 2
    ) -> None:
        super().__init__()
        inner = max(1, skip_channels // 2)
        project = _project(normalisation, dimensions)
        self.theta = project(f"gate {name} theta", skip_channels, inner)
        self.phi = project(f"gate {name} phi", gate_channels, inner)
        self.psi = project(f"gate {name} psi", inner, 1)
        self._name = name

    def coefficients(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return the coefficients (batch, 1, h, w) in 0...1; `gate` has the size of `skip`."""
        return self.psi((self.theta(skip) + self.phi(gate)).relu()).sigmoid()

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Return the weighted skip, in its shape."""
        return skip * self.coefficients(skip, gate)

    def layer_graph(self) -> LayerGraph:
        """Return the layers; the gating signal is the current map before and after, the result is "<name> gated"."""
        name = self._name
        signal, weighted_skip = f"gate {name} signal", f"gate {name} skip"
        first = [
            Save(signal),
            Branch(name),
            *self.theta.layer_graph(),
            Save(weighted_skip),
            Branch(signal),
            *self.phi.layer_graph(),
        ]
        last = [
            Merge(weighted_skip, "added"),
            *self.psi.layer_graph(),
            Merge(name, "multiplied"),
            Save(f"{name} gated"),
            Branch(signal),
        ]
        return [*first, *last]


def _project(normalisation: NormalisationName, dimensions: int) -> Callable[[str, int, int], ConvLayer]:
    """Return (name, in_channels, channels) -> 1 x 1 convolution with bias and normalisation, without activation."""
    return partial(ConvLayer, kernel=1, normalisation=normalisation, activation=None, bias=True, dimensions=dimensions)
