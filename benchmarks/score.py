"""Score predicted masks without pixelwise: numpy, scipy and scikit-image, written from the definitions.

    python benchmarks/score.py isbi2012_em ../shared/data/isbi2012_em/test/masks PREDICTED [--values 0,255]
    python benchmarks/score.py --check

The headline of each real data set: V_rand of the thinned borders (Arganda-Carreras et al. 2015), mean AP over IoU 0.50,
0.55, ... 0.95 (Data Science Bowl 2018), mean IoU of 11 classes without the void, mean Dice of the defects, Dice of the
vessels. V_rand and AP are those of each image, averaged; IoU and Dice come from the pixels of all images together; a
class that is in neither mask of any image is left out of a mean.

--check compares this file with pixelwise.metrics on drawn cases, with results known by hand and with slow counts.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.segmentation import watershed

THRESHOLDS = tuple(step / 20 for step in range(10, 20))
SHOWN = (0.5, 0.75, 0.9)  # thresholds whose AP is told beside the mean


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How a data set is scored.

    Attributes
    ----------
    part : str
        The folder whose images are predicted.
    kind : {"borders", "objects", "classes"}
    headline : str
        Name of the score.
    classes : int
        Number of classes; for objects 2.
    counted : tuple of int
        The classes whose mean is the headline.
    ignore : int, optional
        Truth value that is left out.
    foreground : int, optional
        In masks of two values: the one that becomes class 1.
    """

    part: str
    kind: Literal["borders", "objects", "classes"]
    headline: str
    classes: int = 2
    counted: tuple[int, ...] = ()
    ignore: int | None = None
    foreground: int | None = None


MEASURES = {
    "isbi2012_em": Measure(part="test", kind="borders", headline="V_rand", foreground=255),
    "dsb2018_nuclei": Measure(part="test", kind="objects", headline="mean AP"),
    "camvid11": Measure(
        part="val", kind="classes", headline="mean IoU", classes=11, counted=tuple(range(11)), ignore=11
    ),
    "magnetic_tile_defects": Measure(
        part="test", kind="classes", headline="mean Dice", classes=6, counted=(1, 2, 3, 4, 5)
    ),
    "chase_db1": Measure(part="test", kind="classes", headline="Dice", counted=(1,), foreground=255),
}


@dataclass(frozen=True)
class Numbers:
    """What each image adds to the score: a row of numbers per image, which are summed before the score is taken."""

    images: tuple[str, ...]
    rows: np.ndarray


def measure_folder(measure: Measure, truth: Path, predicted: Path, values: Sequence[int] | None = None) -> Numbers:
    """Compare every mask in `truth` with the one of the same stem in `predicted`.

    Parameters
    ----------
    values : sequence of int, optional
        What the numbers in the predicted masks mean in those of the truth; by default the same.

    Raises
    ------
    ValueError
        A prediction is missing, has another size, or holds what is no class.
    """
    names: list[str] = []
    rows: list[np.ndarray] = []
    for path in sorted(truth.iterdir()):
        found = predicted / f"{path.stem}.png"
        if not found.exists():
            raise ValueError(f"a prediction of {path.stem}; none in {predicted}")
        true, guess = read(path), read(found)
        guess = np.asarray(values)[guess] if values is not None else guess
        if true.shape != guess.shape:
            raise ValueError(f"{found}: as many pixels as its truth, {true.shape}; got {guess.shape}")
        names.append(path.stem)
        rows.append(numbers(measure, true, guess))
    return Numbers(tuple(names), np.array(rows, np.float64))


def read(path: Path) -> np.ndarray:
    """Read a mask of one channel; of a PNG with a palette the indices."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


def numbers(measure: Measure, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return what one image adds: scores and a 1 for V_rand and AP, the confusion matrix in a row for classes."""
    if measure.kind == "objects":
        return object_numbers(truth, predicted)
    if measure.foreground is not None:
        truth, predicted = truth == measure.foreground, predicted == measure.foreground
    if measure.kind == "borders":
        return border_numbers(truth, predicted)
    return class_numbers(truth.astype(np.int64), predicted.astype(np.int64), measure.classes, measure.ignore)


