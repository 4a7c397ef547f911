"""PyTorch runtime: converts arrays to tensors and runs the network in inference mode."""

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.device import find_device
from pixelwise.errors import BadOption
from pixelwise.geometry.subgraphs import NetworkStages, Subgraph
from pixelwise.networks.subgraphs import staged
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import RuntimeMemory
from pixelwise.runtimes.cache import cache_folder
from pixelwise.runtimes.cuda_graphs import CudaGraphRunner
from pixelwise.runtimes.fold_batch_norm import fold_batch_norm
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.runtimes.statistics import ChannelStatistics
from pixelwise.runtimes.whole_image import WholeImageNetwork, record_whole_image

HELD = 128 * 2**20  # bytes of blocks that the allocator keeps beside those of the largest tile


class TorchRuntime:
    """A network in PyTorch: batch normalisation folded into the convolutions, channels last, inference mode.

    Threads: the setting of PyTorch, but not more than this process has cores; PyTorch ignores the quotas of containers.
    On CUDA, batches of a repeated shape are replayed (see `cuda_graphs`).

    Parameters
    ----------
    network : nn.Module
        Copied, not modified.
    device : str
        "cpu", "cuda" or "mps".
    precision : {"fp32", "bf16"}
        "bf16" computes convolutions in bfloat16 (8 bits of mantissa) and returns float32 logits. It is faster on
        hardware with bfloat16 support and three times slower than float32 elsewhere, so it is never the default.
    compiled : bool
        Use `torch.compile`, which takes 5 to 30 s for the first batch of each shape.

    Attributes
    ----------
    divides_threads : bool
        Several threads may call it at the same time, each with a number of threads of its own.

    Raises
    ------
    BadOption
        `compiled` is set, but no C++ compiler is available.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        *,
        compiled: bool = False,
    ) -> None:
        self._device = find_device(device)
        if self._device.name == "cpu":
            torch.set_num_threads(min(torch.get_num_threads(), usable_threads()))
        folded = fold_batch_norm(network)
        self._layout = channels_last(folded)
        folded = folded.to(device=self._device.place, memory_format=self._layout)  # type: ignore[call-overload]
        self._network: Callable[[Tensor], Tensor] = _compile(folded, device) if compiled else folded
        self.divides_threads = self._device.name == "cpu" and not compiled
        self._bfloat16 = precision == "bf16"
        self._dtype = next(network.parameters()).dtype
        plain = precision == "fp32" and not compiled
        # elsewhere the halo costs less than moving maps to and fro
        self._staged = staged(folded) if plain and self._device.near_memory else None
        self._compute = CudaGraphRunner(self._forward) if self._device.graphs else self._forward
        self.memory = RuntimeMemory(held=HELD)
        self._measurable = folded if plain and self._device.float64 else None

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels *size"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating-point type of the weights."""
        with torch.inference_mode():
            batch = torch.from_numpy(tiles).to(device=self._device.place, dtype=self._dtype)
            logits = self._compute(batch.contiguous(memory_format=self._layout))
            # contiguous, because post-processing is twenty times slower in channels-last format
            return logits.to(self._dtype).contiguous().cpu().numpy()

    @property
    def stages(self) -> NetworkStages | None:
        """The stages of the network; None if it cannot be cut, or computes in another way than by its layers."""
        return None if self._staged is None else self._staged.stages

    def run_subgraph(
        self, subgraph: Subgraph, *maps: Float[np.ndarray, "batch _ *_"]
    ) -> Float[np.ndarray, "batch out_channels *out_size"]:
        """Return the output of a subgraph; it is fastest for maps whose channels are adjacent in memory."""
        if self._staged is None:
            raise ValueError("a network that cannot be cut")
        keep_large_blocks()  # maps of large tiles would be mapped again for every layer
        with torch.inference_mode():
            inputs = [torch.from_numpy(values).to(self._dtype) for values in maps]
            inputs = [_with_layout(values, self._layout) for values in inputs]
            output = self._staged.run(subgraph, *inputs)
            # as in `__call__`: only maps stay in channels-last format
            return (output.contiguous() if subgraph.output == ("decoder", 0) else output).numpy()

    @cached_property
    def whole_image(self) -> WholeImageNetwork | None:
        """The network, if it has whole-image normalisations whose statistics can be measured."""
        return None if self._measurable is None else record_whole_image(self._measurable, self._layout)

    def with_statistics(self, statistics: Sequence[ChannelStatistics]) -> "TorchRuntime":
        """Return a runtime of the network with fixed statistics of its normalisations.

        Raises
        ------
        ValueError
            They cannot be measured.
        """
        if self.whole_image is None:
            raise ValueError("a network without whole-image normalisations")
        return TorchRuntime(self.whole_image.fix(statistics), self._device.name)

    def _forward(self, batch: Tensor) -> Tensor:
        if not self._bfloat16:
            return self._network(batch)
        # cached casts of autocast would be freed before a captured graph is replayed
        with torch.autocast(self._device.place, torch.bfloat16, cache_enabled=not self._device.graphs):
            return self._network(batch)


def channels_last(network: nn.Module) -> torch.memory_format:
    """Return the memory format in which the channels of the maps of a network are adjacent."""
    volumes = any(isinstance(module, nn.Conv3d) for module in network.modules())
    return torch.channels_last_3d if volumes else torch.channels_last


def _with_layout(values: Tensor, layout: torch.memory_format) -> Tensor:
    """Return values in a memory format, whose strides tell it.

    Arrays with a new axis of one element have a stride of 0 there, by which PyTorch would take channels last for
    contiguous, and compute all layers in that format.
    """
    values = values.contiguous(memory_format=layout)
    strides = torch.empty(values.shape, device="meta", memory_format=layout).stride()
    return values.as_strided(values.shape, strides)


def _compile(network: nn.Module, device: str) -> Callable[[Tensor], Tensor]:
    """Compile a network with `torch.compile`, with static shapes.

    On CPUs the weights are frozen, which fuses ReLUs into the preceding convolutions. This is not compatible with
    dynamic shapes (PyTorch 2.13 generates code that fails its own stride checks).
    """
    name = os.environ.get("CXX") or "g++"
    if device == "cpu" and shutil.which(name) is None:
        hint = "Install it (Debian, Ubuntu: g++ and python3-dev), or choose another --runtime."
        raise BadOption("a C++ compiler for --runtime torch-compile", f"no `{name}`", hint)
    # use the cache of the user instead of the temporary folder, which all users share
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised by PyTorch when it imports its compiler
        from torch._dynamo.exc import TorchDynamoException

        compiled = torch.compile(network, dynamic=False, options={"freezing": True} if device == "cpu" else None)
    compute = cast(Callable[[Tensor], Tensor], compiled)

    def call(batch: Tensor) -> Tensor:
        try:
            return compute(batch)
        except TorchDynamoException as error:
            got = f"a compiler that fails ({str(error).strip().splitlines()[0]})"
            hint = "Install g++ and the headers of Python (python3-dev), or choose another --runtime."
            raise BadOption("a C++ compiler that builds for Python", got, hint) from error

    return call
