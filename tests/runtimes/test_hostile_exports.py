"""Exported files that would compute without end, wait, or fill the memory are refused in one line."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exports import graph_of, make_network
from pixelwise.errors import BadModel
from pixelwise.exporters.to_openvino import write_openvino
from pixelwise.runtimes import exported, graph_memory, openvino
from pixelwise.runtimes import onnx as onnx_runtime
from pixelwise.runtimes.exported import open_export

ROUNDS = 3  # few enough to compute where nothing is refused


def graph() -> onnx.ModelProto:
    return onnx.load_from_string(graph_of(*make_network()))


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def with_loop(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose logits go through a loop."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["before" if name == "logits" else name for name in names]
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["values"], ["same"])],
        "body",
        [
            value("number", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("values", TensorProto.FLOAT, None),
        ],
        [value("on", TensorProto.BOOL, []), value("same", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.append(helper.make_tensor("rounds", TensorProto.INT64, [], [ROUNDS]))
    model.graph.initializer.append(helper.make_tensor("start", TensorProto.BOOL, [], [True]))
    model.graph.node.append(helper.make_node("Loop", ["rounds", "start", "before"], ["logits"], body=body))
    return model


def with_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with a function: some that call others twice each take 2 to the power of their number."""
    node = helper.make_node("Relu", ["x"], ["y"])
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [node], [helper.make_opsetid("", 20)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("F", ["image"], ["unused"], domain="own"))
    return model


def logits(path: Path, runtime: str) -> np.ndarray:
    opened, card = open_export(path, runtime)
    return opened(np.ones((1, card.channels, 64, 64), np.float32))


class Nothing:
    """The shapes of a graph that is not looked at."""

    def __init__(self, source: Path | bytes) -> None: ...

    def bytes(self, shapes: object) -> int:
        return 0


@pytest.mark.parametrize("change", [with_loop, with_function])
def test_graphs_within_graphs_are_refused(change: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(change)
    path = written(tmp_path, change(graph()))
    with pytest.raises(BadModel, match="without end") as error:
        logits(path, "onnx")
    assert "\n" not in str(error.value)
    monkeypatch.setattr(onnx_runtime, "OnnxShapes", Nothing)  # control
    assert logits(path, "onnx").shape == (1, 2, 64, 64)


def test_openvino_refuses_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, with_loop(graph()))
    with pytest.raises(BadModel, match="Loop"):
        logits(path, "openvino")
    monkeypatch.setattr(openvino, "_WITHIN", set[str]())  # control
    assert logits(path, "openvino").shape == (1, 2, 64, 64)


def test_large_constants_are_refused_before_they_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph()
    model.graph.initializer.append(helper.make_tensor("sides", TensorProto.INT64, [2], [100, 100]))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sides"], ["constant"]))
    path = written(tmp_path, model)
    assert logits(path, "onnx").shape == (1, 2, 64, 64)  # control
    monkeypatch.setattr(graph_memory, "MAX_CONSTANTS", 30_000)
    with pytest.raises(BadModel, match="constants"):
        logits(path, "onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_weights_that_are_a_pipe_are_refused(tmp_path: Path) -> None:
    network, card = make_network()
    write_openvino(tmp_path / "model.xml", graph_of(network, card), card)
    (tmp_path / "model.bin").unlink()
    os.mkfifo(tmp_path / "model.bin")  # reading it waits without end: there is no control
    with pytest.raises(BadModel, match=r"model\.bin"):
        open_export(tmp_path / "model.xml")


def test_large_descriptions_are_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = make_network()
    write_openvino(tmp_path / "model.xml", graph_of(network, card), card)
    assert logits(tmp_path / "model.xml", "openvino").shape == (1, 2, 64, 64)  # control
    monkeypatch.setattr(openvino, "MAX_XML", 1000)
    with pytest.raises(BadModel, match="without weights"):
        logits(tmp_path / "model.xml", "openvino")


@pytest.mark.parametrize("runtime", exported.READERS[".onnx"])
@pytest.mark.parametrize("place", ["../secret.bin", "{root}/secret.bin", "link.bin", "missing.bin", "short.bin"])
def test_weights_outside_of_the_folder_are_not_read(place: str, runtime: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to("../secret.bin")
    (folder / "short.bin").write_bytes(b"12")

    def path_with(location: str) -> Path:
        model = graph()
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        for file in (tmp_path / "secret.bin", folder / "inside.bin"):
            file.write_bytes(bytes(len(weights.raw_data)))
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
        return written(folder, model)

    with pytest.raises(BadModel) as error:
        logits(path_with(place.format(root=tmp_path)), runtime)
    assert "\n" not in str(error.value)
    assert logits(path_with("inside.bin"), runtime).shape == (1, 2, 64, 64), "control: a file in the folder is read"
