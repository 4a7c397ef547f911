"""Scores: what was counted on each case becomes the record that `evaluate` writes; plain values, no NaN."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.boundaries import BoundaryScores, rand_information
from pixelwise.metrics.instance import (
    THRESHOLDS,
    Matching,
    average_precision,
    match,
    mean_average_precision,
    panoptic_quality,
    pool,
    seg,
)
from pixelwise.metrics.intervals import bootstrap
from pixelwise.metrics.semantic import class_scores, confusion, mean_of

Values = tuple[float | None, ...]

POLICY = (
    "A class that is in neither truth nor prediction has no score (null) and is left out of means; means say how "
    "many entered.",
    "A class that is in one of truth and prediction only has IoU and Dice 0, in the means too; precision is null "
    "when it was never predicted, recall when it is not in the truth.",
    "Images without any object in truth and prediction have no object scores and are left out of their means.",
    "Images without foreground in the truth have no boundary scores and are left out of their means.",
    "Pixels whose truth is the ignore value count nowhere.",
)


@dataclass(frozen=True)
class CaseResult:
    """What one case adds: `matrix` (truth class, predicted class) in pixels; the rest where the task has it."""

    name: str
    matrix: np.ndarray
    matching: Matching | None = None
    boundaries: BoundaryScores | None = None


def score_case(name: str, truth: np.ndarray, predicted: np.ndarray, task: str, classes: int) -> CaseResult:
    """Count one case.

    Parameters
    ----------
    truth : int array (height, width)
        Classes with 255 ignored; for task "instance" object numbers, below 0 ignored.
    predicted : int array (height, width)
        Classes, or object numbers for task "instance".
    task : {"binary", "multiclass", "instance"}
    classes : int
        2 for instances: background and object.
    """
    if task == "instance":
        mask = np.where(truth < 0, IGNORE, truth > 0)
        return CaseResult(name, confusion(mask, (predicted > 0).astype(np.uint8), classes), match(truth, predicted))
    matrix = confusion(truth, predicted, classes)
    if task == "binary":
        return CaseResult(name, matrix, boundaries=rand_information(truth == 1, predicted == 1))
    return CaseResult(name, matrix)


def summarise(results: Sequence[CaseResult], classes: Sequence[str], first: int, seed: int = 0) -> dict[str, Any]:
    """Return the JSON-ready scores of a data set: headline, scores, classes, confusion, cases, empty.

    Data-set numbers come from counts summed over all images; "per image" ones are means over images. The mean IoU is
    over all classes, the mean Dice over those from `first` on: 1 where class 0 is a background, else 0.
    """
    matrix = np.sum([result.matrix for result in results], axis=0)
    per_case = [class_scores(result.matrix) for result in results]
    total = class_scores(matrix)
    scores: dict[str, Any] = {
        "pixels": {
            "mean_dice": mean_of(total.dice[first:]),
            "mean_iou": mean_of(total.iou),
            "classes_in_mean_dice": sum(value is not None for value in total.dice[first:]),
            "classes_in_mean_iou": sum(value is not None for value in total.iou),
            "accuracy": _accuracy(matrix),
            "mean_dice_per_image": mean_of(tuple(mean_of(scores.dice[first:]) for scores in per_case)),
            "mean_iou_per_image": mean_of(tuple(mean_of(scores.iou) for scores in per_case)),
        }
    }
    matchings = [result.matching for result in results if result.matching is not None]
    if matchings:
        scores["objects"] = _objects(matchings)
    boundaries = [result.boundaries for result in results if result.boundaries is not None]
    if boundaries:
        names = ("v_rand", "rand_merge", "rand_split", "v_info", "info_merge", "info_split")
        scores["boundaries"] = {name: mean_of(_column(boundaries, name)) for name in names}
    scores["intervals"] = _intervals(results, matchings, boundaries, first, seed)
    rows = [
        {
            "name": name,
            "iou": total.iou[i],
            "dice": total.dice[i],
            "precision": total.precision[i],
            "recall": total.recall[i],
            "iou_per_image": mean_of(tuple(scores.iou[i] for scores in per_case)),
            "dice_per_image": mean_of(tuple(scores.dice[i] for scores in per_case)),
            "images_in_mean": sum(scores.dice[i] is not None for scores in per_case),
            "pixels": int(matrix[i].sum()),
        }
        for i, name in enumerate(classes)
    ]
    return rounded(
        {
            "headline": _headline(scores),
            "scores": scores,
            "classes": rows,
            "confusion": matrix.tolist(),
            "cases": [_case(result, classes, first) for result in results],
            "empty": _empty(results, matrix, classes, matchings, boundaries),
        }
    )


def rounded(value: Any) -> Any:
    """Round every float in nested dicts and lists to six digits; what is not finite becomes None."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    if isinstance(value, float):
        return round(float(value), 6) if np.isfinite(value) else None
    return value


