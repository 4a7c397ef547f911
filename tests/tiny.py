"""A tiny finished model and run, made by hand, for tests that need one but not its training."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pixelwise.datasets.dataset import Dataset
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_file import ModelCard, load_network, save_model
from pixelwise.networks.architectures import NetworkOptions, build, with_defaults_where_unread
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Normalisation
from pixelwise.sampling.resize_crop import View
from pixelwise.workflow.config import Config
from pixelwise.workflow.fit.segmentation_task import Select
from pixelwise.workflow.fit.select.validation_predictions import predict_validation
from pixelwise.workflow.run import Run

GRAY = ((0, 0, 0), (255, 255, 255), (0, 158, 115))


def make_recipe(task: str = "binary", channels: int = 1, **network: Any) -> ModelCard:
    """Return the recipe of a small U-Net; objects get a boundary target."""
    kind = "boundary" if task == "instance" else "classes"
    classes = {"binary": 2, "multiclass": 3, "instance": 3}[task]
    options = NetworkOptions(**{"in_channels": channels, "classes": classes, "base": 4, "depth": 2, **network})
    options = with_defaults_where_unread(options)
    names = ("background", "object") if task != "multiclass" else ("sky", "road", "tree")
    with torch.device("meta"):
        geometry = build(options).geometry()
    return ModelCard(
        network=options,
        normalisation=Normalisation(),
        target=TargetOptions(kind=kind),
        geometry=geometry,
        task=task,
        classes=names,
        values=() if task == "instance" else tuple(range(len(names))),
        colours=GRAY[: len(names)],
        channels=channels,
        tile=64,
        intensity_range=((0.0, 255.0),) * channels,
        trained={"data": "drawn"},
    )


def make_photo_recipe() -> ModelCard:
    """Return the recipe of a narrow ResNet-20 that tells three classes of colour photos of 16 x 16."""
    options = NetworkOptions(name="resnet20", in_channels=3, classes=3, base=4)
    with torch.device("meta"):
        geometry = build(options).geometry()
    return ModelCard(
        network=options,
        normalisation=Normalisation(kind="dataset", mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0)),
        target=TargetOptions(),
        geometry=geometry,
        task="classification",
        classes=("disc", "square", "stripes"),
        values=(),
        colours=(),
        channels=3,
        tile=16,
        intensity_range=((0.0, 255.0),) * 3,
        trained={"data": "drawn"},
        view=View(side=16, shorter=16),
    )


def write_model(path: Path, model_card: ModelCard | None = None) -> ModelCard:
    """Write a model with random weights."""
    model_card = model_card or make_recipe()
    torch.manual_seed(0)
    save_model(path, build(model_card.network), model_card)
    return model_card


def write_run(folder: Path, task: str = "binary") -> Run:
    """Write a run folder as training leaves it, with two validations behind it."""
    model_card = make_recipe(task)
    understood = {
        "data": "drawn",
        "messages": ["The masks are <b>drawn</b>."],
        "problems": [],
        "cases": {"train": 3, "val": 1, "test": 2},
        "task": task,
        "classes": list(model_card.classes),
        "channels": 1,
        "ignore_index": None,
        "coded_by_colour": False,
    }
    records = {
        "fingerprint": {"intensity_range": [[0, 255]]},
        "splits": {"cases": {"train": ["train/a"], "val": ["val/b"], "test": []}, "groups": {}, "seed": 0},
        "environment": {"seed": 0, "device": "cpu", "threads": 1, "versions": {"torch": "2"}},
        "understood": understood,
    }
    config = Config(network=model_card.network, target=model_card.target, reasons={"network.depth": "Small & quick."})
    run = Run.create(folder, config, records)
    write_model(run.model_path, model_card)
    rows = [
        {"step": 1, "seconds": 0.5, "train_loss": 1.0, "val_score": 0.4, "learning_rate": 1e-3, "skipped": 0},
        {"step": 2, "seconds": 1.0, "train_loss": 0.5, "val_score": 0.6, "learning_rate": 0.0, "skipped": 0},
    ]
    run.write_metrics(rows)
    return run


def as_json(model_card: ModelCard) -> dict[str, Any]:
    """Return the recipe as its file holds it."""
    return asdict(model_card)


def select_for_model(path: Path, dataset: Dataset, select: Select) -> str:
    """Predict the validation images with a model file, write what `select` chooses into it, and return its note."""
    network, model_card = load_network(path)
    (predictions,) = predict_validation([network], model_card, dataset, device="cpu", seconds=None, progress=Progress())
    model_card, note = select(predictions, model_card, None)
    save_model(path, network, model_card)
    return note
