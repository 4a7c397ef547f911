"""ONNX export: the graph in one file."""

from collections.abc import Sequence

import onnx
import torch

from pixelwise.exporters.graph import ExportGraph, GraphWithMaps, quiet, trace
from pixelwise.model_file.model_card import ModelCard, write_model_card_text
from pixelwise.networks.models import AnyNetwork
from pixelwise.networks.subgraphs import staged
from pixelwise.runtimes.base import LOGITS, METADATA, PROBABILITIES
from pixelwise.runtimes.graph_stages import STAGES, map_name, write_stages_text

PREFIX = "given_"  # of the names of the inputs while the graph is traced
OPSET = 20  # the newest that torch 2.13 writes without conversion; supported by ONNX Runtime 1.17 of 2024 or newer


def onnx_bytes(network: AnyNetwork, model_card: ModelCard, *, metadata: ModelCard | None = None) -> bytes:
    """Return the contents of an ONNX file: the graph for `model_card`, with the model card `metadata` (default: same).

    References of the nodes to the source code are removed. If the network can be cut, the graph names the maps at the
    cuts, and the file describes its stages (`runtimes.graph_stages`).
    """
    cut = staged(network) is not None
    graph = GraphWithMaps(network, model_card) if cut else ExportGraph(network, model_card)
    maps = [map_name(key) for key in graph.maps] if isinstance(graph, GraphWithMaps) else []
    with quiet():
        program = torch.onnx.export(
            trace(graph),
            input_names=[f"{PREFIX}{name}" for name in graph.inputs],
            output_names=[PROBABILITIES, LOGITS, *maps],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    _name_inputs(model.graph, graph.inputs)
    _make_inner(model.graph, maps)
    for item in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del item.metadata_props[:]
    properties = {METADATA: write_model_card_text(metadata or model_card)}
    if isinstance(graph, GraphWithMaps):
        properties[STAGES] = write_stages_text(graph.staged.stages)
    onnx.helper.set_model_props(model, properties)
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


def _make_inner(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Turn outputs into inner values that keep their names and shapes."""
    inner = [value for value in graph.output if value.name in names]
    kept = [value for value in graph.output if value.name not in names]
    del graph.output[:]
    graph.output.extend(kept)
    graph.value_info.extend(inner)


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
