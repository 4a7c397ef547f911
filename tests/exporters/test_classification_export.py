"""Export of classification models, with a parity check at sizes and batch sizes other than those of tracing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from exports import graph_of, graphs_made_once, make_material, make_photo_network, make_photo_samples
from pixelwise.errors import ExportFailed
from pixelwise.exporters import export as exports
from pixelwise.exporters.classification_export import UNKNOWN, ClassificationExport
from pixelwise.exporters.comparison import compare
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export import export_model
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.parity_report import read_parity_data
from pixelwise.exporters.samples import ParityBatch
from pixelwise.exporters.verification import verify_export
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Outputs
from pixelwise.runtimes.onnx import OnnxRuntime
from pixelwise.runtimes.openvino import OpenVinoRuntime
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.sampling.resize_crop import View
from tiny import make_photo_recipe

__all__ = ["graphs_made_once"]
ANY_LOSS = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=100.0)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_written_with_its_parity_report(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ClassificationExport, "quantised", ANY_LOSS
    )  # random weights have no classes that int8 could keep
    network, model_card = make_photo_network()
    path = tmp_path / FORMATS[kind].place
    exported = export_model(network, model_card, kind, path, make_material(make_photo_samples()))
    report = json.loads(exported.parity_report.read_text("utf-8"))
    assert {shape[0] for shape in report["input_shapes"]} == {1, 2, 3, 5, 32}, "several batches"
    assert {tuple(shape[2:]) for shape in report["input_shapes"]} == {(16, 16), (20, 12), (16, 24), (13, 13)}, (
        "several sizes"
    )
    assert {one.score_name for one in exported.comparisons} == {"accuracy"}
    assert "of the images change class, accuracy" in exported.to_text()
    if kind != "openvino-int8":
        assert all(one.difference < 1e-4 and one.disagreement == 0 for one in exported.comparisons)
    if kind != "torch-export":
        assert [one.runtime for one in verify_export(path)] == [one.runtime for one in exported.comparisons]


def test_each_image_is_scored_once_with_the_crop_of_prediction() -> None:
    network, model_card = make_photo_network(View(side=8, shorter=16))
    samples = make_photo_samples(10)
    batches = export_task_of(model_card).make_parity_batches(samples, TorchRuntime(network))
    scored = [batch for batch in batches if batch.image.shape[2:] == (8, 8)]
    assert [batch.image.shape[0] for batch in scored] == [1, 5, 4]
    assert np.concatenate([batch.truth for batch in scored]).tolist() == [index % 3 for index in range(10)]
    assert np.array_equal(scored[0].image[0], samples[0].pixels[:, 4:12, 4:12])
    others = [batch for batch in batches if batch.image.shape[2:] != (8, 8)]
    assert len(others) == 3
    assert all((batch.truth == UNKNOWN).all() for batch in others)


@pytest.mark.parametrize(
    ("network", "free"),
    [
        ({"name": "resnet20"}, True),
        ({"name": "plain20"}, True),
        ({"name": "resnet18"}, True),
        ({"name": "resnet18", "shortcut": "D", "stem": "deep"}, False),
        ({"name": "resnet50", "stem": "3x3"}, True),
    ],
    ids=str,
)
def test_all_runtimes_agree_for_every_network(network: dict[str, object], free: bool, tmp_path: Path) -> None:
    torchs, model_card = make_photo_network(View(side=40, shorter=40), **network)
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of(torchs, model_card))
    assert OnnxRuntime(path).model_card == model_card
    for batch, rows, columns in ((1, 40, 40), (3, 40, 40), *(((2, 47, 71), (1, 64, 34)) if free else ())):
        photos = np.random.default_rng(1).integers(0, 255, (batch, 3, rows, columns)).astype(np.uint8)
        scale = intensity_scale(photos[0], model_card.normalisation)
        expected = TorchRuntime(torchs)(np.stack([scale.apply(photo) for photo in photos]))
        for runtime in (OnnxRuntime(path), OpenVinoRuntime(path)):
            result = runtime(photos.astype(np.float32))
            assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()


def test_networks_without_dynamic_sizes_have_a_static_size() -> None:
    def min_dynamic_side(side: int, **network: object) -> int | None:
        model_card = make_photo_recipe()
        geometry = replace(model_card.geometry, total_stride=32)
        options = replace(model_card.network, **network)  # type: ignore[arg-type]
        return export_task_of(
            replace(model_card, network=options, geometry=geometry, view=View(side=side, shorter=side))
        ).min_dynamic_side

    assert min_dynamic_side(64, name="resnet18") == 33
    assert min_dynamic_side(32, name="resnet18") is None, "the last map is a single pixel"
    assert min_dynamic_side(224, name="vgg16_bn") is None
    assert min_dynamic_side(224, name="resnet50", shortcut="D") is None
    torchs, model_card = make_photo_network(View(side=32, shorter=32), name="resnet18")
    shape = onnx.load_from_string(graph_of(torchs, model_card)).graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_value for side in shape[1:]] == [3, 32, 32]
    assert shape[0].dim_param, "the batch is dynamic all the same"


@pytest.mark.slow
def test_vgg_is_exported_with_a_static_size(tmp_path: Path) -> None:
    network, model_card = make_photo_network(View(side=32, shorter=32), name="vgg11")
    path = tmp_path / "model.onnx"
    export_model(network, model_card, "onnx", path, make_material(make_photo_samples(side=32)))
    assert {trial.image.shape[2:] for trial in read_parity_data(path)} == {(32, 32)}


def test_per_image_normalisation_adds_mean_and_std_as_inputs(tmp_path: Path) -> None:
    network, model_card = make_photo_network()
    model_card = replace(model_card, normalisation=Normalisation())
    path = tmp_path / "model.onnx"
    done = export_model(network, model_card, "onnx", path, make_material(make_photo_samples(8)))
    assert all(one.disagreement == 0 for one in done.comparisons)
    assert [value.name for value in onnx.load(path).graph.input] == ["image", "mean", "std"]


def test_permuted_classes_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model_card = make_photo_network()
    other, _ = make_photo_network()
    other.head.linear.weight.data = other.head.linear.weight.data.flip(0)  # type: ignore[union-attr]
    write = exports.onnx_bytes
    monkeypatch.setattr(exports, "onnx_bytes", lambda _, model_card, **rest: write(other, model_card, **rest))
    with pytest.raises(ExportFailed, match="of the images changes class"):
        export_model(network, model_card, "onnx", tmp_path / "model.onnx", make_material(make_photo_samples()))
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_by_hand() -> None:
    # torch is correct for three of four images; the other changes a correct one, and a wrong one, which becomes correct
    truth = np.array([0, 1, 2, 0, UNKNOWN])
    torchs = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 1]] * 4
    others = np.eye(3, dtype=np.float32)[[0, 1, 0, 0, 2]] * 4
    batch = ParityBatch(np.zeros((5, 3, 2, 2), np.uint8), np.zeros((5, 3)), np.ones((5, 3)), truth, torchs)
    export_task = export_task_of(make_photo_recipe())
    result = compare("other", lambda _: Outputs(export_task.probabilities(others), others), [batch], export_task)
    assert result.disagreement == 3 / 5
    assert (result.score_torch, result.score, result.score_change) == (0.75, 0.75, 0.0)
    assert result.difference == 1.0
    assert result.exceeded_limits(export_task.exact)
    assert not result.exceeded_limits(export_task.quantised)
    worse = np.eye(3, dtype=np.float32)[[0, 1, 0, 1, 1]] * 4
    result = compare("worse", lambda _: Outputs(export_task.probabilities(worse), worse), [batch], export_task)
    assert result.exceeded_limits(export_task.quantised) == ["25.00 points of accuracy are lost (limit 1)"]


def test_calibration_inputs_are_the_crops_of_prediction() -> None:
    export_task = export_task_of(make_photo_recipe())
    feeds = list(export_task.calibration_inputs(make_photo_samples(7)))
    assert [feed["image"].shape for feed in feeds] == [(1, 3, 16, 16)] * 7


def test_parity_data_of_large_images_is_limited() -> None:
    def most(side: int) -> int:
        model_card: ModelCard = make_photo_recipe()
        return export_task_of(replace(model_card, view=View(side=side, shorter=side))).most_samples

    assert (most(32), most(224), most(1024)) == (1000, 159, 64)
