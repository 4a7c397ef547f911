"""ONNX export: the graph in one file."""

from collections.abc import Sequence

import onnx
import torch

from pixelwise.exporters.graph import ExportGraph, quiet, trace
from pixelwise.model_file.model_card import ModelCard, write_model_card_text
from pixelwise.networks.models import AnyNetwork
from pixelwise.runtimes.base import LOGITS, METADATA, PROBABILITIES

PREFIX = "given_"  # of the names of the inputs while the graph is traced
OPSET = 20  # the newest that torch 2.13 writes without conversion; supported by ONNX Runtime 1.17 of 2024 or newer


def onnx_bytes(network: AnyNetwork, model_card: ModelCard, *, metadata: ModelCard | None = None) -> bytes:
    """Return the contents of an ONNX file: the graph for `model_card`, with the model card `metadata` (default: same).

    References of the nodes to the source code are removed.
    """
    graph = ExportGraph(network, model_card)
    with quiet():
        program = torch.onnx.export(
            trace(graph),
            input_names=[f"{PREFIX}{name}" for name in graph.inputs],
            output_names=[PROBABILITIES, LOGITS],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    _name_inputs(model.graph, graph.inputs)
    for item in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del item.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA: write_model_card_text(metadata or model_card)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _name_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Rename the inputs; inner values with the same names, such as that of a layer `mean`, are renamed too."""
    renamed = {f"{PREFIX}{name}": name for name in names} | {name: f"inner_{name}" for name in names}
    for value in (*graph.input, *graph.value_info):
        value.name = renamed.get(value.name, value.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(name, name) for name in values]


def logits_only(onnx_file: bytes) -> bytes:
    """Return the graph with logits as its only output."""
    model = onnx.load_from_string(onnx_file)
    logits = [value for value in model.graph.output if value.name == LOGITS]
    removed = {value.name for value in model.graph.output} - {LOGITS}
    nodes = [node for node in model.graph.node if not removed & set(node.output)]
    del model.graph.output[:], model.graph.node[:]
    model.graph.output.extend(logits)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
