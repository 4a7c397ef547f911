"""Whole-image normalisations of a network in PyTorch: measuring their statistics tile by tile, and fixing them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Span
from pixelwise.geometry.statistics_passes import Operation, StatisticsPass
from pixelwise.networks.layers import BATCH_NORMS
from pixelwise.networks.models import AnyNetwork, Segmenter
from pixelwise.runtimes.recording import Recording, record, sample_sides
from pixelwise.runtimes.statistics import ChannelStatistics, Moments

Norm = nn.GroupNorm | nn.InstanceNorm2d | nn.InstanceNorm3d


class WholeImageNetwork:
    """A network whose instance or group normalisations can be measured tile by tile.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; not modified.
    recording : Recording
        Of that network.
    layout : torch.memory_format
        Of the maps.
    """

    def __init__(self, network: nn.Module, recording: Recording, layout: torch.memory_format) -> None:
        self._network, self._recording, self._layout = network, recording, layout
        self._parameter = next(network.parameters())
        numbers = (number for number, operation in enumerate(recording.graph) if operation.groups)
        self._names = dict(zip(numbers, recording.norms, strict=True))
        self._fixed: dict[int, tuple[ChannelStatistics, nn.Module]] = {}

    @property
    def graph(self) -> tuple[Operation, ...]:
        """The operations of the network."""
        return self._recording.graph

    def measure(
        self,
        step: StatisticsPass,
        inputs: Mapping[int, Float[np.ndarray, "one _ *_"]],
        keep: Sequence[Span],
        statistics: Mapping[int, ChannelStatistics],
    ) -> tuple[Moments, dict[int, np.ndarray]]:
        """Compute a tile of a pass; return the moments of its target, and the values to store.

        Parameters
        ----------
        inputs : mapping
            What the tile reads, by number.
        keep : sequence of (start, stop)
            The valid region along each axis, in pixels of the image from the first one that is read.
        statistics : mapping
            Of the normalisations before, by number.
        """
        wanted = {step.target, *step.stores}
        needed = self._names.keys() & set(step.operations)
        normalise = {number: self._normalise(number, statistics[number]) for number in needed}
        stored: dict[int, np.ndarray] = {}
        moments: Moments | None = None
        with torch.inference_mode():
            values = {number: self._read(value) for number, value in inputs.items()}
            for number, value in self._recording.run(step.operations, values, wanted, normalise):
                strides = self.graph[number].strides
                place = tuple(slice(a // s, b // s) for (a, b), s in zip(keep, strides, strict=True))
                valid = value[0][(slice(None), *place)]
                if number in step.stores:
                    stored[number] = valid.to("cpu", copy=True).numpy()
                if number == step.target:
                    moments = _moments(valid)
        if moments is None:
            raise ValueError("a pass without its target")
        return moments, stored

    def fix(self, statistics: Sequence[ChannelStatistics]) -> nn.Module:
        """Return a copy of the network with fixed statistics, whose tiles are exact.

        With fixed statistics, instance and group normalisation are batch normalisation in evaluation mode.

        Parameters
        ----------
        statistics : sequence of ChannelStatistics
            Of each normalisation, in the order of the recording.
        """
        network = deepcopy(self._network)
        for name, each in zip(self._recording.norms, statistics, strict=True):
            parent, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(parent), leaf, self._fixed_norm(name, each))
        for module in network.modules():
            if isinstance(module, Segmenter):
                module.make_exact()
        return network.eval()

    def _read(self, value: Float[np.ndarray, "one _ *_"]) -> Tensor:
        """Return a copy of an input on the device: operations may change it."""
        tensor = torch.from_numpy(value).to(device=self._parameter.device, dtype=self._parameter.dtype)
        return tensor.clone(memory_format=self._layout)

    def _normalise(self, number: int, statistics: ChannelStatistics) -> nn.Module:
        """Return the normalisation with these statistics, which all tiles share."""
        known = self._fixed.get(number)
        if known is None or known[0] is not statistics:
            known = self._fixed[number] = statistics, self._fixed_norm(self._names[number], statistics)
        return known[1]

    def _fixed_norm(self, name: str, statistics: ChannelStatistics) -> nn.Module:
        """Return the batch normalisation that a normalisation is with fixed statistics."""
        module = cast(Norm, self._network.get_submodule(name))
        fixed = BATCH_NORMS[len(self.graph[0].strides)](len(statistics.mean), eps=module.eps)
        fixed = fixed.to(self._parameter.device, self._parameter.dtype)
        values = {"running_mean": statistics.mean, "running_var": statistics.variance}
        state = {key: torch.from_numpy(value.copy()) for key, value in values.items()}
        if module.affine:
            state |= {"weight": module.weight.detach(), "bias": module.bias.detach()}
        fixed.load_state_dict(state, strict=False)
        return fixed.eval()


def record_whole_image(network: AnyNetwork, layout: torch.memory_format) -> WholeImageNetwork | None:
    """Return a network whose whole-image normalisations can be measured; None if it has none, or other such layers.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    """
    geometry = network.geometry()
    if geometry.exact or geometry.margin or geometry.legal_first % geometry.total_stride:
        return None
    convolution = next(m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    dimensions = 3 if isinstance(convolution, nn.Conv3d) else 2
    sides = sample_sides([geometry.along(axis).total_stride for axis in range(dimensions)])
    recording = record(network, dimensions, sides, convolution.in_channels)
    return None if recording is None or not recording.norms else WholeImageNetwork(network, recording, layout)


def _moments(values: Float[Tensor, "channels *size"]) -> Moments:
    """Return the moments of a map, computed in two passes with sums in float64."""
    axes = tuple(range(1, values.ndim))
    count = values[0].numel()
    mean = values.mean(axes, dtype=torch.float64)
    near = mean.to(values.dtype)  # the mean in the type of the values, whose difference is corrected for
    squares = (values - near.reshape(-1, *(1,) * len(axes))).square().sum(axes, dtype=torch.float64)
    squares -= count * (mean - near.double()).square()
    return Moments(count, mean.cpu().numpy(), squares.clamp_min(0.0).cpu().numpy())
