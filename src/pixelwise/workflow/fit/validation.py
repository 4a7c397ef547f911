"""Validation during training: mean Dice on a subset of the validation images, and snapshots of one patch."""

import time
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
from torch import nn

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.geometry.sizes import Geometry
from pixelwise.inference.predictor import Predictor
from pixelwise.io.read import png_bytes, write_mask
from pixelwise.labels.regions import region_matrices, write_regions
from pixelwise.labels.targets import IGNORE, TargetOptions
from pixelwise.metrics.semantic import confusion, means_of, stacked_scores
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.training.team import Team
from pixelwise.workflow.fit.select.tta import COUNTS, TtaGain, TtaResult, compare, ordered_symmetries
from pixelwise.workflow.fit.training_data import TrainingImage
from pixelwise.workflow.fit.validation_windows import choose_windows, cut_window
from pixelwise.workflow.painting import stretch

SNAPSHOT_SIDE = 256  # pixels
TILE = {2: 512, 3: 128}  # side of the valid region of a tile, of images and of volumes


class Validation:
    """Validation on a fixed subset of pixels of the validation images.

    Parameters
    ----------
    images : sequence of TrainingImage
        Validation images, in order.
    classes : int
        Channels of the logits.
    max_pixels : int
        Maximum number of pixels: evenly spaced images are used, or windows of them if necessary.
    folder : Path
        The folder of the snapshots.
    palette : sequence of (red, green, blue)
        A colour per class of the target.
    first : int
        The first class that is scored: 1 if class 0 is the background, else 0.
    scored : int, optional
        Number of classes: those of the leading channels; by default all.
    target : TargetOptions, optional
        With regions the mean Dice is that of the regions.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        classes: int,
        geometry: Geometry,
        device: str,
        max_pixels: int,
        folder: Path,
        palette: Sequence[tuple[int, int, int]],
        first: int = 1,
        scored: int | None = None,
        target: TargetOptions | None = None,
    ) -> None:
        self._target = target if target is not None and target.regions else None
        self._first, self._scored = first, classes if scored is None else scored
        self._classes, self._geometry, self._device = classes, geometry, device
        self._folder, self._palette = folder, palette
        self._images = choose_windows(images, max_pixels, first)
        self._axes = self._images[0].target.ndim
        self._snapshot_image = _most_varied_window(self._images)

    def score(self, network: nn.Module, team: Team | None = None) -> float:
        """Return the mean Dice over all pixels, without the background and empty classes.

        Each process of a team predicts its share of the images; counts of pixels are added exactly, in any order.
        """
        team = team or Team()
        total = np.zeros((self._scored, self._scored), np.int64)
        for image in self._images[team.rank :: team.size]:
            total += confusion(image.target, self._predict(network, image), self._scored)
        return float(self._mean_dice(team.count(total))[0])

    @property
    def trivial_score(self) -> float:
        """The best mean Dice of a constant prediction."""
        counts = np.zeros(self._scored, np.int64)
        for image in self._images:
            counts += np.bincount(image.target.ravel(), minlength=256)[: self._scored]
        matrices = [np.zeros((self._scored, self._scored), np.int64) for _ in counts]
        for index, matrix in enumerate(matrices):
            matrix[:, index] = counts  # rows are the ground truth
        return float(self._mean_dice(np.stack(matrices)).max())

    def measure_tta(self, network: nn.Module) -> list[TtaGain]:
        """Measure the gain of test-time augmentation on the same pixels; sums of logits are reused."""
        runtime = TorchRuntime(network, self._device)
        order = ordered_symmetries(self._axes)
        predictors = [
            Predictor(runtime, self._geometry, self._classes, TILE[self._axes], (symmetry,)) for symmetry in order
        ]
        predictors[0].logits(self._images[0].pixels, self._images[0].scale)  # warm-up
        results = {count: TtaResult("" if count == 1 else f"--tta {count}", []) for count in COUNTS}
        for _, windows in groupby(self._images, attrgetter("name")):  # those of one image are not independent
            for result in results.values():
                result.rows.append(np.zeros(self._scored**2, np.int64))
            for image in windows:
                began, total = time.perf_counter(), np.float32(0.0)
                for count, predictor in enumerate(predictors, 1):
                    total = total + predictor.logits(image.pixels, image.scale)
                    if count in results:
                        results[count].seconds += time.perf_counter() - began
                        predicted = self._decide(np.asarray(total))
                        results[count].rows[-1] += confusion(image.target, predicted, self._scored).ravel()
        return compare(results, lambda rows: self._mean_dice(rows.astype(np.int64)))

    def _mean_dice(self, matrices: np.ndarray) -> np.ndarray:
        """Return the mean Dice of each confusion matrix, over classes or regions; 0 if it is undefined."""
        matrices = matrices.reshape(-1, self._scored, self._scored)
        if self._target is None:
            dice = stacked_scores(matrices).dice[:, self._first :]
        else:
            tables = [np.stack(region_matrices(matrix, self._target)) for matrix in matrices]
            dice = np.stack([stacked_scores(table).dice[:, 1] for table in tables])
        return np.nan_to_num(means_of(dice))

    def start_snapshots(self) -> None:
        """Write the image and the ground truth of the snapshot patch; of a volume those of one slice."""
        pixels = _shown_slice(self._snapshot_image.pixels, self._snapshot_image)
        atomic_write_bytes(self._folder / "image.png", png_bytes(np.moveaxis(stretch(pixels), -1, 0)))
        target = _shown_slice(self._snapshot_image.target, self._snapshot_image)
        truth = np.where(target == IGNORE, 0, target).astype(np.uint8)
        write_mask(self._folder / "truth.png", truth, self._palette)

    def write_snapshot(self, network: nn.Module, step: int) -> None:
        """Write the predicted class map of the snapshot patch after `step` steps."""
        predicted = _shown_slice(self._predict(network, self._snapshot_image), self._snapshot_image)
        write_mask(self._folder / f"step-{step:07d}.png", predicted, self._palette)

    def _predict(self, network: nn.Module, image: TrainingImage) -> np.ndarray:
        runtime = TorchRuntime(network, self._device)
        predictor = Predictor(runtime, self._geometry, self._classes, TILE[self._axes])
        return self._decide(predictor.logits(image.pixels, image.scale))

    def _decide(self, logits: np.ndarray) -> np.ndarray:
        """Return the most probable class of each pixel, or that of the last region above its threshold."""
        if self._target is not None:
            return write_regions(logits, self._target, logits=True)
        return logits[: self._scored].argmax(0).astype(np.uint8)


def _shown_slice(array: np.ndarray, image: TrainingImage) -> np.ndarray:
    """Return an image (..., height, width) as it is, and of a volume the slice with most foreground."""
    if image.target.ndim == 2:
        return array
    known = (image.target > 0) & (image.target != IGNORE)
    place = int(known.sum((1, 2)).argmax()) if known.any() else image.target.shape[0] // 2
    return array.take(place, axis=-3)


def _most_varied_window(images: Sequence[TrainingImage]) -> TrainingImage:
    """Return the window of the images with the largest entropy of class frequencies; of volumes a whole one."""
    if images[0].target.ndim == 3:
        return max(images[:16], key=lambda image: float(((image.target > 0) & (image.target != IGNORE)).mean()))
    best: tuple[float, TrainingImage] | None = None
    for image in images[:16]:
        height, width = (min(SNAPSHOT_SIDE, side) for side in image.target.shape)
        for top in range(0, image.target.shape[0] - height + 1, SNAPSHOT_SIDE // 2):
            for left in range(0, image.target.shape[1] - width + 1, SNAPSHOT_SIDE // 2):
                window = cut_window(image, (top, left), (height, width))
                shares = np.bincount(window.target[window.target != IGNORE], minlength=2) / window.target.size
                entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
                if best is None or entropy > best[0]:
                    best = entropy, window
    return best[1] if best else images[0]


def make_palette(kind: str, colours: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return a colour per channel of the target: the class colours, or background, interior and boundary."""
    if kind == "classes":
        return list(colours)
    return [(0, 0, 0), (90, 160, 220), (255, 200, 60)]
