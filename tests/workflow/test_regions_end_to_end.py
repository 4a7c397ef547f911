"""Regions from end to end: nested classes are planned, trained, predicted, evaluated and exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from drawn import save
from pixelwise.errors import BadOption
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.model_file.model_file import load_network, read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.export import export
from pixelwise.workflow.inspect import inspect
from pixelwise.workflow.inspection.attribution import AttributionRequest
from pixelwise.workflow.inspection.mask_attribution import MaskAttribution
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SETTINGS = (
    "network.base=8",
    "network.depth=2",
    "patches.height=48",
    "patches.width=48",
    "patches.batch=4",
    "training.precision=float32",
)
SIDE = 64
TONES = np.array([60, 110, 160, 220])


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc (1) around a smaller one (2) around a third (3), each brighter, in noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE))
    row, column = rng.uniform(24, 40, 2)
    distance = np.hypot(y - row, x - column)
    labels = np.select([distance < 6, distance < 12, distance < 19], [3, 2, 1], 0).astype(np.uint8)
    noise = ndimage.gaussian_filter(rng.normal(0, 16, labels.shape), 0.7)
    return np.clip(TONES[labels] + noise, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("regions") / "discs"
    for number in range(16):
        image, labels = draw(number)
        folder = "Ts" if number >= 12 else "Tr"
        save(root / f"images{folder}/disc{number:02}_0000.png", image)
        save(root / f"labels{folder}/disc{number:02}.png", labels)
    content: dict[str, Any] = {
        "channel_names": {"0": "gray"},
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
        "regions_class_order": [1, 2, 3],
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(content), "utf-8")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(data, out=out, steps=120, overrides=SETTINGS, device="cpu", progress=Progress())


def test_the_model_card_has_the_regions(run: Run) -> None:
    card = read_model_card(run.model_path)
    assert card.target.region_names == ("whole", "core", "enhancing")
    assert card.target.regions == ((1, 2, 3), (2, 3), (3,))
    assert (card.target.region_classes, card.target.region_thresholds) == ((1, 2, 3), (0.5, 0.5, 0.5))
    assert (card.network.classes, len(card.classes)) == (3, 4)
    assert run.config.loss.regions == card.target.regions


def test_every_region_is_scored(run: Run, data: Path) -> None:
    scores = evaluate(run.folder, data, split="test", progress=Progress())
    rows = {row["name"]: row for row in scores["scores"]["regions"]["classes"]}
    assert list(rows) == ["whole", "core", "enhancing"]
    assert all(row["dice"] > 0.9 for row in rows.values()), rows
    assert rows["enhancing"]["dice"] == scores["classes"][3]["dice"]
    assert rows["whole"]["dice"] > scores["classes"][1]["dice"]
    assert set(scores["cases"][0]["regions"]) == set(rows)


def test_masks_are_written_region_by_region(run: Run, data: Path, tmp_path: Path) -> None:
    found = predict(run.folder, [data / "imagesTs"], tmp_path / "out", progress=Progress())
    assert not found.failed
    model = load(run.folder)
    assert isinstance(model, SegmentationModel)
    pixels = np.asarray(Image.open(data / "imagesTs/disc12_0000.png"))
    probabilities = model.probabilities(pixels)
    assert probabilities.shape == (3, SIDE, SIDE)
    mask = np.zeros((SIDE, SIDE), int)
    for written, channel in enumerate(probabilities, 1):
        mask[channel > 0.5] = written
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/disc12_0000.png")), mask)
    assert report(run.folder, progress=Progress()).exists()


def test_exports_predict_the_same(run: Run, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    exported = export(run.folder, out=tmp_path / "model.onnx", progress=Progress())
    for image in sorted((data / "imagesTs").glob("*.png")):
        pixels = np.asarray(Image.open(image))
        masks = [np.asarray(load(path).predict(pixels)) for path in (run.folder, exported.files[0])]
        assert (masks[0] != masks[1]).mean() < 1e-3


def test_folds_of_regions_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="--folds"):
        train(data, out=tmp_path / "folds", steps=4, folds=2, device="cpu", progress=Progress())


def test_grad_cam_explains_a_region(run: Run, data: Path, tmp_path: Path) -> None:
    """By default the largest region; at a pixel of the innermost disc the region that is written last."""
    image, labels = draw(12)
    row, column = (int(side.mean()) for side in np.nonzero(labels == 3))
    network, card = load_network(run.model_path)
    requests = {
        "whole": AttributionRequest(),
        "enhancing": AttributionRequest(pixel=(row, column)),
        "core": AttributionRequest(class_name="core"),
    }
    for name, request in requests.items():
        wanted = MaskAttribution(network, card, image[None], request)
        with torch.no_grad():
            target = wanted.resolve(network(torch.from_numpy(wanted.crop.given)[None])[0].numpy())
        assert target.name == name
        assert target.region is not None
        assert target.predicted["whole"] > target.predicted["core"] > target.predicted["enhancing"] > 0
        out = tmp_path / f"{name}.png"
        inspect(run.folder, image=data / "imagesTs/disc12_0000.png", grad_cam=request, out=out, progress=Progress())
        assert out.is_file()
    other = MaskAttribution(network, card, image[None], AttributionRequest(class_name="disc"))
    with pytest.raises(BadOption, match="a class of the model"):
        other.resolve(np.zeros((3, SIDE, SIDE), np.float32))
