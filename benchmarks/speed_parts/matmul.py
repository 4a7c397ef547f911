"""The most that a library computes here: its own multiply of large square matrices, in float32 or bfloat16."""

from collections.abc import Callable
from typing import Any

import numpy as np

LENGTH = 4096  # rows and columns: far beyond the caches
MULTIPLY_FLOPS = 2 * LENGTH**3


def multiply(name: str, threads: int) -> Callable[[object], object]:
    """Return what multiplies once, whatever it is given.

    Parameters
    ----------
    name : {"torch", "torch-bf16", "onnx", "openvino", "openvino-bf16"}
    threads : int

    Notes
    -----
    For the runtimes of graphs the second matrix is a constant, as weights are, so that they may rearrange it before.
    """
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((LENGTH, LENGTH), np.float32) for _ in range(2))
    if name.startswith("torch"):
        return _torch(one, other, threads, half=name.endswith("bf16"))
    if name == "onnx":
        return _onnx(one, other, threads)
    return _openvino(one, other, threads, "bf16" if name.endswith("bf16") else "f32")


def _torch(one: np.ndarray, other: np.ndarray, threads: int, *, half: bool) -> Callable[[object], object]:
    import torch

    torch.set_num_threads(threads)
    kind = torch.bfloat16 if half else torch.float32
    left, right = torch.from_numpy(one).to(kind), torch.from_numpy(other).to(kind)
    room = torch.empty_like(left)
    return lambda _: torch.mm(left, right, out=room)


def _onnx(one: np.ndarray, other: np.ndarray, threads: int) -> Callable[[object], object]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    sides = [LENGTH, LENGTH]
    node = helper.make_node("MatMul", ["one", "other"], ["product"])
    given = helper.make_tensor_value_info("one", TensorProto.FLOAT, sides)
    made = helper.make_tensor_value_info("product", TensorProto.FLOAT, sides)
    graph = helper.make_graph([node], "multiply", [given], [made], [numpy_helper.from_array(other, "other")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as our runtime has it
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda _: session.run(None, {"one": one})


def _openvino(one: np.ndarray, other: np.ndarray, threads: int, precision: str) -> Callable[[object], object]:
    from pixelwise.runtimes.openvino import openvino  # the door that keeps its telemetry out

    ops = openvino.opset13
    left = ops.parameter([LENGTH, LENGTH], np.float32)
    product = ops.matmul(left, ops.constant(other), False, False)
    model: Any = openvino.Model([product], [left])  # type: ignore[reportGeneralTypeIssues]
    settings = {
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda _: request.infer({0: one}, share_inputs=True, share_outputs=True)  # nothing is copied
