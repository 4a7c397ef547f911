"""Areas: the smallest area of each class is chosen on validation images, so that what is empty stays empty.

A network that looks hard for rare classes finds crumbs of them everywhere, in images too that show nothing at all. Most
crumbs are smaller than anything that is real. Where validation images show that masks become better by it, connected
areas of a class below so many pixels are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Integer

from pixelwise.datasets.dataset import Dataset
from pixelwise.labels.instances import decode
from pixelwise.labels.label_image import components
from pixelwise.labels.targets import IGNORE, TargetOptions
from pixelwise.metrics.semantic import mean_of
from pixelwise.model_file.model_file import load_network, save_model
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import predict_validation_once

AREAS = (0, *(2**power for power in range(3, 14)))  # pixels
QUANTILE = 0.1  # of the true areas of a class: only a tenth of them may be as small as what is dropped
LEAST_EMPTY = 3  # images without anything: with fewer there is little to protect
LEAST_SHOWING = 5  # images that show a class
FOLDS = 5  # of images, each of which is left out once
LOSS = 0.003  # of the Dice of a class: less is noise, and fewer false alarms are worth it


@dataclass(frozen=True)
class Regions:
    """The connected areas of one class in one image.

    `found` (areas, 3) holds of each predicted one its pixels, those whose truth is known, and those that are right;
    `true` the pixels of each true one, and `pixels` their sum.
    """

    found: Int64[np.ndarray, "areas 3"]
    true: Int64[np.ndarray, " true_areas"]

    @property
    def pixels(self) -> int:
        """Pixels of the class in the truth."""
        return int(self.true.sum())


@dataclass(frozen=True, kw_only=True)
class MinAreaChoice:
    """What was chosen: Dice, mean over the classes, and empty images with something found, before and after."""

    areas: tuple[int, ...]
    before: float
    after: float
    images: int
    empty: int
    alarms_before: int
    alarms_after: int

    def to_text(self, classes: Sequence[str]) -> str:
        """Say what was chosen, and what it is worth."""
        where = f"{pluralise(self.images, 'validation image')}, {self.empty} of them empty"
        if not any(self.areas):
            return f"No area is too small to count: dropping small ones does not make masks better on {where}."
        named = ", ".join(f"{name} {area}" for name, area in zip(classes, self.areas, strict=True) if area)
        change = f"mean Dice {self.after:.4f}, before {self.before:.4f}"
        alarms = f"something found in {self.alarms_after} of the empty ones, before in {self.alarms_before}"
        return f"Areas of fewer pixels are dropped ({named}), chosen on {where}: {change}; {alarms}."


def find_areas(
    truth: Integer[np.ndarray, "height width"], mask: Integer[np.ndarray, "height width"], classes: int
) -> list[Regions]:
    """Return the areas of each class but the first; pixels whose truth is 255 count for sizes alone."""
    rows: list[Regions] = []
    for index in range(1, classes):
        numbers = components(mask == index)
        columns = [None, truth != IGNORE, truth == index]
        counts = [_count(numbers, where) for where in columns]
        rows.append(Regions(np.stack(counts, axis=1), _count(components(truth == index), None)))
    return rows


def choose_min_areas(images: Sequence[Sequence[Regions]]) -> MinAreaChoice | None:
    """Choose the smallest area of each class, by its Dice over all images.

    For every class the largest of `AREAS` whose Dice is within `LOSS` of the best, chosen without each fifth of the
    images in turn; the middle one of these is taken where it makes the Dice of the images left out no worse. All are
    taken where the mean over the classes rises on images left out, and fewer empty images have something found in them.

    Returns
    -------
    Chosen or None
        None where too few images are empty, or none shows anything.
    """
    empty = np.array([not any(areas.pixels for areas in image) for image in images])
    if empty.sum() < LEAST_EMPTY or empty.all():
        return None
    each = [_choose([image[place] for image in images]) for place in range(len(images[0]))]
    areas = (0, *(area for area, _, _ in each))
    before, after = (mean_of(tuple(row[column] for row in each)) for column in (1, 2))
    alarms = [int((_anything(images, some) & empty).sum()) for some in ((0,) * len(areas), areas)]
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


def choose_min_areas_of_model(
    path: Path, dataset: Dataset, pages: int | None, *, device: str, seconds: float | None, progress: Progress
) -> str:
    """Choose the smallest areas of a model of masks, and write them into its file; return what is told.

    Parameters are those of `calibration.calibrate_model`.
    """
    network, model_card = load_network(path)
    looks = predict_validation_once(
        network, model_card, dataset, pages, device=device, seconds=seconds, progress=progress, why="choosing areas"
    )
    found = [
        (look.name, find_areas(look.truth, decode(look.probabilities, model_card.target), len(model_card.classes)))
        for look in looks
    ]
    chosen = choose_min_areas([areas for _, areas in sorted(found, key=lambda item: item[0])])
    if chosen is None:
        return "No area is too small to count: too few of the validation images that were looked at are empty."
    messages = chosen.to_text(model_card.classes)
    target = replace(model_card.target, class_areas=chosen.areas) if any(chosen.areas) else model_card.target
    save_model(path, network, replace(model_card, target=target, trained=model_card.trained | {"areas": messages}))
    return messages


def may_choose(targets: Sequence[Integer[np.ndarray, "height width"]], target: TargetOptions) -> bool:
    """Tell whether there is anything to choose: enough class maps of images are empty, and not all."""
    empty = [not ((one > 0) & (one != IGNORE)).any() for one in targets]
    return target.kind == "classes" and LEAST_EMPTY <= sum(empty) < len(empty)


def _choose(images: Sequence[Regions]) -> tuple[int, float | None, float | None]:
    """Return the smallest area of a class, and its Dice without and with one on images that were left out."""
    true = np.concatenate([image.true for image in images])
    grid = [area for area in AREAS if not len(true) or area <= np.quantile(true, QUANTILE)]
    table = np.array([[image.found[image.found[:, 0] >= area, 1:].sum(0) for area in grid] for image in images])
    pixels = np.array([image.pixels for image in images])
    whole = _dice(table, pixels)
    if np.count_nonzero(pixels) < LEAST_SHOWING:
        return 0, whole[0], whole[0]
    places: list[int] = []
    left = np.zeros(2, np.int64)
    for fold in range(FOLDS):
        out = np.arange(len(images)) % FOLDS == fold
        scores = np.array([score or 0.0 for score in _dice(table[~out], pixels[~out])])
        places.append(int(np.flatnonzero(scores >= scores.max() - LOSS)[-1]))
        left += table[out, places[-1]].sum(axis=0)
    (held,) = _dice(left[None, None], pixels.sum()[None])
    if held is None or whole[0] is None or held < whole[0] - LOSS:
        return 0, whole[0], whole[0]
    return grid[sorted(places)[FOLDS // 2]], whole[0], held


def _dice(table: Int64[np.ndarray, "images areas 2"], pixels: Int64[np.ndarray, " images"]) -> list[float | None]:
    """Return the Dice of a class over all images, for each smallest area."""
    known, right = table.sum(axis=0).T
    below = known + pixels.sum()
    return [float(2 * hits / all_) if all_ else None for hits, all_ in zip(right, below, strict=True)]


def _anything(images: Sequence[Sequence[Regions]], smallest: Sequence[int]) -> Bool[np.ndarray, " images"]:
    """Return in which images anything is found."""
    least = smallest[1:]
    return np.array(
        [any((a.found[:, 0] >= area).any() for a, area in zip(image, least, strict=True)) for image in images]
    )


def _count(numbers: np.ndarray, where: np.ndarray | None) -> Int64[np.ndarray, " areas"]:
    weights = None if where is None else where.ravel()
    return np.bincount(numbers.ravel(), weights, int(numbers.max(initial=0)) + 1)[1:].astype(np.int64)
