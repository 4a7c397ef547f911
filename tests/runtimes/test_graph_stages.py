"""Exported graphs are cut at named maps; their subgraphs give what the whole graph gives."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch

from exports import graph_of, make_network, make_valid_network
from inference.test_predictor import PLAIN
from inference.test_staged import NETWORKS, Planned, plan_of
from pixelwise.errors import BadModel
from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8
from pixelwise.geometry.subgraphs import NetworkStages, subgraphs_at
from pixelwise.inference.predictor import Predictor
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.subgraphs import staged
from pixelwise.runtimes import onnx
from pixelwise.runtimes.base import StagedRuntime
from pixelwise.runtimes.graph_stages import CutRuntime, read_stages_text, write_stages_text
from pixelwise.runtimes.onnx import OnnxRuntime
from pixelwise.runtimes.openvino import OpenVinoRuntime

SIDE = 96


def stages_of(**options: Any) -> NetworkStages:
    found = staged(build(NetworkOptions(in_channels=1, classes=2, **options)))
    assert found is not None
    return found.stages


def exported(kind: str, folder: Path, **options: Any) -> StagedRuntime:
    """Export a network with random weights and open the file."""
    network, model_card = make_network(**options)
    graph = graph_of(network, model_card)
    if kind == "onnx":
        return OnnxRuntime(graph)
    path = folder / "model.xml"
    if kind == "openvino":
        write_openvino(path, graph, model_card)
    else:
        for name, content in quantised_files(tuple(options.items())).items():
            (folder / name).write_bytes(content)
    return OpenVinoRuntime(path)


@cache
def quantised_files(options: tuple[tuple[str, Any], ...]) -> dict[str, bytes]:
    """Return the files of a network in int8 by name; its calibration takes seconds."""
    network, model_card = make_network(**dict(options))
    tile = tiles(model_card.channels)
    ones = np.ones((len(tile), model_card.channels), np.float32)
    with TemporaryDirectory() as folder:
        path, feed = Path(folder) / "model.xml", {"image": tile, "mean": 0 * ones, "std": ones}
        write_openvino_int8(path, graph_of(network, model_card), model_card, [feed])
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def tiles(channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, channels, SIDE, 64)).astype(np.float32)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
@pytest.mark.parametrize("options", [{"encoder": "resnet18", "base": 2, "depth": 4}, {"base": 4, "depth": 3}], ids=str)
def test_subgraphs_of_a_file_give_what_the_whole_graph_gives(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    runtime = exported(kind, tmp_path, **options)
    stages = runtime.stages
    assert stages is not None
    whole, cut = runtime(tiles()), CutRuntime(runtime, stages)(tiles())
    assert np.abs(cut - whole).max() < 1e-4 * np.abs(whole).max()
    first, *_ = subgraphs_at([1])
    sides = SIDE // stages.strides[1], 64 // stages.strides[1]
    assert runtime.run_subgraph(first, tiles()).shape == (2, stages.channels[1], *sides)


@pytest.mark.parametrize("options", [{"encoder": "resnet18", "base": 8, "depth": 4}, {"base": 4, "depth": 3}], ids=str)
def test_a_cut_quantised_graph_is_as_close_to_float32_as_the_whole_one(options: dict[str, Any], tmp_path: Path) -> None:
    quantised, exact = exported("openvino-int8", tmp_path, **options), exported("onnx", tmp_path, **options)
    stages = quantised.stages
    assert stages is not None
    expected = exact(tiles())
    whole, cut = (np.abs(run(tiles()) - expected).mean() for run in (quantised, CutRuntime(quantised, stages)))
    assert 0 < cut < 1.2 * whole, "fused additions of a whole graph round in another order"


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_an_image_in_tiles_of_a_cut_file_equals_the_whole_image(kind: str, tmp_path: Path) -> None:
    runtime = exported(kind, tmp_path, encoder="resnet18", base=2, depth=4)
    stages = runtime.stages
    assert stages is not None
    pixels = np.random.default_rng(1).random((1, 200, 130)).astype(np.float32)

    def difference(lost: int) -> float:
        planned = Planned(runtime, stages.geometry, 2, 10_000)
        planned.given = plan_of(runtime, (2, 3), 128, 64, lost)
        whole = Predictor(runtime, stages.geometry, 2, 10_000).logits(pixels, PLAIN)
        return float(np.abs(planned.logits(pixels, PLAIN) - whole).max() / np.abs(whole).max())

    assert difference(-1) < 1e-4
    assert max(difference(lost) for lost in range(5)) > 1e-3, "control: a smaller halo changes logits"


def test_tiles_of_a_cut_quantised_file_do_not_depend_on_their_size(tmp_path: Path) -> None:
    runtime = exported("openvino-int8", tmp_path, encoder="resnet18", base=8, depth=4)
    stages = runtime.stages
    assert stages is not None
    pixels = np.random.default_rng(1).random((1, 200, 130)).astype(np.float32)
    results: list[np.ndarray] = []
    for region, core in ((128, 64), (256, 256)):
        planned = Planned(runtime, stages.geometry, 2, 10_000)
        planned.given = plan_of(runtime, (2, 3), region, core)
        results.append(planned.logits(pixels, PLAIN))
    assert np.abs(results[0] - results[1]).max() < 1e-4 * np.abs(results[0]).max()


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_stages_survive_a_file(options: dict[str, Any]) -> None:
    stages = stages_of(**options)
    read = read_stages_text(write_stages_text(stages), stages.geometry, Path("model.onnx"))
    assert vars(read) | {"aligned": True} == vars(stages) | {"aligned": True}


def test_graphs_that_do_not_name_the_coarsest_map_are_cut_above_it() -> None:
    stages = stages_of(encoder="resnet18", base=1)
    values = json.loads(write_stages_text(stages))
    del values["cuts_bottom"]
    read = read_stages_text(json.dumps(values), stages.geometry, Path("model.onnx"))
    assert read.cut_levels == range(1, stages.deepest)
    assert stages.cut_levels == range(1, stages.deepest + 1)


def test_networks_that_cannot_be_cut_are_exported_without_stages() -> None:
    network, model_card = make_valid_network()
    assert OnnxRuntime(graph_of(network, model_card)).stages is None


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.__setitem__(key, value)


def set_layer(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def changed(values: dict[str, Any]) -> None:
        layer = next(element for element in values["encoder"][1] if element["element"] == "layer")
        layer[key] = value

    return changed


@pytest.mark.parametrize(
    "spoil",
    [
        change("strides", [1, 2, 4]),
        change("strides", [1, 2, 3, 8, 16, 32]),
        change("channels", []),
        change("encoder", []),
        change("start", [{"element": "merge", "name": "nothing", "how": "added"}]),
        change("start", [{"element": "save"}]),
        change("start", [{"element": "import", "name": "os"}]),
        change("more", 1),
        set_layer("stride", 0),
        set_layer("kernel", 10**9),
        set_layer("kernel", "3"),
        set_layer("stride", 3),
    ],
)
def test_stages_that_contradict_themselves_are_refused(spoil: Callable[[dict[str, Any]], None]) -> None:
    stages = stages_of(encoder="resnet18", base=1)
    values = json.loads(write_stages_text(stages))
    spoil(values)
    with pytest.raises(BadModel):
        read_stages_text(json.dumps(values), stages.geometry, Path("model.onnx"))


DAMAGED = ["", "[]", "{", '{"strides": [1], "strides": [1]}', "[" * 100_000, "7", " " * 5_000_000]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_stages_are_refused(text: str) -> None:
    with pytest.raises(BadModel):
        read_stages_text(text, stages_of(encoder="resnet18", base=1).geometry, Path("model.onnx"))


def test_a_graph_without_the_maps_of_its_stages_is_refused(tmp_path: Path) -> None:
    network, model_card = make_network(encoder="resnet18", base=2, depth=4)
    renamed = graph_of(network, model_card).replace(b"encoder_map_2", b"encoder_map_X")
    (tmp_path / "model.onnx").write_bytes(renamed)
    with pytest.raises(BadModel, match="maps"):
        OpenVinoRuntime(tmp_path / "model.onnx")


def test_subgraphs_are_those_of_torch() -> None:
    network, model_card = make_network(encoder="resnet18", base=2, depth=4)
    found, runtime = staged(network), OnnxRuntime(graph_of(network, model_card))
    assert found is not None
    with torch.inference_mode():
        expected = {key: value.numpy() for key, value in found.maps(torch.from_numpy(tiles())).items()}
    maps = {("encoder", 0): tiles(), **expected}
    for subgraph in subgraphs_at((1, 2, 3, found.stages.deepest)):
        if found.stages.is_identity(subgraph):
            continue
        result = runtime.run_subgraph(subgraph, *(maps[key] for key in subgraph.inputs))
        np.testing.assert_allclose(result, expected[subgraph.output], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kept", [False, True], ids=["freed", "control"])
def test_one_session_of_onnx_runtime_is_in_memory_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    alive: WeakSet[object] = WeakSet()
    most, control, make = 0, list[object](), onnx._session

    def session(*arguments: Any) -> Any:
        nonlocal most
        made = make(*arguments)
        alive.add(made)
        control.extend([made] if kept else [])
        most = max(most, len(alive))
        return made

    monkeypatch.setattr(onnx, "_session", session)
    runtime = exported("onnx", tmp_path, encoder="resnet18", base=2, depth=4)
    assert runtime.stages is not None
    CutRuntime(runtime, runtime.stages)(tiles())
    assert (most == 1) != kept
