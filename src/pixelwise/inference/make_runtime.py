"""Runtimes for the network of a run: PyTorch as it is, the others from its graph, which is made once and cached."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import BadModel
from pixelwise.exporters.parity_report import digest
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import Trained
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.benchmark import WORTH, check_name, choose, known_choice
from pixelwise.runtimes.cache import cache_folder
from pixelwise.runtimes.exported import EXTRAS, installed
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation


def make_runtime(
    name: str, network: Trained, model_card: ModelCard, path: Path, device: str, pixels: int | None, progress: Progress
) -> Runtime:
    """Return the runtime of a name, or for "auto" the one that was measured as the fastest.

    Parameters
    ----------
    name : str
        One of `benchmark.RUNTIMES`.
    network, recipe
        What the model file at `path` holds.
    path : Path
    device : {"cpu", "cuda", "mps"}
        All but "cpu" are PyTorch's.
    pixels : int or None
        How many are to be predicted, if that is known: where nothing was measured before, "auto" measures from
        `benchmark.WORTH` tiles on, and takes PyTorch below, which needs no conversion.
    progress : Progress

    Raises
    ------
    BadOption
        No such runtime.
    """
    check_name(name)
    if name.startswith("torch") or device != "cpu":
        precision = "bf16" if name.endswith("bf16") else "fp32"
        return TorchRuntime(network, device, precision, compiled=name.endswith("compile"))
    if name != "auto":
        kind = name.removesuffix("-bf16")
        if not _can(kind):
            progress.message(
                f'Runtime {kind} is not installed (pip install "pixelwise[onnx,openvino]"); torch computes.'
            )
            return TorchRuntime(network, device)
        return _converted(name, network, model_card, path)()
    return _fastest(network, model_card, path, pixels, progress)


def _fastest(network: Trained, model_card: ModelCard, path: Path, pixels: int | None, progress: Progress) -> Runtime:
    names = [name for name in EXTRAS if _can(name)]
    geometry = model_card.geometry
    side = geometry.legal_size(model_card.tile + 2 * (geometry.halo or geometry.margin))
    shape = (1, model_card.channels, side, side)
    model = digest(path) if names else ""
    if not names or (pixels is not None and pixels < WORTH * model_card.tile**2 and known_choice(model, shape) is None):
        return TorchRuntime(network)
    candidates: dict[str, Callable[[], Runtime]] = {"torch": lambda: TorchRuntime(network)}
    candidates |= {name: _converted(name, network, model_card, path) for name in names}
    choice, runtime = choose(candidates, model, shape, progress)
    progress.message(choice.messages(shape))
    return runtime


def _can(name: str) -> bool:
    return installed(EXTRAS[name]) and installed("onnx") and installed("onnxscript")


def _converted(name: str, network: Trained, model_card: ModelCard, path: Path) -> Callable[[], Runtime]:
    def make() -> Runtime:
        graph = _graph(network, model_card, path)
        try:
            return _load(name, graph)
        except BadModel:  # a damaged cache
            graph.unlink(missing_ok=True)
            return _load(name, _graph(network, model_card, path))

    return make


def _load(name: str, graph: Path) -> Runtime:
    if name == "onnx":
        from pixelwise.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(graph)
    from pixelwise.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(graph, precision="bf16" if name.endswith("bf16") else "fp32")


def _graph(network: Trained, model_card: ModelCard, path: Path) -> Path:
    """Return the cached graph of a model file, which takes tiles on the scale of the network; make it when missing."""
    key = hashlib.sha256(f"{digest(path)} {version('pixelwise')}".encode()).hexdigest()
    place = cache_folder() / "graphs" / f"{key[:32]}.onnx"
    if not place.is_file():
        from pixelwise.exporters.to_onnx import onnx_bytes

        plain = replace(model_card, normalisation=Normalisation(kind="none"))
        atomic_write_bytes(place, onnx_bytes(network, plain, metadata=model_card))
    return place
