"""Batches of tiles in PyTorch: the one border between arrays and tensors in prediction."""

from contextlib import nullcontext
from copy import deepcopy
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from pixelwise.engine.folding import fold_batch_norm


class TorchRuntime:
    """A network in PyTorch: batch normalisation folded into the convolutions, channels last, inference mode.

    Parameters
    ----------
    network : nn.Module
        Is copied, and stays as it is.
    device : str
        "cpu", "cuda" or "mps".
    precision : {"fp32", "bf16"}
        "bf16" computes convolutions in bfloat16 (8 bits of mantissa) and gives float32 logits. It pays on hardware with
        units for it and is three times slower than float32 elsewhere, so it is never chosen unasked.
    """

    def __init__(self, network: nn.Module, device: str = "cpu", precision: Literal["fp32", "bf16"] = "fp32") -> None:
        folded = fold_batch_norm(deepcopy(network).eval())
        self._network = folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device, self._half = device, precision == "bf16"
        self._dtype = next(network.parameters()).dtype

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating type of the network's weights."""
        low = torch.autocast(self._device, torch.bfloat16) if self._half else nullcontext()
        with torch.inference_mode(), low:
            batch = torch.from_numpy(tiles).to(device=self._device, dtype=self._dtype)
            logits = self._network(batch.contiguous(memory_format=torch.channels_last))
            return logits.to(self._dtype).cpu().numpy()
