"""A tiny network whose masks are right on drawn images, and the samples for the proofs of its exports."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pixelwise.engine.exporting.export import Material
from pixelwise.engine.exporting.samples import Sample
from pixelwise.engine.recipe import Recipe
from pixelwise.images.preprocess import Normalisation
from pixelwise.networks.architectures import build
from pixelwise.networks.models import Segmenter
from pixelwise.progress import Progress
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from tiny import make_recipe, write_model

DATASET = Normalisation(kind="dataset", mean=(110.0,), std=(45.0,))


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""

    def tell(self, *sentences: str) -> None:
        """Keep sentences, a line each."""
        self.text += "".join(f"{sentence}\n" for sentence in sentences)


def make_network(scale: Normalisation | None = None, **network: object) -> tuple[Segmenter, Recipe]:
    """Return a network with random weights, statistics of batch normalisation included, and its recipe."""
    recipe = replace(make_recipe(**network), normalisation=scale or Normalisation())  # type: ignore[arg-type]
    torch.manual_seed(0)
    built = build(recipe.network)
    assert isinstance(built, Segmenter)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    return built.eval(), recipe


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


def make_material(samples: Sequence[Sample] | None = None) -> Material:
    """Return drawn samples for proof and quantisation."""
    chosen = samples or make_samples()
    return Material(proof=chosen, training=lambda: chosen)


def write_trained_run(folder: Path, data: Path | None, recipe: Recipe | None = None) -> Run:
    """Write a run as if trained on case_0...case_3 of `drawn.pairs`; it remembers the folder `data`."""
    understood = {"task": "binary"} | ({"folder": str(data)} if data else {})
    parts = {"train": [f"case_{n}" for n in range(4)], "val": ["case_4", "case_5"], "test": []}
    run = Run.create(folder, Config(), {"splits": {"parts": parts}, "understood": understood})
    chosen = recipe or make_recipe()
    if chosen.task == "binary":
        chosen = replace(chosen, classes=("background", "foreground"), values=(0, 255))
    write_model(run.model_path, chosen)
    return run
