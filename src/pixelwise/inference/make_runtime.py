"""Runtimes for the network of a run: PyTorch, or others from its ONNX graph, which is exported once and cached."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from pixelwise.errors import BadModel
from pixelwise.exporters.parity_report import digest
from pixelwise.inference.cached_graph import cached_graph
from pixelwise.inference.memory import tile_budget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.whole_image import MAX_RATIO
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import AnyNetwork
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime, StagedRuntime
from pixelwise.runtimes.benchmark import MIN_TILES, cached_choice, check_name, choose_runtime
from pixelwise.runtimes.exported import EXTRAS, installed
from pixelwise.runtimes.torch import TorchRuntime

_TIMED_SIDE = {2: 768, 3: 64}  # largest side of a tile for which runtimes are compared, by axes: bounds their memory


def make_runtime(
    name: str,
    network: AnyNetwork,
    model_card: ModelCard,
    path: Path,
    device: str,
    sizes: Sequence[tuple[int, ...]] | None,
    progress: Progress,
    *,
    may_cut: bool,
) -> Runtime:
    """Return the named runtime, or for "auto" the fastest one.

    Parameters
    ----------
    name : str
        One of `benchmark.RUNTIMES`.
    network, model_card
        Contents of the model file at `path`.
    device : {"cpu", "cuda", "mps"}
        "cuda" and "mps" always use PyTorch.
    sizes : sequence of tuple of int, or None
        Of the images to predict, (height, width) or (depth, height, width), if known. Without a cached choice, "auto"
        runs the benchmark from `benchmark.MIN_TILES` tiles on, and uses PyTorch below, which needs no conversion.
    may_cut : bool
        The network may be cut for the largest image: in PyTorch cut networks may be faster than others that compute
        whole tiles faster.

    Raises
    ------
    BadOption
        The runtime is unknown.
    """
    check_name(name)
    if name.startswith("torch") or device != "cpu":
        precision = "bf16" if name.endswith("bf16") else "fp32"
        return TorchRuntime(network, device, precision, compiled=name.endswith("compile"))
    if name != "auto":
        kind = name.removesuffix("-bf16")
        if not _available(kind):
            progress.message(f'Runtime {kind} is not installed (pip install "pixelwise[onnx,openvino]"); using torch.')
            return TorchRuntime(network, device)
        return _converted(name, network, model_card, path)()
    return _fastest(network, model_card, path, sizes, progress, may_cut=may_cut)


def _fastest(
    network: AnyNetwork,
    model_card: ModelCard,
    path: Path,
    sizes: Sequence[tuple[int, ...]] | None,
    progress: Progress,
    *,
    may_cut: bool,
) -> Runtime:
    names = [name for name in EXTRAS if _available(name)]
    geometry, dimensions = model_card.geometry, model_card.network.dimensions
    shape = (1, model_card.channels, *timed_sides(model_card))
    model = digest(path) if names else ""
    tile = min(model_card.tile, _TIMED_SIDE[dimensions])
    few = sizes is not None and sum(map(math.prod, sizes)) < MIN_TILES * tile**dimensions
    if not names or (few and cached_choice(model, shape) is None):
        return TorchRuntime(network)
    candidates: dict[str, Callable[[], Runtime]] = {"torch": lambda: TorchRuntime(network)}
    candidates |= {name: _converted(name, network, model_card, path) for name in names}
    choice, runtime = choose_runtime(candidates, model, shape, progress)
    progress.message(choice.message(shape))
    largest = max(sizes or (), key=math.prod, default=None)
    if largest is None or not may_cut or choice.name == "torch" or model_card.tta > 1 or _is_staged(runtime):
        return runtime
    torch = TorchRuntime(network)
    classes, budget = model_card.network.classes, tile_budget(model_card.network.base, dimensions)
    predictor = Predictor(torch, geometry, classes, model_card.tile, memory_budget=budget, statistics_budget=budget)
    tiling = predictor.tiling(largest)
    if tiling is not None:
        fraction = tiling.ratio / MAX_RATIO
        if tiling.plan is None or choice.seconds["torch"] * fraction >= choice.seconds[choice.name]:
            return runtime
        progress.message("Runtime torch: it measures the whole-image layers of the network. Override with --runtime.")
        return torch
    plan = predictor.plan(largest)
    if plan is None or choice.seconds["torch"] * plan.fraction >= choice.seconds[choice.name]:
        return runtime
    message = (
        f"Runtime torch: the network is cut for large images, which leaves {100 * plan.fraction:.0f} % of the work."
    )
    progress.message(f"{message} Override with --runtime.")
    return torch


def _is_staged(runtime: Runtime) -> bool:
    return isinstance(runtime, StagedRuntime) and runtime.stages is not None


def timed_sides(model_card: ModelCard) -> tuple[int, ...]:
    """Return the sides of the tile for which runtimes are compared."""
    axes = [model_card.geometry.along(axis) for axis in range(model_card.network.dimensions)]
    sides = (min(model_card.tile + 2 * (axis.halo or axis.margin), _TIMED_SIDE[len(axes)]) for axis in axes)
    sides = (max(side, axis.legal_first) for side, axis in zip(sides, axes, strict=True))
    return model_card.geometry.valid_sizes(tuple(sides))


def _available(name: str) -> bool:
    return installed(*EXTRAS[name], "onnx", "onnxscript")


def _converted(name: str, network: AnyNetwork, model_card: ModelCard, path: Path) -> Callable[[], Runtime]:
    def make() -> Runtime:
        graph = cached_graph(network, model_card, path)
        try:
            return _load(name, graph)
        except BadModel:  # a damaged cache
            graph.unlink(missing_ok=True)
            return _load(name, cached_graph(network, model_card, path))

    return make


def _load(name: str, graph: Path) -> Runtime:
    if name == "onnx":
        from pixelwise.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(graph)
    from pixelwise.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(graph, precision="bf16" if name.endswith("bf16") else "fp32")
