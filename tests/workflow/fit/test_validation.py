"""Validation uses the same pixels each time, as many as the time allows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelwise.geometry.layer_graph import LayerSpec
from pixelwise.geometry.sizes import derive_geometry
from pixelwise.io.read import read_mask
from pixelwise.networks.architectures import build
from pixelwise.networks.blocks import Head
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale
from pixelwise.training.team import Team
from pixelwise.workflow.fit.training_data import TrainingImage
from pixelwise.workflow.fit.validation import Validation, make_palette
from tiny import make_recipe


def piece(name: str, side: int, rng: np.random.Generator) -> TrainingImage:
    pixels = rng.integers(0, 256, (1, side, side)).astype(np.uint8)
    target = (pixels[0] > 127).astype(np.uint8)
    return TrainingImage(name, pixels, target, intensity_scale(pixels, Normalisation()))


def look(images: list[TrainingImage], snapshots: Path, limit: int) -> Validation:
    geometry = make_recipe().geometry
    return Validation(images, 2, geometry, "cpu", limit, snapshots, make_palette("classes", ((0, 0, 0), (9, 9, 9))))


class Share(Team):
    """One of several processes, with the counts of the others."""

    def __init__(self, rank: int, size: int, others: np.ndarray | int = 0) -> None:
        super().__init__(rank, size)
        self._others = others

    def count(self, own: np.ndarray) -> np.ndarray:
        self.counted = own
        return own + self._others


class Threshold(nn.Module):
    """A network whose second class is where `slope` times the scaled intensity exceeds `least`."""

    def __init__(self, slope: float, least: float = 0.0) -> None:
        super().__init__()
        self.slope, self.least = nn.Parameter(torch.tensor(slope)), least

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([torch.full_like(images, self.least), images * self.slope], 1)


def test_networks_whose_scores_are_known(tmp_path: Path, rng: np.random.Generator) -> None:
    """Through tiles, halo and scale: the objects are what is brighter than 127, and the scale has its zero there."""
    scale = Scale(np.array([1 / 64]), np.array([127.5]))
    pieces = [replace(piece("a", 64, rng), scale=scale), replace(piece("b", 80, rng), scale=scale)]
    validation = look(pieces, tmp_path, 10**9)
    objects = sum(int(piece.target.sum()) for piece in pieces)
    everything = 2 * objects / (objects + 64**2 + 80**2)
    assert validation.score(Threshold(1.0)) == 1.0
    assert validation.score(Threshold(-1.0)) == 0.0
    assert validation.score(Threshold(0.0, least=1.0)) == 0.0
    assert validation.score(Threshold(0.0, least=-1.0)) == pytest.approx(everything)


def test_processes_share_the_images_and_have_one_score(tmp_path: Path, rng: np.random.Generator) -> None:
    network, pieces = Threshold(1.0, least=0.3), [piece(name, 64, rng) for name in "abcde"]
    validation = look(pieces, tmp_path, 10**9)
    shares = [Share(rank, 2) for rank in range(2)]
    for share in shares:
        validation.score(network, share)
    seen = [share.counted.sum() for share in shares]
    assert seen == [3 * 64**2, 2 * 64**2], "each image in one process"
    both = Share(0, 2, others=shares[1].counted)
    assert validation.score(network, both) == validation.score(network)


def test_snapshots_show_one_patch(tmp_path: Path, rng: np.random.Generator) -> None:
    validation = look([piece("a", 300, rng)], tmp_path, 10**9)
    validation.start_snapshots()
    validation.write_snapshot(build(make_recipe().network), 7)
    assert {path.name for path in tmp_path.iterdir()} == {"image.png", "truth.png", "step-0000007.png"}
    assert read_mask(tmp_path / "step-0000007.png").values.shape == (256, 256)


def test_volumes_are_validated_whole_or_cropped_and_shown_by_a_slice(tmp_path: Path) -> None:
    """A network that thresholds: its Dice is 1, and the snapshot is the slice with most foreground."""
    truth = np.zeros((20, 24, 28), np.uint8)
    truth[8:14, 6:18, 8:20] = 1
    truth[11, 2:22, 4:24] = 1
    pixels = truth[None].astype(np.float32)
    image = TrainingImage("one", pixels, truth, intensity_scale(pixels, Normalisation(kind="none")))

    network = Head(1, 2, dimensions=3)
    network.load_state_dict(
        {"layer.weight": torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1), "layer.bias": torch.tensor([0.5, 0.0])}
    )
    geometry = derive_geometry([LayerSpec(name="head", kind="convolution")])
    palette = make_palette("classes", ((0, 0, 0), (9, 9, 9)))
    validation = Validation([image], 2, geometry, "cpu", 10**6, tmp_path, palette)
    assert validation.score(network) == 1.0
    assert validation.trivial_score < 1.0
    assert [gain.inputs for gain in validation.measure_tta(network)] == [1, 4, 8]
    validation.start_snapshots()
    validation.write_snapshot(network, 7)
    shown = read_mask(tmp_path / "truth.png").values
    np.testing.assert_array_equal(shown, truth[11])
    np.testing.assert_array_equal(read_mask(tmp_path / "step-0000007.png").values, truth[11])
    cropped = Validation([image], 2, geometry, "cpu", 20 * 24 * 28 // 2, tmp_path, palette)
    assert cropped.score(network) == 1.0