def border_numbers(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return V_rand, its merge and split parts, and 1; zeros without a cell in the truth. True is cell.

    Over the n cell pixels of the truth: p_ij is the share in true cell i and predicted region j, j = 0 being the lines
    between regions, whose pixels are objects of their own.
    """
    n = np.count_nonzero(truth)
    if not n:
        return np.zeros(4)
    cells, seeds = components(truth), components(predicted)
    regions = watershed((~predicted).astype(np.uint8), seeds, connectivity=1, watershed_line=True)
    p = table(cells[truth], regions[truth])[1:] / n
    p0 = p[:, 0].sum()
    a = (p.sum(1) ** 2).sum()
    b = (p[:, 1:].sum(0) ** 2).sum() + p0 / n
    ab = (p[:, 1:] ** 2).sum() + p0 / n
    return np.array([2 * ab / (a + b), ab / b, ab / a, 1.0])


def object_numbers(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean AP over all thresholds, the AP at those of `SHOWN`, and 1; zeros where there is no object at all.

    AP = TP / (TP + FP + FN); a pair with an IoU above a threshold of 0.5 or more has no rival.
    """
    shared = table(compact(truth), compact(predicted))
    ious = shared[1:, 1:] / (shared.sum(1)[1:, None] + shared.sum(0)[None, 1:] - shared[1:, 1:])
    objects = ious.shape[0] + ious.shape[1]
    if not objects:
        return np.zeros(2 + len(SHOWN))
    hits = [np.count_nonzero(ious > threshold) for threshold in (*THRESHOLDS, *SHOWN)]
    ap = [hit / (objects - hit) for hit in hits]
    return np.array([np.mean(ap[: len(THRESHOLDS)]), *ap[len(THRESHOLDS) :], 1.0])


def class_numbers(truth: np.ndarray, predicted: np.ndarray, classes: int, ignore: int | None) -> np.ndarray:
    """Return the confusion matrix (truth in rows, predicted in columns) in one row.

    Raises
    ------
    ValueError
        A counted pixel is no class.
    """
    counted = truth != ignore if ignore is not None else np.ones(truth.shape, bool)
    true, guess = truth[counted], predicted[counted]
    for name, mask in (("truth", true), ("prediction", guess)):
        if mask.size and not 0 <= mask.min() <= mask.max() < classes:
            raise ValueError(f"classes 0 to {classes - 1} in the {name}; got {mask.min()} to {mask.max()}")
    return np.bincount(true * classes + guess, minlength=classes * classes).astype(np.float64)


def components(mask: np.ndarray) -> np.ndarray:
    """Return the 4-connected areas of a mask, numbered."""
    found = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, output=found)
    return found


def table(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Count the pixels of each pair of labels, from 0 on."""
    width = int(columns.max(initial=0)) + 1
    counts = np.bincount((rows * width + columns).ravel(), minlength=(int(rows.max(initial=0)) + 1) * width)
    return counts.reshape(-1, width)


def compact(labels: np.ndarray) -> np.ndarray:
    """Renumber the objects 1, 2, ...; 0 stays."""
    used = np.unique(labels[labels != 0])
    return np.where(labels == 0, 0, np.searchsorted(used, labels) + 1)


def headline(measure: Measure, totals: np.ndarray) -> np.ndarray:
    """Return the score of each total (..., numbers); NaN where it is not defined."""
    if measure.kind != "classes":
        return ratio(totals[..., 0], totals[..., -1])
    iou, dice = class_scores(measure, totals)
    chosen = (iou if "IoU" in measure.headline else dice)[..., measure.counted]
    there = ~np.isnan(chosen)
    return ratio(np.where(there, chosen, 0.0).sum(-1), there.sum(-1))


def class_scores(measure: Measure, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU and Dice of every class (..., classes); NaN where a class is in neither mask."""
    matrix = totals.reshape(*totals.shape[:-1], measure.classes, measure.classes)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    both = matrix.sum(-1) + matrix.sum(-2)
    return ratio(hits, both - hits), ratio(2 * hits, both)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; 0 / 0 is NaN."""
    below = np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def all_scores(measure: Measure, found: Numbers) -> dict[str, float | None]:
    """Return the headline and what stands beside it; None where it is not defined."""
    totals = found.rows.sum(0)
    scores = {measure.headline: float(headline(measure, totals))}
    if measure.kind == "classes":
        iou, dice = class_scores(measure, totals)
        scores |= {f"IoU of class {index}": float(value) for index, value in enumerate(iou)}
        scores |= {f"Dice of class {index}": float(value) for index, value in enumerate(dice)}
    else:
        words = ("V_rand merge", "V_rand split") if measure.kind == "borders" else [f"AP@{t}" for t in SHOWN]
        means = ratio(totals[1:-1], np.full(len(words), totals[-1]))
        scores |= {word: float(value) for word, value in zip(words, means, strict=True)}
    return {name: None if np.isnan(value) else value for name, value in scores.items()}


def main() -> None:
    """Print the scores of a folder as JSON, or check this file."""
    if sys.argv[1:] == ["--check"]:
        from accuracy_parts.check import check

        sys.exit(check())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(MEASURES))
    parser.add_argument("truth", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("--values", help="what 0, 1, ... in the predicted masks mean in those of the truth: 0,255")
    chosen = parser.parse_args()
    values = [int(word) for word in chosen.values.split(",")] if chosen.values else None
    found = measure_folder(MEASURES[chosen.set], chosen.truth, chosen.predicted, values)
    print(json.dumps({"images": len(found.images)} | all_scores(MEASURES[chosen.set], found), indent=1))


if __name__ == "__main__":
    main()
