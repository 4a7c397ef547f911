"""Numbered slices from end to end: a model that was trained on them predicts folders of slices as volumes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from drawn import save
from pixelwise.datasets.options import DataOptions
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.predict import predict
from pixelwise.workflow.train import train

nibabel: Any = pytest.importorskip("nibabel")

SETTINGS = (
    "network.base=4",
    "network.depth=1",
    "patches.depth=8",
    "patches.height=16",
    "patches.width=16",
    "patches.batch=2",
    "training.precision=float32",
)


def write(root: Path) -> Path:
    """Six volumes of slices, two of each split."""
    for case in range(6):
        image, labels = drawn.draw(case)
        split = ("train", "val", "test")[case // 2]
        for index in range(len(image)):
            name = f"case{case}_z{index + 1:02}.png"
            save(root / split / "images" / name, np.clip(image[index] / 3, 0, 255).astype(np.uint8))
            save(root / split / "masks" / name, labels[index])
    return root


def test_slices_are_volumes_from_training_to_prediction(tmp_path: Path) -> None:
    data, options = write(tmp_path / "data"), DataOptions(task="multiclass", stack=True, voxel_size="2,1,1")
    out = tmp_path / "run"
    run = train(data, out=out, steps=6, overrides=SETTINGS, device="cpu", options=options, progress=Progress())
    card = read_model_card(run.model_path)
    assert (card.network.dimensions, card.reading.stack, card.reading.voxel_size) == (3, True, (2.0, 1.0, 1.0))
    scores = evaluate(run.folder, data, split="test", progress=Progress())
    assert len(scores["cases"]) == 2
    assert scores["scores"]["volumes"]["unit"] == "ml"
    found = predict(run.folder, [data / "test" / "images"], tmp_path / "masks", progress=Progress())
    assert not found.failed
    masks = sorted((tmp_path / "masks").glob("*.nii.gz"))
    assert [path.name for path in masks] == ["case4_z[01-12].nii.gz", "case5_z[01-12].nii.gz"]
    mask = nibabel.load(masks[0])
    assert (mask.shape, mask.header.get_zooms()) == ((16, 20, 12), (1.0, 1.0, 2.0))
