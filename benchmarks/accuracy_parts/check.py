"""The scorer checked: against pixelwise.metrics, against results known by hand, against slow counts of pairs."""

import numpy as np
import score
from scipy import ndimage

from pixelwise.metrics.boundaries import rand_information
from pixelwise.metrics.instance import average_precision, match, mean_average_precision
from pixelwise.metrics.semantic import class_scores, confusion

CASES, CLOSE = 40, 1e-9


def check() -> int:
    """Compare on drawn cases and print what was compared; return 1 where something differs by more than 1e-9."""
    rng = np.random.default_rng(0)
    gaps = {
        "V_rand by hand": by_hand_borders(),
        "mean AP by hand": by_hand_objects(),
        "V_rand against counted pairs": max(counted_pairs(rng) for _ in range(CASES)),
        "V_rand, merge, split against pixelwise.metrics": max(borders(rng) for _ in range(CASES)),
        "AP against pixelwise.metrics": max(objects(rng) for _ in range(CASES)),
        "IoU, Dice against pixelwise.metrics": max(classes(rng) for _ in range(CASES)),
    }
    for name, gap in gaps.items():
        print(f"{name}: largest difference {gap:.1e}{'' if gap <= CLOSE else '  DIFFERS'}")
    return int(any(gap > CLOSE for gap in gaps.values()))


def by_hand_borders() -> float:
    """Two cells of two pixels each, predicted as one: A = 1/2, B = 1, AB = 1/2, so V_rand = 2/3."""
    truth = np.array([[True, True, False, True, True]])
    return abs(score.border_numbers(truth, np.ones_like(truth))[0] - 2 / 3)


def by_hand_objects() -> float:
    """One object found exactly, one with an IoU of 6/10: 1 at 0.50 and 0.55, 1/3 at the eight others."""
    truth, predicted = np.zeros((2, 10), int), np.zeros((2, 10), int)
    truth[0], truth[1] = 1, 2
    predicted[0], predicted[1, :6] = 5, 9
    return abs(score.object_numbers(truth, predicted)[0] - (2 + 8 / 3) / 10)


def blobs(rng: np.random.Generator, side: int, width: float) -> np.ndarray:
    """Draw a mask of cells."""
    noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), width)
    return noise > np.quantile(noise, rng.uniform(0.1, 0.6))


def counted_pairs(rng: np.random.Generator) -> float:
    """Count the pairs of cell pixels of the truth that lie together, one by one; a pixel on a line is alone."""
    truth, predicted = blobs(rng, 14, 1.0), blobs(rng, 14, 1.0)
    cells = score.components(truth)[truth]
    seeds = score.components(predicted)
    regions = score.watershed((~predicted).astype(np.uint8), seeds, connectivity=1, watershed_line=True)[truth]
    regions = np.where(regions == 0, regions.max() + 1 + np.arange(regions.size), regions)
    in_truth, in_guess = cells[:, None] == cells, regions[:, None] == regions
    slow = 2 * np.sum(in_truth & in_guess) / (np.sum(in_truth) + np.sum(in_guess))
    return abs(float(slow) - score.border_numbers(truth, predicted)[0])


def borders(rng: np.random.Generator) -> float:
    truth, predicted = blobs(rng, 64, 2.0), blobs(rng, 64, 2.0)
    ours = rand_information(truth, predicted)
    theirs = score.border_numbers(truth, predicted)
    return max(
        abs(float(value or 0.0) - other)
        for value, other in zip((ours.v_rand, ours.rand_merge, ours.rand_split), theirs[:3], strict=True)
    )


def objects(rng: np.random.Generator) -> float:
    """Objects that move by a pixel or two, some of them lost."""
    truth = score.components(blobs(rng, 64, 2.0))
    predicted = np.roll(truth, rng.integers(0, 3, 2), (0, 1)) * 7
    predicted[np.isin(predicted, rng.choice(np.unique(predicted), 2))] = 0
    found = match(truth, predicted)
    theirs = score.object_numbers(truth, predicted)
    wanted = [mean_average_precision(found), *(average_precision(found, threshold) for threshold in score.SHOWN)]
    return max(abs(float(value or 0.0) - other) for value, other in zip(wanted, theirs[:-1], strict=True))


def classes(rng: np.random.Generator) -> float:
    """Five classes of which one is nowhere, and pixels that are ignored: 255 there, 11 here."""
    truth, predicted = rng.integers(0, 4, (2, 32, 32))
    ignored = rng.random((32, 32)) < 0.1
    ours = class_scores(confusion(np.where(ignored, 255, truth), predicted, 5))
    measure = score.Measure(part="", kind="classes", headline="mean IoU", classes=5, counted=(0, 1, 4), ignore=11)
    total = score.numbers(measure, np.where(ignored, 11, truth), predicted)
    gaps = [
        abs(value - other) if value is not None else float(not np.isnan(other))
        for values, others in zip((ours.iou, ours.dice), score.class_scores(measure, total), strict=True)
        for value, other in zip(values, others, strict=True)
    ]
    mean = float(np.mean([ours.iou[index] or 0.0 for index in (0, 1)]))  # class 4 is nowhere
    return max(*gaps, abs(float(score.headline(measure, total)) - mean))