def _headline(scores: dict[str, Any]) -> dict[str, Any]:
    name = "mean_ap" if "objects" in scores else "mean_dice"
    low, high = scores["intervals"][name] or (None, None)
    return {"name": name, "value": scores["objects" if name == "mean_ap" else "pixels"][name], "low": low, "high": high}


def _objects(matchings: Sequence[Matching]) -> dict[str, Any]:
    joined = pool(matchings)
    quality = panoptic_quality(joined)
    errors = [matching.count_error for matching in matchings]
    return {
        "mean_ap": mean_of(tuple(mean_average_precision(m) for m in matchings)),
        "mean_ap_pooled": mean_average_precision(joined),
        "ap": {
            f"{threshold:.2f}": {
                "mean": mean_of(tuple(average_precision(m, threshold) for m in matchings)),
                "pooled": average_precision(joined, threshold),
            }
            for threshold in THRESHOLDS
        },
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
        "seg": seg(joined),
        "precision_50": joined.precision,
        "recall_50": joined.recall,
        "objects_true": joined.truths,
        "objects_predicted": joined.predictions,
        "count_error_mean": float(np.mean(errors)),
        "count_error_mean_absolute": float(np.mean(np.abs(errors))),
    }


def _case(result: CaseResult, classes: Sequence[str], first: int) -> dict[str, Any]:
    values = class_scores(result.matrix)
    row: dict[str, Any] = {
        "name": result.name,
        "mean_dice": mean_of(values.dice[first:]),
        "mean_iou": mean_of(values.iou),
        "accuracy": _accuracy(result.matrix),
        "classes": {
            name: {
                "iou": values.iou[i],
                "dice": values.dice[i],
                "precision": values.precision[i],
                "recall": values.recall[i],
            }
            for i, name in enumerate(classes)
        },
    }
    if result.matching is not None:
        quality = panoptic_quality(result.matching)
        row |= {
            "mean_ap": mean_average_precision(result.matching),
            "ap": {f"{t:.2f}": average_precision(result.matching, t) for t in THRESHOLDS},
            "pq": quality.pq,
            "sq": quality.sq,
            "rq": quality.rq,
            "seg": seg(result.matching),
            "objects_true": result.matching.truths,
            "objects_predicted": result.matching.predictions,
            "objects_matched": len(result.matching.ious),
            "count_error": result.matching.count_error,
        }
    if result.boundaries is not None:
        row |= {"v_rand": result.boundaries.v_rand, "v_info": result.boundaries.v_info}
    return row


