"""OpenVINO: a sum of convolutions equals the convolution of a concatenation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import graph_of, make_network
from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8
from pixelwise.runtimes import openvino
from pixelwise.runtimes.openvino import OpenVinoRuntime, read_graph, split_concatenated_convolutions


def count(graph: Any, kind: str) -> int:
    return sum(step.get_type_name() == kind for step in graph.get_ordered_ops())


def concatenations(graph: Any) -> int:
    """Return the number of concatenations of channels."""
    result = [step for step in graph.get_ordered_ops() if step.get_type_name() == "Concat"]
    return sum(step.get_attributes()["axis"] == 1 for step in result)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_concatenated_convolutions_are_split(upsampling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model_card = make_network(upsampling=upsampling)
    path = tmp_path / "model.xml"
    write_openvino(path, graph_of(network, model_card), model_card)
    graph = read_graph(path)
    before, convolutions = concatenations(graph), count(graph, "Convolution")
    assert before == model_card.network.depth, "one in each stage of the decoder"
    split_concatenated_convolutions(graph)
    assert concatenations(graph) == 0
    assert count(graph, "Convolution") == convolutions + before
    tiles = np.random.default_rng(0).normal(size=(2, model_card.channels, 64, 96)).astype(np.float32)
    result = OpenVinoRuntime(path)(tiles)
    monkeypatch.setattr(openvino, "split_concatenated_convolutions", lambda _: None)
    np.testing.assert_allclose(result, OpenVinoRuntime(path)(tiles), rtol=1e-4, atol=1e-5)


def test_quantised_graphs_are_not_changed(tmp_path: Path) -> None:
    network, model_card = make_network()
    tile = np.random.default_rng(0).normal(size=(1, model_card.channels, 64, 64)).astype(np.float32)
    flat = np.zeros((1, model_card.channels), np.float32), np.ones((1, model_card.channels), np.float32)
    feed = {"image": tile, "mean": flat[0], "std": flat[1]}
    write_openvino_int8(tmp_path / "model.xml", graph_of(network, model_card), model_card, [feed])
    graph = read_graph(tmp_path / "model.xml")
    before = concatenations(graph)
    split_concatenated_convolutions(graph)
    assert concatenations(graph) == before > 0
