"""Segmentation scores of a data set as a JSON-ready record without NaN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelwise.datasets.records import first_class
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
from pixelwise.metrics.intervals import mean_interval, percentile_interval, ratio_interval, resample_sums
from pixelwise.metrics.semantic import class_scores, confusion, mean_of, means_of, stacked_scores

Values = tuple[float | None, ...]
Interval = tuple[float, float] | None

POLICY = (
    "A class that is in neither ground truth nor prediction has no score (null) and is excluded from means; the "
    "number of classes in each mean is given.",
    "A class that is only in the ground truth or only in the prediction has IoU and Dice 0, also in means; precision "
    "is null if it is never predicted, recall if it is not in the ground truth.",
    "Images without objects in ground truth and prediction have no object scores and are excluded from their means.",
    "Images without foreground in the ground truth have no boundary scores and are excluded from their means.",
    "Pixels with the ignore value in the ground truth are excluded from all scores.",
)


@dataclass(frozen=True)
class CaseResult:
    """Counts of one case: confusion matrix (true class, predicted class) in pixels; the rest depends on the task."""

    name: str
    matrix: np.ndarray
    matching: Matching | None = None
    boundaries: BoundaryScores | None = None


def score_case(name: str, truth: np.ndarray, predicted: np.ndarray, task: str, classes: int) -> CaseResult:
    """Return the counts of one case.

    Parameters
    ----------
    truth : int array (height, width) or (depth, height, width)
        Classes with 255 ignored; for task "instance" object numbers, below 0 ignored.
    predicted : int array of the same shape
        Classes, or object numbers for task "instance".
    task : {"binary", "multiclass", "instance"}
    classes : int
        2 for instances: background and object.
    """
    if task == "instance":
        mask = np.where(truth < 0, IGNORE, truth > 0)
        return CaseResult(name, confusion(mask, (predicted > 0).astype(np.uint8), classes), match(truth, predicted))
    matrix = confusion(truth, predicted, classes)
    if task == "binary" and truth.ndim == 2:  # of sections; the scores of the challenge are of planes
        return CaseResult(name, matrix, boundaries=rand_information(truth == 1, predicted == 1))
    return CaseResult(name, matrix)


def summarise(results: Sequence[CaseResult], classes: Sequence[str], first: int, seed: int = 0) -> dict[str, Any]:
    """Return the JSON-ready scores of a data set: headline, scores, classes, confusion, cases, empty.

    Data-set scores come from counts summed over all images; "per image" ones are means over images. The mean IoU is
    over all classes, the mean Dice over those from `first` on: 1 if class 0 is a background, else 0.
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


def named_classes(
    classes: Sequence[str], task: str, regions: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Return the class indices of each class but the background, and of each region, by name."""
    counted = list(enumerate(classes))[first_class(task, classes) :]
    return {name: (index,) for index, name in counted} | dict(regions or {})


def with_scores(scores: dict[str, Any], name: str, summary: Any, cases: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of `summarise` with more under `name`: a summary, and the values of cases by their names."""
    rows = [{**row, name: cases[row["name"]]} if row["name"] in cases else row for row in scores["cases"]]
    return {**scores, "scores": {**scores["scores"], name: summary}, "cases": rows}


def rounded(value: Any) -> Any:
    """Round every float in nested dicts and lists to six digits; non-finite ones become None."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(float(value), 6) if np.isfinite(value) else None
    return value


def _headline(scores: dict[str, Any]) -> dict[str, Any]:
    name = "mean_ap" if "objects" in scores else "mean_dice"
    low, high = scores["intervals"][name] or (None, None)
    return {"name": name, "value": scores["objects" if name == "mean_ap" else "pixels"][name], "low": low, "high": high}


def _objects(matchings: Sequence[Matching]) -> dict[str, Any]:
    pooled = pool(matchings)
    quality = panoptic_quality(pooled)
    errors = [matching.count_error for matching in matchings]
    return {
        "mean_ap": mean_of(tuple(mean_average_precision(m) for m in matchings)),
        "mean_ap_pooled": mean_average_precision(pooled),
        "ap": {
            f"{threshold:.2f}": {
                "mean": mean_of(tuple(average_precision(m, threshold) for m in matchings)),
                "pooled": average_precision(pooled, threshold),
            }
            for threshold in THRESHOLDS
        },
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
        "seg": seg(pooled),
        "precision_50": pooled.precision,
        "recall_50": pooled.recall,
        "objects_true": pooled.truths,
        "objects_predicted": pooled.predictions,
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
    predicted = np.array([result.matrix.sum(0) > 0 for result in results])

    def images(mask: np.ndarray) -> dict[str, int]:
        return {name: int(mask[:, i].sum()) for i, name in enumerate(classes)}

    absent = (matrix.sum(0) + matrix.sum(1)) == 0
    return {
        "policy": list(POLICY),
        "classes_nowhere": [name for i, name in enumerate(classes) if absent[i]],
        "images_without_class": images(~true & ~predicted),
        "images_class_missed": images(true & ~predicted),
        "images_class_invented": images(~true & predicted),
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
) -> dict[str, Interval]:
    """Return the 95 % bootstrap intervals over images of the main scores."""
    classes = len(results[0].matrix)
    counts = np.array([result.matrix.ravel() for result in results], np.float64)

    totals = resample_sums(counts, seed=seed)
    resampled = stacked_scores(totals.astype(np.int64).reshape(-1, classes, classes))
    hits, pixels = totals[:, :: classes + 1].sum(1), totals.sum(1)
    accuracy = np.divide(hits, pixels, out=np.full(len(totals), np.nan), where=pixels > 0)
    intervals = {
        "mean_dice": percentile_interval(means_of(resampled.dice[:, first:])),
        "mean_iou": percentile_interval(means_of(resampled.iou)),
        "accuracy": percentile_interval(accuracy),
    }
    if classes == 2:  # of the foreground class
        intervals["precision"] = percentile_interval(resampled.precision[:, 1])
        intervals["recall"] = percentile_interval(resampled.recall[:, 1])
    if matchings:
        # of precision and recall at IoU 0.5, pooled over the resampled images; PQ = SQ RQ = 2 (sum of IoU) / objects
        sums = [(len(m.ious), m.predictions, m.truths, 2 * m.ious.sum()) for m in matchings]
        matched, predicted, true, iou = np.array(sums, np.float64).T
        intervals["precision_50"] = ratio_interval(np.stack([matched, predicted], 1), seed)
        intervals["recall_50"] = ratio_interval(np.stack([matched, true], 1), seed)
        intervals["mean_ap"] = mean_interval(tuple(mean_average_precision(m) for m in matchings), seed)
        intervals["ap_50"] = mean_interval(tuple(average_precision(m, 0.5) for m in matchings), seed)
        intervals["pq"] = ratio_interval(np.stack([iou, predicted + true], 1), seed)
    for name in ("v_rand", "v_info") if boundaries else ():
        intervals[name] = mean_interval(_column(boundaries, name), seed)
    return intervals


def _accuracy(matrix: np.ndarray) -> float | None:
    """Return the pixel accuracy; None without pixels."""
    total = int(matrix.sum())
    return float(np.trace(matrix)) / total if total else None


def _column(boundaries: Sequence[BoundaryScores], name: str) -> Values:
    return tuple(getattr(scores, name) for scores in boundaries)
