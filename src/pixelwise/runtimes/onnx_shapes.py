"""Shapes of the values of an ONNX graph, to estimate its memory before it runs.

Reference: ONNX 1.23, "Shape inference" (onnx/docs/ShapeInference.md), with data propagation, without which the results
of shape arithmetic are unknown.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx.shape_inference import infer_shapes

from pixelwise.runtimes.graph_memory import GraphOperation, peak_bytes

_SHAPE_DATA = 4096  # bytes up to which a constant may be a shape that inference reads; larger ones are weights


class OnnxShapes:
    """An ONNX graph without its weights.

    Parameters
    ----------
    source : Path or bytes
        The .onnx file, or its contents.

    Raises
    ------
    ValueError
        It has graphs within nodes, or functions. Exports of pixelwise have neither.
    """

    def __init__(self, source: Path | bytes) -> None:
        bytes_given = isinstance(source, bytes)
        self._model = onnx.load_from_string(source) if bytes_given else onnx.load(source, load_external_data=False)
        graph = self._model.graph
        if self._model.functions or any(part.g.node or part.graphs for node in graph.node for part in node.attribute):
            raise ValueError("loops, branches or functions, which may compute without end")
        self._weights = {tensor.name for tensor in graph.initializer}
        small = [tensor for tensor in graph.initializer if _bytes(tensor.data_type, tensor.dims) <= _SHAPE_DATA]
        known = {value.name for value in graph.input} | {tensor.name for tensor in small}
        declared = [
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in graph.initializer
            if tensor.name not in known
        ]
        del graph.initializer[:]
        del graph.value_info[:]
        graph.initializer.extend(small)
        graph.input.extend(declared)

    def bytes(self, shapes: Mapping[str, Sequence[int]]) -> int:
        """Return the bytes of the values alive at once for inputs of these shapes (see `graph_memory`)."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for value in model.graph.input:
            if value.name in shapes:
                dims = value.type.tensor_type.shape.dim
                for dim, side in zip(dims, shapes[value.name], strict=False):
                    dim.dim_value = side
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        graph = infer_shapes(model, data_prop=True).graph
        sizes: dict[str, int] = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            sides = [dim.dim_value for dim in kind.shape.dim]
            if value.name not in self._weights and kind.HasField("shape") and all(sides):
                sizes[value.name] = _bytes(kind.elem_type, sides)
        operations = [GraphOperation(node.input, node.output) for node in graph.node]
        return peak_bytes(operations, sizes, shapes, (value.name for value in graph.output))


def _bytes(data_type: int, sides: Sequence[int]) -> int:
    return math.prod(sides) * onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize
