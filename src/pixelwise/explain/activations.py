"""Listening: hooks on the finished parts of a network tell the maps that go through them."""

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

Part = Literal["encoder", "skip", "decoder"]


@dataclass(frozen=True)
class Stage:
    """The feature maps at one place of a network.

    Attributes
    ----------
    name : str
        Such as "encoder 1"; levels are counted from the finest, so that equal numbers have equal sizes. "x0,1" are the
        nodes of U-Net++.
    part : {"encoder", "skip", "decoder"}
        A skip is what the decoder really joins: cut to size, and weighted where there is a gate.
    stride : int
        Pixels of the input per pixel of the maps.
    maps : float32 array (channels, height, width)
    """

    name: str
    part: Part
    stride: int
    maps: Float32[np.ndarray, "channels height width"]

    def deviations(self) -> Float32[np.ndarray, " channels"]:
        """Return how much each map varies: its standard deviation over the pixels. 0 is a silent channel."""
        return self.maps.std(axis=(1, 2), dtype=np.float64).astype(np.float32)

    def most_varied(self) -> Int[np.ndarray, " channels"]:
        """Return the channels, those that vary most first."""
        return np.argsort(-self.deviations(), kind="stable")


@dataclass(frozen=True)
class Gating:
    """What an attention gate lets through.

    Attributes
    ----------
    name : str
    stride : int
    coefficients : float32 array (height, width)
        In 0...1, on the grid of the skip.
    """

    name: str
    stride: int
    coefficients: Float32[np.ndarray, "height width"]


@dataclass(frozen=True)
class Activation:
    """A map that a hook heard: the first `channels` of `tensor`, which is part of the graph."""

    name: str
    part: Part
    stride: int
    tensor: Tensor
    channels: int

    def cut(self, tensor: Tensor) -> Float32[np.ndarray, "channels height width"]:
        """Return the heard channels of `tensor` or of its gradient, as a copy."""
        return tensor[0, : self.channels].detach().numpy().astype(np.float32)


class ActivationRecorder:
    """Collects what goes through the parts of a network.

    Attributes
    ----------
    maps : list of Heard
        In the order of computing.
    gates : list of Gating
    """

    def __init__(self) -> None:
        self.maps: list[Activation] = []
        self.gates: list[Gating] = []

    def listen(self, network: Network) -> Iterator[RemovableHandle]:
        """Put hooks on the encoder, on the blocks of the decoder and on its gates."""
        yield network.encoder.register_forward_hook(self._hear_encoder)
        if isinstance(network, Classifier):
            return
        if isinstance(centre := getattr(network.decoder, "centre", None), nn.Module):
            strides: tuple[int, ...] = network.encoder.strides  # type: ignore[assignment]
            yield centre.register_forward_hook(self._hear_block("centre", strides[-1]))
        for name, level, up, block, gate in _levels(network.decoder):
            stride = 2 ** (level - 1)
            yield block.register_forward_pre_hook(self._hear_skip(f"skip {name}", stride, up))
            yield block.register_forward_hook(self._hear_block(f"decoder {name}", stride))
            if isinstance(gate, GridGate | AlignedGate):
                yield gate.register_forward_hook(self._hear_gate(f"gate {name}", stride))

    def _hear_encoder(self, encoder: nn.Module, inputs: Any, maps: Sequence[Tensor]) -> None:
        strides: tuple[int, ...] = encoder.strides  # type: ignore[assignment]
        for stride, features in zip(strides, maps, strict=True):
            name = f"encoder {stride.bit_length()}"
            self.maps.append(Activation(name, "encoder", stride, features, features.shape[1]))

    def _hear_skip(self, name: str, stride: int, up: nn.Module) -> Any:
        """Listen to what a block gets: what the skips bring, and behind it the map that came up."""

        def hear(block: nn.Module, inputs: tuple[Tensor]) -> None:
            channels = inputs[0].shape[1] - up.channels  # type: ignore[operator]
            if channels > 0:
                self.maps.append(Activation(name, "skip", stride, inputs[0], channels))  # type: ignore[arg-type]

        return hear

    def _hear_block(self, name: str, stride: int) -> Any:
        def hear(block: nn.Module, inputs: Any, features: Tensor) -> None:
            self.maps.append(Activation(name, "decoder", stride, features, features.shape[1]))

        return hear

    def _hear_gate(self, name: str, stride: int) -> Any:
        def hear(gate: GridGate | AlignedGate, inputs: tuple[Tensor, Tensor], out: Tensor) -> None:
            with torch.no_grad():
                self.gates.append(Gating(name, stride, gate.coefficients(*inputs)[0, 0].numpy()))

        return hear


def _levels(decoder: nn.Module) -> Iterator[tuple[str, int, nn.Module, nn.Module, nn.Module | None]]:
    """Yield name, level (1 is the finest), up-sampling, block and gate of each place of a decoder."""
    if isinstance(decoder, UNetDecoder):
        levels = range(len(decoder.blocks), 0, -1)
        for level, up, block, gate in zip(levels, decoder.ups, decoder.blocks, decoder.gates, strict=True):
            yield str(level), level, up, block, gate
    elif isinstance(decoder, NestedDecoder):
        for node, block in decoder.blocks.items():
            yield f"x{node.replace('_', ',')}", int(node.split("_")[0]) + 1, decoder.ups[node], block, None
