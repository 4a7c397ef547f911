"""Validation on the way: the averaged network on some validation images, and a film of one patch."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.geometry.sizes import Geometry
from pixelwise.inference.predictor import Predictor
from pixelwise.io.read import png_bytes, write_mask
from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.semantic import class_scores, confusion
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.workflow.fit.select.tta import COUNTS, ORDER, TtaGain, TtaResult, compare
from pixelwise.workflow.fit.training_data import TrainingImage

FRAME = 256  # pixels a side of the film
CORE = 512


class Validation:
    """Looks at as many validation pixels as the time allows; the same ones each time.

    Parameters
    ----------
    pieces : sequence of Piece
        Validation cases, in order.
    classes : int
        Channels of the logits.
    geometry : Geometry
    device : str
    most_pixels : int
        Cases are taken evenly spaced, and cut to their centre, until this many pixels are reached.
    film : Path
        The folder of the frames.
    palette : sequence of (red, green, blue)
        A colour per class of the target.
    first : int
        The first class that is scored: 1 where class 0 is a background, else 0.
    scored : int, optional
        Channels that are classes, by default all; they come first.
    """

    def __init__(
        self,
        pieces: Sequence[TrainingImage],
        classes: int,
        geometry: Geometry,
        device: str,
        most_pixels: int,
        film: Path,
        palette: Sequence[tuple[int, int, int]],
        first: int = 1,
        scored: int | None = None,
    ) -> None:
        self._first, self._scored = first, classes if scored is None else scored
        self._classes, self._geometry, self._device = classes, geometry, device
        self._film, self._palette = film, palette
        self._pieces = _some(pieces, most_pixels)
        self._frame = _busiest(self._pieces)

    def score(self, network: nn.Module) -> float:
        """Return the mean Dice over all pixels looked at; a background and empty classes are left out."""
        total = np.zeros((self._scored, self._scored), np.int64)
        for piece in self._pieces:
            total += confusion(piece.target, self._predict(network, piece), self._scored)
        return self._mean_dice(total)

    @property
    def trivial_score(self) -> float:
        """The best mean Dice of a prediction that is one class everywhere."""
        counts = np.zeros(self._scored, np.int64)
        for piece in self._pieces:
            counts += np.bincount(piece.target.ravel(), minlength=256)[: self._scored]
        matrices = [np.zeros((self._scored, self._scored), np.int64) for _ in counts]
        for index, matrix in enumerate(matrices):
            matrix[:, index] = counts  # rows are the truth
        return max(self._mean_dice(matrix) for matrix in matrices)

    def averages(self, network: nn.Module) -> list[TtaGain]:
        """Measure what averages over turned inputs bring on the same pixels; each sum of logits serves the next."""
        runtime = TorchRuntime(network, self._device)
        predictors = [Predictor(runtime, self._geometry, self._classes, CORE, (symmetry,)) for symmetry in ORDER]
        predictors[0].logits(self._pieces[0].pixels, self._pieces[0].scale)  # the first pass is slower than the others
        tallies = {count: TtaResult("" if count == 1 else f"--tta {count}", []) for count in COUNTS}
        for piece in self._pieces:
            began, total = time.perf_counter(), np.float32(0.0)
            for count, predictor in enumerate(predictors, 1):
                total = total + predictor.logits(piece.pixels, piece.scale)
                if count in tallies:
                    taken = time.perf_counter() - began
                    said = total[: self._scored].argmax(0).astype(np.uint8)
                    rows = confusion(piece.target, said, self._scored).ravel()
                    tallies[count].add(rows, taken)
        return compare(tallies, lambda row: self._mean_dice(row.reshape(self._scored, -1).astype(np.int64)))

    def _mean_dice(self, matrix: np.ndarray) -> float:
        dice = [value for value in class_scores(matrix).dice[self._first :] if value is not None]
        return float(np.mean(dice)) if dice else 0.0

    def start_film(self) -> None:
        """Write the picture of the film's patch and its truth."""
        low, high = np.percentile(self._frame.pixels, (0.5, 99.5))
        view = (np.clip((self._frame.pixels - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
        atomic_write_bytes(self._film / "image.png", png_bytes(view[:3] if len(view) >= 3 else view[:1]))
        truth = np.where(self._frame.target == IGNORE, 0, self._frame.target).astype(np.uint8)
        write_mask(self._film / "truth.png", truth, self._palette)

    def film(self, network: nn.Module, step: int) -> None:
        """Write the class map of the film's patch as it is predicted after `step` steps."""
        write_mask(self._film / f"step-{step:07d}.png", self._predict(network, self._frame), self._palette)

    def _predict(self, network: nn.Module, piece: TrainingImage) -> np.ndarray:
        runtime = TorchRuntime(network, self._device)
        predictor = Predictor(runtime, self._geometry, self._classes, CORE)
        return predictor.logits(piece.pixels, piece.scale)[: self._scored].argmax(0).astype(np.uint8)


def _some(pieces: Sequence[TrainingImage], most_pixels: int) -> list[TrainingImage]:
    """Take evenly spaced pieces until they hold `most_pixels`; a single larger one is cut to its centre."""
    mean = sum(piece.target.size for piece in pieces) / len(pieces)
    count = max(1, min(len(pieces), round(most_pixels / mean)))
    chosen = [pieces[i * len(pieces) // count] for i in range(count)]
    each = most_pixels / count
    return [piece if piece.target.size <= 1.5 * each else _cut(piece, each) for piece in chosen]


def _cut(piece: TrainingImage, pixels: float) -> TrainingImage:
    shrink = (pixels / piece.target.size) ** 0.5
    height, width = (max(64, int(side * shrink)) for side in piece.target.shape)
    return _window(piece, (piece.target.shape[0] - height) // 2, (piece.target.shape[1] - width) // 2, height, width)


def _window(piece: TrainingImage, top: int, left: int, height: int, width: int) -> TrainingImage:
    rows, columns = slice(max(0, top), max(0, top) + height), slice(max(0, left), max(0, left) + width)
    return TrainingImage(piece.name, piece.pixels[:, rows, columns], piece.target[rows, columns], piece.scale)


def _busiest(pieces: Sequence[TrainingImage]) -> TrainingImage:
    """Cut the window with the most variety of classes: the one where the film is worth watching."""
    best: tuple[float, TrainingImage] | None = None
    for piece in pieces[:16]:
        height, width = (min(FRAME, side) for side in piece.target.shape)
        for top in range(0, piece.target.shape[0] - height + 1, FRAME // 2):
            for left in range(0, piece.target.shape[1] - width + 1, FRAME // 2):
                window = _window(piece, top, left, height, width)
                shares = np.bincount(window.target[window.target != IGNORE], minlength=2) / window.target.size
                variety = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
                if best is None or variety > best[0]:
                    best = variety, window
    return best[1] if best else pieces[0]


def make_palette(kind: str, colours: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return a colour per channel of the target: the class colours, or background, interior and boundary."""
    if kind == "classes":
        return list(colours)
    return [(0, 0, 0), (90, 160, 220), (255, 200, 60)]
