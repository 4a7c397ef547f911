"""Choice of the minimum area per class for small-object removal, on the validation images.

Networks for rare classes predict small false regions, also in empty images. Most are smaller than any true region.
Connected components of a class below a minimum area are removed if this improves the masks of the validation images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64, Integer

from pixelwise.labels.instances import decode
from pixelwise.labels.label_image import components
from pixelwise.labels.targets import IGNORE, TargetOptions
from pixelwise.metrics.semantic import mean_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, within_time

AREAS = (0, *(2**power for power in range(3, 14)))  # pixels
QUANTILE = 0.1  # of the true areas of a class: the upper limit of its minimum area
MIN_EMPTY = 3  # empty images
MIN_IMAGES = 5  # images with a class
FOLDS = 5  # cross-validation folds of images
LOSS = 0.003  # maximum decrease of the Dice of a class, in exchange for fewer false alarms


@dataclass(frozen=True)
class Regions:
    """The connected components of one class in one image.

    `predicted` (areas, 3): for each predicted region its pixels, those with known ground truth, and the correct ones;
    `true`: the pixels of each true region; `pixels`: their sum.
    """

    predicted: Int64[np.ndarray, "areas 3"]
    true: Int64[np.ndarray, " true_areas"]

    @property
    def pixels(self) -> int:
        """Pixels of the class in the ground truth."""
        return int(self.true.sum())


@dataclass(frozen=True, kw_only=True)
class MinAreaChoice:
    """The chosen minimum areas, with mean Dice over the classes and false alarms in empty images before and after."""

    areas: tuple[int, ...]
    before: float
    after: float
    images: int
    empty: int
    alarms_before: int
    alarms_after: int

    def to_text(self, classes: Sequence[str]) -> str:
        """Describe the choice and its scores."""
        where = f"{pluralise(self.images, 'validation image')}, {self.empty} of them empty"
        if not any(self.areas):
            return f"No small-object removal: it does not improve the masks on {where}."
        named = ", ".join(f"{name} {area}" for name, area in zip(classes, self.areas, strict=True) if area)
        change = f"mean Dice {self.after:.4f}, before {self.before:.4f}"
        alarms = f"false alarms in {self.alarms_after} of the empty ones, before in {self.alarms_before}"
        return f"Small-object removal below these areas in pixels ({named}), chosen on {where}: {change}; {alarms}."


def find_areas(truth: Integer[np.ndarray, "*size"], mask: Integer[np.ndarray, "*size"], classes: int) -> list[Regions]:
    """Return the regions of each class but the first; pixels with ground truth 255 count for sizes only."""
    rows: list[Regions] = []
    for index in range(1, classes):
        numbers = components(mask == index)
        columns = [None, truth != IGNORE, truth == index]
        counts = [_count(numbers, where) for where in columns]
        rows.append(Regions(np.stack(counts, axis=1), _count(components(truth == index), None)))
    return rows


def choose_min_areas(images: Sequence[Sequence[Regions]]) -> MinAreaChoice | None:
    """Choose the minimum area of each class, by its Dice over all images.

    For each class and fold, the largest of `AREAS` with a Dice within `LOSS` of the best on the other folds; the median
    over the folds is chosen if the Dice on the held-out images is not worse. The choices are used if the held-out mean
    Dice over the classes increases and fewer empty images have false alarms.

    Returns
    -------
    MinAreaChoice or None
        None if too few images are empty, or all are.
    """
    empty = np.array([not any(areas.pixels for areas in image) for image in images])
    if empty.sum() < MIN_EMPTY or empty.all():
        return None
    each = [_choose([image[index] for image in images]) for index in range(len(images[0]))]
    areas = (0, *(area for area, _, _ in each))
    before, after = (mean_of(tuple(row[column] for row in each)) for column in (1, 2))
    alarms = [int((_has_regions(images, limits) & empty).sum()) for limits in ((0,) * len(areas), areas)]
    if before is None or after is None or after <= before or alarms[1] >= alarms[0]:
        areas, after, alarms[1] = (0,) * len(areas), before, alarms[0]
    return MinAreaChoice(
        areas=areas,
        before=before or 0.0,
        after=after or 0.0,
        images=len(images),
        empty=int(empty.sum()),
        alarms_before=alarms[0],
        alarms_after=alarms[1],
    )


def select_min_areas(
    predictions: Sequence[ValidationPrediction], model_card: ModelCard, seconds: float | None
) -> tuple[ModelCard, str]:
    """Return the model card with the chosen minimum areas, and a note; see `choose_min_areas`."""
    regions = [
        (one.name, find_areas(one.truth, decode(one.probabilities, model_card.target), len(model_card.classes)))
        for one in within_time(predictions, seconds)
    ]
    chosen = choose_min_areas([areas for _, areas in sorted(regions, key=lambda item: item[0])])
    if chosen is None:
        return model_card, "No small-object removal: too few of the validation images are empty."
    note = chosen.to_text(model_card.classes)
    target = replace(model_card.target, class_areas=chosen.areas) if any(chosen.areas) else model_card.target
    return replace(model_card, target=target, trained=model_card.trained | {"areas": note}), note


def may_choose(targets: Sequence[Integer[np.ndarray, "*size"]], target: TargetOptions) -> bool:
    """Return whether minimum areas can be chosen: enough class maps are empty, but not all."""
    empty = [not ((one > 0) & (one != IGNORE)).any() for one in targets]
    return target.kind == "classes" and MIN_EMPTY <= sum(empty) < len(empty)


def _choose(images: Sequence[Regions]) -> tuple[int, float | None, float | None]:
    """Return the minimum area of a class, its Dice without one, and with one on held-out images."""
    true = np.concatenate([image.true for image in images])
    grid = [area for area in AREAS if not len(true) or area <= np.quantile(true, QUANTILE)]
    table = np.array([[image.predicted[image.predicted[:, 0] >= area, 1:].sum(0) for area in grid] for image in images])
    pixels = np.array([image.pixels for image in images])
    dice = _dice(table, pixels)
    if np.count_nonzero(pixels) < MIN_IMAGES:
        return 0, dice[0], dice[0]
    indices: list[int] = []
    held_out = np.zeros(2, np.int64)
    for fold in range(FOLDS):
        out = np.arange(len(images)) % FOLDS == fold
        scores = np.array([score or 0.0 for score in _dice(table[~out], pixels[~out])])
        indices.append(int(np.flatnonzero(scores >= scores.max() - LOSS)[-1]))
        held_out += table[out, indices[-1]].sum(axis=0)
    (after,) = _dice(held_out[None, None], pixels.sum()[None])
    if after is None or dice[0] is None or after < dice[0] - LOSS:
        return 0, dice[0], dice[0]
    return grid[sorted(indices)[FOLDS // 2]], dice[0], after


def _dice(table: Int64[np.ndarray, "images areas 2"], pixels: Int64[np.ndarray, " images"]) -> list[float | None]:
    """Return the Dice of a class over all images, for each minimum area."""
    known, correct = table.sum(axis=0).T
    totals = known + pixels.sum()
    return [float(2 * hits / total) if total else None for hits, total in zip(correct, totals, strict=True)]


def _has_regions(images: Sequence[Sequence[Regions]], min_areas: Sequence[int]) -> Bool[np.ndarray, " images"]:
    """Return for each image whether any region is predicted."""
    limits = min_areas[1:]
    return np.array(
        [any((a.predicted[:, 0] >= area).any() for a, area in zip(image, limits, strict=True)) for image in images]
    )


def _count(numbers: np.ndarray, where: np.ndarray | None) -> Int64[np.ndarray, " areas"]:
    weights = None if where is None else where.ravel()
    return np.bincount(numbers.ravel(), weights, int(numbers.max(initial=0)) + 1)[1:].astype(np.int64)
