"""A tile takes the memory that plans count for it, and not much less."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

from exports import make_network
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.exporters.to_openvino import write_openvino
from pixelwise.geometry.subgraphs import Subgraph, subgraphs_at
from pixelwise.inference.cut_plan import VALUE_BYTES
from pixelwise.runtimes.base import StagedRuntime
from pixelwise.runtimes.malloc import release_memory
from pixelwise.runtimes.onnx import OnnxRuntime
from pixelwise.runtimes.openvino import OpenVinoRuntime
from pixelwise.runtimes.torch import TorchRuntime

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SIDE = 512
# of the tile before, with the same kernels: with AVX2 alone, those for smaller maps keep no copies of weights
SMALL = {"torch": 64, "onnx": 64, "openvino": 256}
SPARE = 24 * 2**20  # bytes: small allocations of libraries


def opened(kind: str, folder: Path) -> StagedRuntime:
    network, model_card = make_network(encoder="resnet34", base=8)
    if kind == "torch":
        return TorchRuntime(network)
    graph = onnx_bytes(network, model_card)
    if kind == "onnx":
        return OnnxRuntime(graph)
    write_openvino(folder / "model.xml", graph, model_card)
    return OpenVinoRuntime(folder / "model.xml")


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def inputs(runtime: StagedRuntime, subgraph: Subgraph, side: int) -> list[np.ndarray]:
    """Return drawn maps in the layout in which this runtime returns them."""
    stages, maps = runtime.stages, list[np.ndarray]()
    assert stages is not None
    for key in subgraph.inputs:
        sides, channels = (side // stages.strides[key[1]],) * 2, stages.channels_of(key)
        if isinstance(runtime, OnnxRuntime) or key == ("encoder", 0):
            maps.append(np.zeros((1, channels, *sides), np.float32))
        else:
            maps.append(np.moveaxis(np.zeros((1, *sides, channels), np.float32), -1, 1))
    return maps


def growth(runtime: StagedRuntime, subgraph: Subgraph, small: int) -> int:
    """Return by how much the memory of this process grows during a tile, after a smaller one."""
    runtime.run_subgraph(subgraph, *inputs(runtime, subgraph, small))
    gc.collect()
    release_memory()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak
    runtime.run_subgraph(subgraph, *inputs(runtime, subgraph, SIDE))
    return status("VmHWM") - before


@pytest.mark.parametrize("kind", ["torch", "onnx", "openvino"])
def test_a_tile_takes_what_plans_count(kind: str, tmp_path: Path) -> None:
    runtime = opened(kind, tmp_path)
    stages = runtime.stages
    assert stages is not None
    largest = 0.0
    for subgraph in subgraphs_at((2, 4)):
        values = VALUE_BYTES * SIDE**2 * stages.cost(subgraph).values
        grown = growth(runtime, subgraph, SMALL[kind])
        assert grown < runtime.memory.factor * values + SPARE
        largest = max(largest, grown / values)
    assert largest > 0.5 * runtime.memory.factor, "control: with half of the factor a tile takes more"
