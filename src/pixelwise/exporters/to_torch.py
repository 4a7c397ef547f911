"""torch.export: the graph as a .pt2 file for programs that have PyTorch but not pixelwise."""

import io
from pathlib import Path

import numpy as np
import torch

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.exporters.graph import ExportGraph, quiet, trace
from pixelwise.model_file.model_card import ModelCard, write_model_card_text
from pixelwise.networks.models import AnyNetwork
from pixelwise.runtimes.base import METADATA, Outputs, graph_inputs


def write_torch(path: Path, network: AnyNetwork, model_card: ModelCard) -> None:
    """Write the .pt2 file atomically; the model card is its extra file `pixelwise`."""
    content = io.BytesIO()
    with quiet():
        torch.export.save(
            trace(ExportGraph(network, model_card)), content, extra_files={METADATA: write_model_card_text(model_card)}
        )
    atomic_write_bytes(path, content.getvalue())


class TorchExportGraph:
    """A .pt2 file written by this process, for its parity check.

    Not for other files: PyTorch can run code in a .pt2 file even without pickles, because sizes are text that it
    evaluates.
    """

    def __init__(self, path: Path, model_card: ModelCard) -> None:
        with quiet():
            self._graph = torch.export.load(io.BytesIO(path.read_bytes())).module()
        self._names = ("image", "mean", "std") if model_card.normalisation.kind == "image" else ("image",)

    def outputs(self, image: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Outputs:
        """Return all outputs for images in file values."""
        inputs = graph_inputs(self._names, image, mean, std)
        with torch.inference_mode():
            values = self._graph(*(torch.from_numpy(inputs[name]) for name in self._names))
        return Outputs(*(value.numpy() for value in values))
