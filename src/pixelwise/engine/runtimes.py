"""What computes a batch of tiles: arrays in, arrays out. The one border between arrays and tensors in prediction."""

from copy import deepcopy
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from pixelwise.engine.folding import fold_batch_norm


@runtime_checkable
class Runtime(Protocol):
    """Computes logits for a batch of tiles of a legal size."""

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating type the network computes in."""
        ...


class TorchRuntime:
    """A network in PyTorch: batch normalisation folded into the convolutions, channels last, inference mode.

    Parameters
    ----------
    network : nn.Module
        Is copied, and stays as it is.
    device : str
        "cpu", "cuda" or "mps".
    """

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        folded = fold_batch_norm(deepcopy(network).eval())
        self._network = folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._dtype = next(network.parameters()).dtype

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating type of the network's weights."""
        with torch.inference_mode():
            batch = torch.from_numpy(tiles).to(device=self._device, dtype=self._dtype)
            return self._network(batch.contiguous(memory_format=torch.channels_last)).cpu().numpy()
