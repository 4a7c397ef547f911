"""Tiny networks of both kinds, masks and whole images, and the samples for the parity checks of their exports."""

import hashlib
import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch.onnx._internal.exporter._registration import ONNXRegistry

from pixelwise.exporters.export import ExportImages, export_model
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.samples import Sample
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.io.read import write_image
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.architectures import build, with_defaults_where_unread
from pixelwise.networks.models import Classifier, Segmenter
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Normalisation
from pixelwise.sampling.resize_crop import View
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from tiny import make_photo_recipe, make_recipe, write_model

DATASET = Normalisation(kind="dataset", mean=(110.0,), std=(45.0,))
operators = cache(ONNXRegistry.from_torchlib)  # PyTorch collects them anew for each export, a quarter of its time


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""

    def message(self, *sentences: str) -> None:
        """Keep sentences, a line each."""
        self.text += "".join(f"{sentence}\n" for sentence in sentences)


def graph_of(network: torch.nn.Module, card: ModelCard, *, metadata: ModelCard | None = None) -> bytes:
    """Return `onnx_bytes`, which takes seconds and depends on nothing else, once for equal networks.

    The processes of one test run share the files (`conftest.graphs_of_this_run`).
    """
    digest = hashlib.sha256(repr((card, metadata or card)).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.detach().numpy().tobytes())
    file = Path(os.environ["PIXELWISE_TEST_GRAPHS"]) / f"{digest.hexdigest()}.onnx"
    if not file.is_file():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(operators))
            content = onnx_bytes(network, card, metadata=metadata)  # type: ignore[arg-type]
        file.parent.mkdir(exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(file)
    return file.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def graphs_made_once() -> Generator[None]:
    """Let exports share the graphs of equal networks, in every module that imports this fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixelwise.exporters.export.onnx_bytes", graph_of)
        patch.setattr("pixelwise.exporters.to_onnx.onnx_bytes", graph_of)  # what `cached_graph` imports when it exports
        yield


def make_network(scale: Normalisation | None = None, **network: object) -> tuple[Segmenter, ModelCard]:
    """Return a network with random weights, statistics of batch normalisation included, and its recipe."""
    model_card = replace(make_recipe(**network), normalisation=scale or Normalisation())  # type: ignore[arg-type]
    torch.manual_seed(0)
    built = build(model_card.network)
    assert isinstance(built, Segmenter)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    return built.eval(), model_card


def make_photo_network(view: View | None = None, **network: object) -> tuple[Classifier, ModelCard]:
    """Return a network of whole-image classes with random weights, and its recipe."""
    plain = make_photo_recipe()
    options = with_defaults_where_unread(replace(plain.network, **network))  # type: ignore[arg-type]
    model_card = replace(plain, view=view or plain.view, network=options)
    torch.manual_seed(0)
    built = build(model_card.network).eval()
    assert isinstance(built, Classifier)
    return built, replace(model_card, geometry=built.geometry())


def make_photo_samples(count: int = 40, side: int = 16) -> list[Sample]:
    """Return drawn photos of three classes, by turns: a disc, a square, stripes."""
    rng = np.random.default_rng(0)
    samples: list[Sample] = []
    for index in range(count):
        pixels = rng.integers(0, 120, (3, side, side + index % 5))
        pixels[index % 3, side // 4 : side // 2] += 100
        samples.append(Sample(pixels.astype(np.uint8), np.array(index % 3, np.int64)))
    return samples


def make_samples(channels: int = 1, count: int = 3) -> list[Sample]:
    """Return drawn images of different sizes: discs, brighter than the noise around them, which is the truth."""
    rng = np.random.default_rng(0)
    samples: list[Sample] = []
    for index in range(count):
        height, width = 150 + 7 * index, 170 - 11 * index
        rows, columns = np.mgrid[:height, :width]
        truth = ((rows - 70) ** 2 + (columns - 60 - 10 * index) ** 2 < 40**2).astype(np.uint8)
        noise = rng.integers(0, 60, (channels, height, width))
        samples.append(Sample((noise + 120 * truth).astype(np.uint8), truth))
    return samples


def make_material(samples: Sequence[Sample] | None = None) -> ExportImages:
    """Return drawn samples for parity check and quantisation."""
    chosen = samples or make_samples()
    return ExportImages(parity=chosen, training=lambda: chosen)


def write_export(folder: Path, kind: str = "onnx", scale: Normalisation | None = None, *, photos: bool = False) -> Path:
    """Write the export of `make_network(scale)`, or of `make_photo_network()`, with its parity report."""
    for name, content in _export_once(kind, scale, photos).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / FORMATS[kind].place


@cache
def _export_once(kind: str, scale: Normalisation | None, photos: bool) -> dict[str, bytes]:
    network, model_card = make_photo_network() if photos else make_network(scale)
    material = make_material(make_photo_samples(8) if photos else None)
    with TemporaryDirectory() as folder:
        export_model(network, model_card, kind, Path(folder) / FORMATS[kind].place, material)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def write_photo_run(folder: Path, data: Path | None) -> Run:
    """Write a run as if trained on the photos of `drawn_photos`; it remembers the folder `data`."""
    understood = {"task": "classification"} | ({"folder": str(data)} if data else {})
    parts = {"train": [], "val": [], "test": []}
    run = Run.create(folder, Config(), {"splits": {"cases": parts}, "understood": understood})
    write_model(run.model_path, make_photo_recipe())
    return run


def draw_photos(folder: Path, each: int = 8) -> Path:
    """Draw photos of 16 x 16 up to 20 x 30 in the folders of three classes, for training and validation."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for index, name in enumerate(("disc", "square", "stripes")):
            for number in range(each):
                pixels = rng.integers(0, 120, (3, 16 + number % 5, 16 + 2 * number))
                pixels[index] += 100
                place = folder / part / name / f"{part}_{name}_{number}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                write_image(place, pixels.astype(np.uint8))
    return folder


def write_trained_run(folder: Path, data: Path | None, model_card: ModelCard | None = None) -> Run:
    """Write a run as if trained on case_0...case_3 of `drawn.pairs`; it remembers the folder `data`."""
    understood = {"task": "binary"} | ({"folder": str(data)} if data else {})
    parts = {"train": [f"case_{n}" for n in range(4)], "val": ["case_4", "case_5"], "test": []}
    run = Run.create(folder, Config(), {"splits": {"cases": parts}, "understood": understood})
    write_model(run.model_path, as_trained(model_card or make_recipe()))
    return run


def as_trained(card: ModelCard) -> ModelCard:
    """Return a model card with the classes of a training on `drawn.pairs`."""
    return replace(card, classes=("background", "foreground"), values=(0, 255)) if card.task == "binary" else card


def make_valid_network() -> tuple[Segmenter, ModelCard]:
    """Return the U-Net of 2015 for colour, whose export takes long: a run with its card has the same graph."""
    network, card = make_network(channels=3, name="unet2015")
    return network, as_trained(card)
