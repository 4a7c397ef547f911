"""Models of volumes in every export format: equal to PyTorch, with a z axis, in batches of any valid size."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from exporters.test_export import ANY_LOSS
from exports import graphs_made_once
from pixelwise.exporters.export import ExportImages, export_model
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.samples import Sample
from pixelwise.exporters.segmentation_export import SegmentationExport
from pixelwise.exporters.verification import verify_export
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import save_model
from pixelwise.networks.architectures import build_segmenter
from pixelwise.networks.models import Segmenter
from pixelwise.runtimes.onnx import OnnxRuntime
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation
from tiny import make_recipe

__all__ = ["graphs_made_once"]
THICK = {"strides": ((1, 2, 2),), "kernels": ((1, 3, 3), (3, 3, 3))}
LIMITED = Normalisation(kind="dataset", mean=(110.0,), std=(45.0,), clip=((20.0, 200.0),))


def make_network(scale: Normalisation | None = None, **network: Any) -> tuple[Segmenter, ModelCard]:
    """Return a network of volumes with random weights and statistics, and its model card."""
    card = make_recipe(dimensions=3, depth=1, **network)
    torch.manual_seed(0)
    built = build_segmenter(card.network).eval()
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    return built, replace(card, normalisation=scale or Normalisation(), spacing=(2.0, 0.5, 0.5))


def make_material() -> ExportImages:
    """Return volumes of noise with a bright half, which is the truth."""
    rng = np.random.default_rng(0)
    samples: list[Sample] = []
    for index in range(3):
        pixels = rng.integers(0, 120, (1, 20 + index, 50 - 3 * index, 44)).astype(np.uint8)
        pixels[..., 20:] += 100
        truth = np.zeros(pixels.shape[1:], np.uint8)
        truth[..., 20:] = 1
        samples.append(Sample(pixels, truth))
    return ExportImages(parity=samples, training=lambda: samples)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_written_with_its_parity_report(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SegmentationExport, "quantised", ANY_LOSS)  # random weights have no masks that int8 could keep
    network, card = make_network()
    exported = export_model(network, card, kind, tmp_path / FORMATS[kind].place, make_material())
    report = json.loads(exported.parity_report.read_text("utf-8"))
    assert {len(shape) for shape in report["input_shapes"]} == {5}
    assert len({tuple(shape)[2:] for shape in report["input_shapes"]}) == 3, "several sizes"
    assert {one.counted for one in exported.comparisons} == {"voxels"}
    if kind != "openvino-int8":
        assert all(one.difference < 1e-4 and one.disagreement <= 1e-5 for one in exported.comparisons)
    if kind != "torch-export":
        assert verify_export(tmp_path / FORMATS[kind].place)[0].runtime == exported.comparisons[0].runtime


@pytest.mark.parametrize(("scale", "network"), [(LIMITED, {}), (None, THICK)], ids=str)
def test_limits_and_strides_per_axis_are_exported(
    scale: Normalisation | None, network: dict[str, Any], tmp_path: Path
) -> None:
    built, card = make_network(scale, **network)
    exported = export_model(built, card, "onnx", tmp_path / "model.onnx", make_material())
    assert all(one.difference < 1e-4 for one in exported.comparisons)


def test_control_limits_change_the_logits() -> None:
    values = np.full((1, 1, 8, 8, 8), 250, np.uint8)
    assert values.max() > LIMITED.clip[0][1]
    network, card = make_network(LIMITED)
    batches = export_task_of(card).make_parity_batches(make_material().parity, TorchRuntime(network))
    free = replace(card, normalisation=replace(LIMITED, clip=()))
    others = export_task_of(free).make_parity_batches(make_material().parity, TorchRuntime(network))
    assert not np.allclose(batches[0].logits, others[0].logits, atol=1e-3)


def test_an_export_predicts_a_volume_as_the_run_does(tmp_path: Path, rng: np.random.Generator) -> None:
    network, card = make_network()
    save_model(tmp_path / "model.safetensors", network, card)
    export_model(network, card, "onnx", tmp_path / "model.onnx", make_material())
    volume = rng.integers(0, 256, (21, 40, 35)).astype(np.uint8)
    probabilities = [
        load_model_for_prediction(tmp_path / name, tile=tile).probabilities(volume, spacing=(2.0, 0.5, 0.5))
        for name, tile in (("model.safetensors", None), ("model.onnx", None), ("model.onnx", 16))
    ]
    assert np.abs(probabilities[0] - probabilities[1]).max() < 2e-3
    assert np.abs(probabilities[0] - probabilities[2]).max() < 2e-3


def test_a_package_describes_the_z_axis(tmp_path: Path) -> None:
    network, card = make_network()
    export_model(network, card, "bioimageio", tmp_path / "model.zip", make_material())
    with zipfile.ZipFile(tmp_path / "model.zip") as package:
        description = yaml.safe_load(package.read("rdf.yaml"))
        shape = np.load(package.open("test_input.npy")).shape
    for tensors in ("inputs", "outputs"):
        axes = description[tensors][0]["axes"][2:]
        assert [(axis["id"], axis["scale"], axis["unit"]) for axis in axes] == [
            ("z", 2.0, "millimeter"),
            ("y", 0.5, "millimeter"),
            ("x", 0.5, "millimeter"),
        ]
    sizes = [axis["size"] for axis in description["inputs"][0]["axes"][2:]]
    assert all(
        side >= size["min"] and (side - size["min"]) % size["step"] == 0
        for side, size in zip(shape[2:], sizes, strict=True)
    )
    halos = [axis["halo"] for axis in description["outputs"][0]["axes"][2:]]
    assert all(size["min"] > 2 * halo for size, halo in zip(sizes, halos, strict=True))
    normalisation = description["inputs"][0]["preprocessing"][1]
    assert normalisation["kwargs"]["axes"] == ["z", "y", "x"]


def test_deep_networks_leave_the_halo_out_of_a_package_but_name_it() -> None:
    card = make_recipe(dimensions=3, depth=4, base=2)
    description = export_task_of(card).describe()
    assert not any("halo" in axis for axis in description.output_axes)
    assert any(f"overlap by {2 * card.geometry.halo} voxels" in note for note in description.notes)
    assert max(axis["size"]["min"] for axis in description.input_axes) < 64


def test_the_graph_takes_batches_of_volumes(tmp_path: Path, rng: np.random.Generator) -> None:
    network, card = make_network()
    export_model(network, card, "onnx", tmp_path / "model.onnx", make_material())
    tiles = rng.normal(size=(3, 1, 8, 12, 16)).astype(np.float32)
    expected, found = TorchRuntime(network)(tiles), OnnxRuntime(tmp_path / "model.onnx")(tiles)
    assert found.shape == (3, 2, 8, 12, 16)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
