"""ONNX: the graph as one file that dozens of programs run."""

from collections.abc import Sequence

import onnx
import torch

from pixelwise.exporters.graph import ExportGraph, quiet, trace
from pixelwise.model_file.model_card import ModelCard, write_model_card_text
from pixelwise.networks.models import Trained
from pixelwise.runtimes.base import LOGITS, METADATA, PROBABILITIES

GIVEN = "given_"  # before the names of the inputs while the graph is made
OPSET = 20  # the newest that torch 2.13 writes without converting; read by ONNX Runtime from 1.17 of 2024 on


def onnx_bytes(network: Trained, model_card: ModelCard, *, metadata: ModelCard | None = None) -> bytes:
    """Return the file's contents: the graph for `model_card`, with `metadata` (by default the same card) in it.

    Where nodes came from in the code of this machine is left out.
    """
    graph = ExportGraph(network, model_card)
    with quiet():
        program = torch.onnx.export(
            trace(graph),
            input_names=[f"{GIVEN}{name}" for name in graph.inputs],
            output_names=[PROBABILITIES, LOGITS],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    _name_inputs(model.graph, graph.inputs)
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA: write_model_card_text(metadata or model_card)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _name_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Give the inputs their names; values inside that are called so already, as after a layer `mean`, get others."""
    metadata = {f"{GIVEN}{name}": name for name in names} | {name: f"inner_{name}" for name in names}
    for value in (*graph.input, *graph.value_info):
        value.name = metadata.get(value.name, value.name)
    for node in graph.node:
        for held in (node.input, node.output):
            held[:] = [metadata.get(name, name) for name in held]


def logits_only(onnx_file: bytes) -> bytes:
    """Return the graph with its logits as its only output."""
    model = onnx.load_from_string(onnx_file)
    kept = [value for value in model.graph.output if value.name == LOGITS]
    dropped = {value.name for value in model.graph.output} - {LOGITS}
    nodes = [node for node in model.graph.node if not dropped & set(node.output)]
    del model.graph.output[:], model.graph.node[:]
    model.graph.output.extend(kept)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
