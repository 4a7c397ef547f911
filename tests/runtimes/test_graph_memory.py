"""A graph that would take more memory than there is, is refused before it runs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exports import graph_of, make_network
from pixelwise.errors import BadModel
from pixelwise.runtimes import graph_memory
from pixelwise.runtimes.graph_memory import GIB, GraphOperation, MemoryCheck, available_memory, peak_bytes
from pixelwise.runtimes.onnx import OnnxRuntime
from pixelwise.runtimes.openvino import OpenVinoRuntime


def hungry(path: Path, side: int, *, constant: bool = True) -> Path:
    """Write an export that makes zeros of (1, 2, side, side), or of `side` times the image, and averages them."""
    network, model_card = make_network()
    model = onnx.load_from_string(graph_of(network, model_card))
    graph = model.graph
    logits = next(value for value in graph.output if value.name == "logits")
    for node in graph.node:
        node.output[:] = ["plain" if name == "logits" else name for name in node.output]
        node.input[:] = ["plain" if name == "logits" else name for name in node.input]
    shape = numpy_helper.from_array(np.array([1, 2, side, side], np.int64), "large_shape")
    graph.initializer.append(shape)
    if not constant:
        shape.name = graph.initializer[-1].name = "factors"
        graph.node.extend(
            [
                helper.make_node("Shape", ["image"], ["image_shape"]),
                helper.make_node("Mul", ["image_shape", "factors"], ["large_shape"]),
            ]
        )
    graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["large_shape"], ["large"]),
            helper.make_node("Sqrt", ["large"], ["root"]),
            helper.make_node("GlobalAveragePool", ["root"], ["small"]),
            helper.make_node("Add", ["plain", "small"], [logits.name]),
        ]
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("runtime", [OnnxRuntime, OpenVinoRuntime])
def test_a_hungry_graph_is_refused(runtime: type[OnnxRuntime], tmp_path: Path) -> None:
    tiles = np.zeros((1, 1, 64, 64), np.float32)
    assert runtime(hungry(tmp_path / "small.onnx", 2, constant=False))(tiles).shape == (1, 2, 64, 64)
    loaded = runtime(hungry(tmp_path / "large.onnx", 2300, constant=False))
    with pytest.raises(BadModel, match=r"batch of 1 x 1 x 64 x 64; got one that takes \d{3}") as error:
        loaded(tiles)
    assert "\n" not in str(error.value)
    with pytest.raises(BadModel, match="constants may take; got one that takes"):
        runtime(hungry(tmp_path / "constant.onnx", 150_000))  # 180 GB


@pytest.mark.parametrize("runtime", [OnnxRuntime, OpenVinoRuntime])
def test_the_estimate_grows_with_the_tile(runtime: type[OnnxRuntime], tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of(network, model_card))
    loaded = runtime(path)
    estimate = loaded._check_memory._estimate
    shapes = {side: {"image": (1, 1, side, side), "mean": (1, 1), "std": (1, 1)} for side in (64, 128)}
    names = set(loaded._names)
    few, many = (estimate({name: shape for name, shape in shapes[side].items() if name in names}) for side in (64, 128))
    assert 3 < many / few < 5
    base = model_card.network.base
    assert 2 * base * 64**2 * 4 < few < 40 * base * 64**2 * 4


def test_larger_batches_are_checked_once() -> None:
    asked: list[int] = []

    def estimate(shapes: object) -> int:
        asked.append(1)
        return 5

    check = MemoryCheck(Path("model.onnx"), estimate, limit=10)
    for side in (8, 4, 8, 16):
        check({"image": (1, 1, side, side)})
    assert len(asked) == 2
    with pytest.raises(BadModel, match="--tile"):
        MemoryCheck(Path("model.onnx"), lambda shapes: 11 * GIB, limit=10 * GIB)({"image": (1, 1, 8, 8)})


def test_values_live_until_their_last_use() -> None:
    operations = [GraphOperation(["a"], ["b"]), GraphOperation(["b"], ["c"]), GraphOperation(["a", "c"], ["d"])]
    sizes = {"a": 100, "b": 10, "c": 10, "d": 1}
    assert peak_bytes(operations, sizes, ["a"], ["d"]) == 120
    assert peak_bytes([*operations, GraphOperation(["b"], ["e"])], sizes, ["a"], ["d"]) == 121


def test_available_memory_respects_the_control_group(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 2000 kB\n", "utf-8")
    assert available_memory(tmp_path) == 2000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n", "utf-8")
    (group / "memory.current").write_text("1000\n", "utf-8")
    assert available_memory(tmp_path) == 2000 * 1024
    (group / "memory.max").write_text("5000\n", "utf-8")
    assert available_memory(tmp_path) == 4000
    assert graph_memory.available_memory() is not None


def test_logits_of_another_shape_are_refused_by_both(tmp_path: Path) -> None:
    network, model_card = make_network()
    model = onnx.load_from_string(graph_of(network, model_card))
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "logits" else name for name in node.output]
        node.input[:] = ["plain" if name == "logits" else name for name in node.input]
    model.graph.node.append(helper.make_node("Concat", ["plain", "plain"], ["logits"], axis=1))
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("probabilities", "logits")
    )
    onnx.save(model, tmp_path / "model.onnx")
    for runtime in (OnnxRuntime, OpenVinoRuntime):
        with pytest.raises(BadModel, match=r"logits have the shape \(1, 4, 64, 64\)"):
            runtime(tmp_path / "model.onnx")(np.zeros((1, 1, 64, 64), np.float32))