def _empty(
    results: Sequence[CaseResult],
    matrix: np.ndarray,
    classes: Sequence[str],
    matchings: Sequence[Matching],
    boundaries: Sequence[BoundaryScores],
) -> dict[str, Any]:
    true = np.array([result.matrix.sum(1) > 0 for result in results])
    found = np.array([result.matrix.sum(0) > 0 for result in results])

    def images(where: np.ndarray) -> dict[str, int]:
        return {name: int(where[:, i].sum()) for i, name in enumerate(classes)}

    nowhere = (matrix.sum(0) + matrix.sum(1)) == 0
    return {
        "policy": list(POLICY),
        "classes_nowhere": [name for i, name in enumerate(classes) if nowhere[i]],
        "images_without_class": images(~true & ~found),
        "images_class_missed": images(true & ~found),
        "images_class_invented": images(~true & found),
        "images_all_ignored": sum(int(result.matrix.sum() == 0) for result in results),
        "images_without_objects": sum(m.truths + m.predictions == 0 for m in matchings),
        "images_without_boundary_scores": sum(b.v_rand is None for b in boundaries),
    }


def _intervals(
    results: Sequence[CaseResult],
    matchings: Sequence[Matching],
    boundaries: Sequence[BoundaryScores],
    first: int,
    seed: int,
) -> dict[str, list[float] | None]:
    """Return the 95 % bootstrap interval over images of each score that is shown first."""
    classes = len(results[0].matrix)
    counts = np.array([result.matrix.ravel() for result in results], np.float64)

    def pixel(score: Callable[[np.ndarray], float | None]) -> list[float] | None:
        interval = bootstrap(counts, lambda total: score(total.reshape(classes, classes).astype(np.int64)), seed=seed)
        return list(interval) if interval else None

    found = {
        "mean_dice": pixel(lambda matrix: mean_of(class_scores(matrix).dice[first:])),
        "mean_iou": pixel(lambda matrix: mean_of(class_scores(matrix).iou)),
        "accuracy": pixel(_accuracy),
    }
    if classes == 2:  # of the one class that is asked for
        found["precision"] = pixel(lambda matrix: class_scores(matrix).precision[1])
        found["recall"] = pixel(lambda matrix: class_scores(matrix).recall[1])
    if matchings:
        found |= _object_shares(matchings, seed)
        found["mean_ap"] = _mean_interval(tuple(mean_average_precision(m) for m in matchings), seed)
        found["ap_50"] = _mean_interval(tuple(average_precision(m, 0.5) for m in matchings), seed)
        sums = np.array([(m.ious.sum(), m.truths + m.predictions) for m in matchings], np.float64)
        # PQ = SQ RQ = (sum of IoU / TP) (2 TP / objects)
        interval = bootstrap(sums, lambda total: float(2 * total[0] / total[1]) if total[1] else None, seed=seed)
        found["pq"] = list(interval) if interval else None
    for name in ("v_rand", "v_info") if boundaries else ():
        found[name] = _mean_interval(_column(boundaries, name), seed)
    return found


def _object_shares(matchings: Sequence[Matching], seed: int) -> dict[str, list[float] | None]:
    """Return the intervals of precision and recall of objects at IoU 0.5, over all objects of the drawn images."""
    counts = np.array([(len(m.ious), m.predictions, m.truths) for m in matchings], np.float64)
    found: dict[str, list[float] | None] = {}
    for place, name in enumerate(("precision_50", "recall_50"), 1):
        interval = bootstrap(counts, partial(_share, place=place), seed=seed)
        found[name] = list(interval) if interval else None
    return found


def _share(total: np.ndarray, place: int) -> float | None:
    return float(total[0] / total[place]) if total[place] else None


def _mean_interval(values: Values, seed: int) -> list[float] | None:
    """Return the interval of a mean over images; images without a value are drawn too, and add nothing."""
    rows = np.array([(value or 0.0, value is not None) for value in values], np.float64)
    interval = bootstrap(rows, lambda total: float(total[0] / total[1]) if total[1] else None, seed=seed)
    return list(interval) if interval else None


def _accuracy(matrix: np.ndarray) -> float | None:
    """Return the share of right pixels; None without any pixel."""
    total = int(matrix.sum())
    return float(np.trace(matrix)) / total if total else None


def _column(boundaries: Sequence[BoundaryScores], name: str) -> Values:
    return tuple(getattr(scores, name) for scores in boundaries)
