"""The gain of test-time augmentation is measured with the predictions of `predict --tta`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixelwise.geometry.symmetries import SYMMETRIES, tta_symmetries
from pixelwise.inference.predictor import Predictor
from pixelwise.metrics.semantic import class_scores, confusion
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.workflow.fit.select.tta import COUNTS, ORDER, TtaGain, TtaResult, compare, describe_tta
from pixelwise.workflow.fit.training_data import TrainingImage
from pixelwise.workflow.fit.validation import Validation, make_palette
from tiny import make_recipe


def pieces(rng: np.random.Generator, count: int = 3) -> list[TrainingImage]:
    made: list[TrainingImage] = []
    for index in range(count):
        pixels = rng.integers(0, 256, (1, 64, 80)).astype(np.uint8)
        target = (pixels[0] > 127).astype(np.uint8)
        made.append(TrainingImage(str(index), pixels, target, intensity_scale(pixels, Normalisation())))
    return made


def look(found: list[TrainingImage], snapshots: Path) -> Validation:
    palette = make_palette("classes", ((0, 0, 0), (9, 9, 9)))
    return Validation(found, 2, make_recipe().geometry, "cpu", 10**9, snapshots, palette)


def test_the_order_of_the_sums_holds_every_average() -> None:
    assert sorted(map(str, ORDER)) == sorted(map(str, SYMMETRIES))
    for count in COUNTS:
        assert set(ORDER[:count]) == set(tta_symmetries(count))


def test_scores_are_those_of_predictions_with_so_many_turns(tmp_path: Path, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    network, found = nn.Conv2d(1, 2, 5, padding=2).eval(), pieces(rng)  # not equivariant
    averages = look(found, tmp_path).measure_tta(network)
    assert [average.inputs for average in averages] == [1, 4, 8]
    assert [average.flag for average in averages] == ["", "--tta 4", "--tta 8"]
    for average in averages:
        predictor = Predictor(TorchRuntime(network), make_recipe().geometry, 2, 512, tta_symmetries(average.inputs))
        matrix = sum(confusion(p.target, predictor.logits(p.pixels, p.scale).argmax(0), 2) for p in found)
        assert average.score == pytest.approx(class_scores(matrix).dice[1], abs=1e-4)
        assert average.gain == pytest.approx(average.score - averages[0].score)
    assert len({round(average.score, 6) for average in averages}) == 3, "a control: the averages differ"


class Leans(nn.Module):
    """A network that is correct in the left half and predicts background in the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> Tensor:
        sign = torch.zeros_like(image)
        half = image.shape[3] // 2
        sign[:, :, :, :half] = image[:, :, :, :half].sign() * 3
        sign[:, :, :, half:] = -1
        return torch.cat([-sign, sign], 1) * self.scale


def test_a_network_that_errs_on_one_side_gains(tmp_path: Path) -> None:
    """With the flips each pixel is judged from its good side too, whose vote is the stronger one."""
    drawn = np.kron(np.random.default_rng(0).integers(0, 2, (4, 5)), np.ones((16, 16))).astype(np.uint8)
    pixels = drawn[None] * 200
    scale = intensity_scale(pixels, Normalisation(kind="dataset", mean=(100.0,), std=(100.0,)))
    validation = look([TrainingImage("a", pixels, drawn, scale)], tmp_path)
    plain, four, _ = validation.measure_tta(Leans())
    assert plain.score < 0.8
    assert four.score == 1.0
    assert four.interval is None, "undefined for one image"


def test_the_interval_is_that_of_the_gain_image_by_image() -> None:
    rows = [np.array([right, 10.0]) for right in (2.0, 9.0, 5.0, 7.0)]
    better = [row + np.array([1.0, 0.0]) for row in rows]
    found = compare(
        {1: TtaResult("", rows, 2.0), 8: TtaResult("--tta 8", better, 16.0)}, lambda rows: rows[:, 0] / rows[:, 1]
    )
    assert found[1].times == 8.0
    assert found[1].gain == pytest.approx(0.1)
    assert found[1].interval == pytest.approx((0.1, 0.1)), "every image gains as much, whichever are drawn"


def test_windows_of_one_image_are_one_image(tmp_path: Path, rng: np.random.Generator) -> None:
    """They are not independent: the interval is that of images, and of one image there is none."""
    windows = [replace(window, name="one") for window in pieces(rng)]
    torch.manual_seed(0)
    network = nn.Conv2d(1, 2, 5, padding=2).eval()
    _, four, _ = look(windows, tmp_path).measure_tta(network)
    assert (four.images, four.interval) == (1, None)
    _, apart, _ = look(pieces(rng), tmp_path).measure_tta(network)
    assert apart.images == 3
    assert apart.interval is not None, "control"


def average(inputs: int, gain: float, interval: tuple[float, float] | None) -> TtaGain:
    flag = "" if inputs == 1 else f"--tta {inputs}"
    return TtaGain(
        inputs=inputs, flag=flag, score=0.78 + gain, times=float(inputs), gain=gain, interval=interval, images=1
    )


@pytest.mark.parametrize(
    ("gain", "interval", "end"),
    [
        (0.01, (0.004, 0.015), " The gain of --tta 8 is 0.0100 (95 % interval 0.0040 to 0.0150)."),
        (0.01, (-0.004, 0.015), " to 0.0150): not significant."),
        (-0.01, (-0.02, 0.0), " It does not help here."),
        (0.01, None, "(8.0 times as long). With one image the uncertainty of the gain is unknown."),
    ],
)
def test_gain_and_cost_are_told(gain: float, interval: tuple[float, float] | None, end: str) -> None:
    (messages,) = describe_tta([average(1, 0.0, None), average(8, gain, interval)], "mean Dice")
    assert messages.startswith(
        f"Test-time augmentation on the validation images: mean Dice 0.7800 without, {0.78 + gain:.4f} with"
    )
    assert messages.endswith(end)


def test_nothing_is_told_of_what_was_not_measured() -> None:
    assert describe_tta([], "mean Dice") == []
