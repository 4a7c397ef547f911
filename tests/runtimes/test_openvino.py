"""OpenVINO: a sum of convolutions says what the convolution of a concatenation says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import make_network
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8
from pixelwise.runtimes import openvino
from pixelwise.runtimes.openvino import OpenVinoRuntime, add_up_concatenations, read_graph


def count(graph: Any, kind: str) -> int:
    return sum(step.get_type_name() == kind for step in graph.get_ordered_ops())


def joins(graph: Any) -> int:
    """Return how many concatenations of channels there are."""
    found = [step for step in graph.get_ordered_ops() if step.get_type_name() == "Concat"]
    return sum(step.get_attributes()["axis"] == 1 for step in found)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_concatenations_are_added_up(upsampling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model_card = make_network(upsampling=upsampling)
    path = tmp_path / "model.xml"
    write_openvino(path, onnx_bytes(network, model_card), model_card)
    graph = read_graph(path)
    joined, convolutions = joins(graph), count(graph, "Convolution")
    assert joined == model_card.network.depth, "one in each stage of the decoder"
    add_up_concatenations(graph)
    assert joins(graph) == 0
    assert count(graph, "Convolution") == convolutions + joined
    tiles = np.random.default_rng(0).normal(size=(2, model_card.channels, 64, 96)).astype(np.float32)
    found = OpenVinoRuntime(path)(tiles)
    monkeypatch.setattr(openvino, "add_up_concatenations", lambda _: None)
    np.testing.assert_allclose(found, OpenVinoRuntime(path)(tiles), rtol=1e-4, atol=1e-5)


def test_quantised_graphs_stay_as_they_are(tmp_path: Path) -> None:
    network, model_card = make_network()
    tile = np.random.default_rng(0).normal(size=(1, model_card.channels, 64, 64)).astype(np.float32)
    flat = np.zeros((1, model_card.channels), np.float32), np.ones((1, model_card.channels), np.float32)
    feed = {"image": tile, "mean": flat[0], "std": flat[1]}
    write_openvino_int8(tmp_path / "model.xml", onnx_bytes(network, model_card), model_card, [feed])
    graph = read_graph(tmp_path / "model.xml")
    before = joins(graph)
    add_up_concatenations(graph)
    assert joins(graph) == before > 0
