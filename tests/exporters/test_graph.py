"""The export graph agrees with PyTorch at sizes and batch sizes other than those of tracing."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.special import softmax

from exports import DATASET, graph_of, make_network, make_valid_network
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.networks.architectures import SEGMENTERS
from pixelwise.runtimes.onnx import OnnxRuntime
from pixelwise.runtimes.openvino import OpenVinoRuntime
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from tiny import as_json

NETWORKS = [
    *({"name": name} for name in SEGMENTERS),
    {"upsampling": "bilinear"},
    {"normalisation": "instance"},
    {"normalisation": "group"},
    {"encoder": "resnet18", "depth": 2},
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_all_runtimes_agree_for_every_network(network: dict[str, object], tmp_path: Path) -> None:
    torchs, model_card = make_valid_network() if network == {"name": "unet2015"} else make_network(**network)
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of(torchs, model_card))
    geometry = model_card.geometry
    for batch, rows, columns in ((1, 60, 100), (3, 130, 70)):
        shape = (batch, model_card.channels, geometry.valid_size(rows), geometry.valid_size(columns))
        tiles = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        expected = TorchRuntime(torchs)(tiles)
        for runtime in (OnnxRuntime(path), OpenVinoRuntime(path)):
            assert runtime.model_card == model_card
            result = runtime(tiles)
            assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()
            assert np.array_equal(result.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("kind", ["image", "dataset", "none"])
def test_normalisation_and_softmax_are_part_of_the_graph(kind: str, tmp_path: Path) -> None:
    scales = {"image": Normalisation(), "dataset": DATASET, "none": Normalisation(kind="none")}
    torchs, model_card = make_network(scales[kind])
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of(torchs, model_card))
    pixels = np.random.default_rng(0).integers(0, 255, (1, 64, 48)).astype(np.uint8)
    scale = intensity_scale(pixels, model_card.normalisation)
    expected = TorchRuntime(torchs)(scale.apply(pixels)[None])
    mean, std = scale.shift[None].astype(np.float32), (1 / scale.factor)[None].astype(np.float32)
    for runtime in (OnnxRuntime(path), OpenVinoRuntime(path)):
        result = runtime.outputs(pixels[None].astype(np.float32), mean, std)
        assert np.abs(result.logits - expected).max() < 1e-4 * np.abs(expected).max()
        assert np.allclose(result.probabilities, softmax(expected, axis=1), atol=1e-4)
    names = [value.name for value in onnx.load(path).graph.input]
    assert names == (["image", "mean", "std"] if kind == "image" else ["image"])


def test_bright_sixteen_bit_images_keep_their_precision() -> None:
    torchs, model_card = make_network(Normalisation(kind="dataset", mean=(60000.37,), std=(3.0,)))
    graph = OnnxRuntime(graph_of(torchs, model_card))
    pixels = np.random.default_rng(0).integers(59990, 60010, (1, 64, 64)).astype(np.uint16)
    expected = TorchRuntime(torchs)(intensity_scale(pixels, model_card.normalisation).apply(pixels)[None])
    result = graph(pixels[None].astype(np.float32))
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_file_contains_the_model_card_and_no_source_paths(tmp_path: Path) -> None:
    torchs, model_card = make_network()
    content = graph_of(torchs, model_card)
    model = onnx.load_from_string(content)
    assert json.loads(model.metadata_props[0].value) == json.loads(json.dumps(as_json(model_card)))
    assert b".py" not in content
    assert content == onnx_bytes(torchs, model_card), "reproducible"
