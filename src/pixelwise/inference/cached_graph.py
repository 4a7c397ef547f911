"""The ONNX graph of a model file, exported once and kept in the user's cache.

`python -m pixelwise.inference.cached_graph MODEL GRAPH` exports it in a process of its own.
"""

import hashlib
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.exporters.parity_report import digest
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import AnyNetwork
from pixelwise.runtimes.cache import cache_folder
from pixelwise.sampling.normalise import Normalisation

LARGE = 2**25
"""Bytes of a model file from which the exporter has a process of its own.

The exporter of PyTorch leaves 0.16 GB of modules and two copies of the weights in its process. Starting a process takes
3 seconds.
"""


def cached_graph(network: AnyNetwork, model_card: ModelCard, path: Path) -> Path:
    """Return the cached ONNX graph of a model file, for normalised tiles; export it if it is missing."""
    key = hashlib.sha256(f"{digest(path)} {version('pixelwise')}".encode()).hexdigest()
    graph = cache_folder() / "graphs" / f"{key[:32]}.onnx"
    if not graph.is_file() and path.stat().st_size >= LARGE:
        words = [sys.executable, "-m", __name__, str(path.absolute()), str(graph.absolute())]
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not graph.is_file():  # a small model, or a process that cannot be started
        _export(network, model_card, graph)
    return graph


def _export(network: AnyNetwork, model_card: ModelCard, graph: Path) -> None:
    from pixelwise.exporters.to_onnx import onnx_bytes

    plain = replace(model_card, normalisation=Normalisation(kind="none"))
    atomic_write_bytes(graph, onnx_bytes(network, plain, metadata=model_card))


def main() -> None:
    """Export the model file that the first argument names to the second."""
    from pixelwise.model_file.model_file import load_model

    _export(*load_model(Path(sys.argv[1])), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
