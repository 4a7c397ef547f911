"""Activations of a network, recorded by forward hooks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pixelwise.networks.attention import AlignedGate, GridGate
from pixelwise.networks.decoders import NestedDecoder, UNetDecoder
from pixelwise.networks.models import Classifier, Network

Kind = Literal["encoder", "skip", "decoder"]


@dataclass(frozen=True)
class Stage:
    """The feature maps of one stage of a network.

    Attributes
    ----------
    name : str
        Such as "encoder 1"; levels are counted from the finest, so that equal numbers have equal sizes. Nodes of
        U-Net++ have names such as "x0,1".
    part : {"encoder", "skip", "decoder"}
        A skip is the input of the concatenation: cropped to size, and weighted by an attention gate if there is one.
    stride : int
        Pixels of the input per pixel of the maps.
    maps : float32 array (channels, height, width), or (channels, depth, height, width) of a volume
    """

    name: str
    part: Kind
    stride: int
    maps: Float32[np.ndarray, " channels *size"]

    def deviations(self) -> Float32[np.ndarray, " channels"]:
        """Return the standard deviation of each channel over the pixels; 0 for a dead channel."""
        return self.maps.std(axis=tuple(range(1, self.maps.ndim)), dtype=np.float64).astype(np.float32)

    def most_varied(self) -> Int[np.ndarray, " channels"]:
        """Return the channel indices, sorted by decreasing standard deviation."""
        return np.argsort(-self.deviations(), kind="stable")


@dataclass(frozen=True)
class Gating:
    """Coefficients of an attention gate.

    Attributes
    ----------
    coefficients : float32 array (height, width) or (depth, height, width)
        In 0...1, on the grid of the skip.
    """

    name: str
    stride: int
    coefficients: Float32[np.ndarray, "*size"]


@dataclass(frozen=True)
class Activation:
    """A recorded feature map: the first `channels` of `tensor`, which stays in the autograd graph."""

    name: str
    part: Kind
    stride: int
    tensor: Tensor
    channels: int

    def cut(self, tensor: Tensor) -> Float32[np.ndarray, " channels *size"]:
        """Return a copy of the recorded channels of `tensor` or of its gradient."""
        return tensor[0, : self.channels].detach().numpy().astype(np.float32)


class ActivationRecorder:
    """Records the feature maps and attention gates of a network.

    Attributes
    ----------
    maps : list of Activation
        In execution order.
    gates : list of Gating
    """

    def __init__(self) -> None:
        self.maps: list[Activation] = []
        self.gates: list[Gating] = []

    def register(self, network: Network) -> Iterator[RemovableHandle]:
        """Register hooks on the encoder, the blocks of the decoder and its gates."""
        yield network.encoder.register_forward_hook(self._record_encoder)
        if isinstance(network, Classifier):
            return
        if isinstance(centre := getattr(network.decoder, "centre", None), nn.Module):
            strides: tuple[int, ...] = network.encoder.strides  # type: ignore[assignment]
            yield centre.register_forward_hook(self._record_block("centre", strides[-1]))
        for name, level, up, block, gate in _levels(network.decoder):
            stride = 2 ** (level - 1)
            yield block.register_forward_pre_hook(self._record_skip(f"skip {name}", stride, up))
            yield block.register_forward_hook(self._record_block(f"decoder {name}", stride))
            if isinstance(gate, GridGate | AlignedGate):
                yield gate.register_forward_hook(self._record_gate(f"gate {name}", stride))

    def _record_encoder(self, encoder: nn.Module, inputs: Any, maps: Sequence[Tensor]) -> None:
        strides: tuple[int, ...] = encoder.strides  # type: ignore[assignment]
        for stride, features in zip(strides, maps, strict=True):
            name = f"encoder {stride.bit_length()}"
            self.maps.append(Activation(name, "encoder", stride, features, features.shape[1]))

    def _record_skip(self, name: str, stride: int, up: nn.Module) -> Any:
        """Record the skip channels of a block's input, which precede the upsampled ones."""

        def record(block: nn.Module, inputs: tuple[Tensor]) -> None:
            channels = inputs[0].shape[1] - up.channels  # type: ignore[operator]
            if channels > 0:
                self.maps.append(Activation(name, "skip", stride, inputs[0], channels))  # type: ignore[arg-type]

        return record

    def _record_block(self, name: str, stride: int) -> Any:
        def record(block: nn.Module, inputs: Any, features: Tensor) -> None:
            self.maps.append(Activation(name, "decoder", stride, features, features.shape[1]))

        return record

    def _record_gate(self, name: str, stride: int) -> Any:
        def record(gate: GridGate | AlignedGate, inputs: tuple[Tensor, Tensor], out: Tensor) -> None:
            with torch.no_grad():
                self.gates.append(Gating(name, stride, gate.coefficients(*inputs)[0, 0].numpy()))

        return record


def _levels(decoder: nn.Module) -> Iterator[tuple[str, int, nn.Module, nn.Module, nn.Module | None]]:
    """Yield name, level (1 is the finest), upsampling, block and gate of each stage of a decoder."""
    if isinstance(decoder, UNetDecoder):
        levels = range(len(decoder.blocks), 0, -1)
        for level, up, block, gate in zip(levels, decoder.ups, decoder.blocks, decoder.gates, strict=True):
            yield str(level), level, up, block, gate
    elif isinstance(decoder, NestedDecoder):
        for node, block in decoder.blocks.items():
            yield f"x{node.replace('_', ',')}", int(node.split("_")[0]) + 1, decoder.ups[node], block, None
