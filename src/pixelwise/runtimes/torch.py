"""Batches of tiles in PyTorch: the one border between arrays and tensors in prediction."""

import os
import shutil
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.cache import cache_folder
from pixelwise.runtimes.cuda_graphs import CudaGraphRunner
from pixelwise.runtimes.fold_batch_norm import fold_batch_norm


class TorchRuntime:
    """A network in PyTorch: batch normalisation folded into the convolutions, channels last, inference mode.

    Threads: PyTorch's own number, but no more than this process has cores; its guess passes over the quotas of
    containers. On CUDA, batches of a shape that comes again are replayed (see `cuda_graphs`).

    Parameters
    ----------
    network : nn.Module
        Is copied, and stays as it is.
    device : str
        "cpu", "cuda" or "mps".
    precision : {"fp32", "bf16"}
        "bf16" computes convolutions in bfloat16 (8 bits of mantissa) and gives float32 logits. It pays on hardware with
        units for it and is three times slower than float32 elsewhere, so it is never chosen unasked.
    compiled : bool
        Let `torch.compile` make code for each shape of batch, when it comes first: 5 to 30 s each.

    Raises
    ------
    BadOption
        `compiled`, and there is nothing that compiles.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        *,
        compiled: bool = False,
    ) -> None:
        if device == "cpu":
            torch.set_num_threads(min(torch.get_num_threads(), usable_threads()))
        folded = fold_batch_norm(deepcopy(network).eval())
        folded = folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: Callable[[Tensor], Tensor] = _compile(folded, device) if compiled else folded
        self._device, self._half = device, precision == "bf16"
        self._dtype = next(network.parameters()).dtype
        self._compute = CudaGraphRunner(self._forward) if device == "cuda" else self._forward

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating type of the network's weights."""
        with torch.inference_mode():
            batch = torch.from_numpy(tiles).to(device=self._device, dtype=self._dtype)
            logits = self._compute(batch.contiguous(memory_format=torch.channels_last))
            # channel by channel: what is done with them next takes twenty times as long where channels lie last
            return logits.to(self._dtype).contiguous().cpu().numpy()

    def _forward(self, batch: Tensor) -> Tensor:
        if not self._half:
            return self._network(batch)
        # weights that autocast has cast once would be gone when a recorded graph is replayed
        with torch.autocast(self._device, torch.bfloat16, cache_enabled=self._device != "cuda"):
            return self._network(batch)


def _compile(network: nn.Module, device: str) -> Callable[[Tensor], Tensor]:
    """Return what `torch.compile` makes of a network, a shape at a time.

    On processors weights become constants, which lets ReLUs be computed inside the convolutions before them. That and
    shapes that are left open exclude one another (PyTorch 2.13 makes code then that refuses its own strides).
    """
    name = os.environ.get("CXX") or "g++"
    if device == "cpu" and shutil.which(name) is None:
        hint = "Install it (Debian, Ubuntu: g++ and python3-dev), or choose another --runtime."
        raise BadOption("a C++ compiler for --runtime torch-compile", f"no `{name}`", hint)
    # compiled code lies in the user's own cache, not in the temporary folder that all users share
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's of itself, when it imports its compiler
        from torch._dynamo.exc import TorchDynamoException

        made = torch.compile(network, dynamic=False, options={"freezing": True} if device == "cpu" else None)
    compute = cast(Callable[[Tensor], Tensor], made)

    def call(batch: Tensor) -> Tensor:
        try:
            return compute(batch)
        except TorchDynamoException as error:
            got = f"a compiler that fails ({str(error).strip().splitlines()[0]})"
            hint = "Install g++ and the headers of Python (python3-dev), or choose another --runtime."
            raise BadOption("a C++ compiler that builds for Python", got, hint) from error

    return call
