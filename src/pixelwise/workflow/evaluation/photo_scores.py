"""Scores of whole-image classes: what was said of each image becomes the record that `evaluate` writes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pixelwise.metrics.classification import count_classes, rank_of_truth
from pixelwise.metrics.intervals import bootstrap
from pixelwise.metrics.semantic import class_scores, mean_of
from pixelwise.workflow.evaluation.mask_scores import rounded

FIRST = 5  # the true class is among so many most probable ones: top-5

POLICY = (
    "A class without an image in the part has no accuracy (null) and is left out of the mean over classes.",
    "A class that was never said has no precision (null).",
    f"With {FIRST} classes or fewer the top-{FIRST} accuracy says nothing and is null.",
    "Of equally probable classes the one that stands first counts as said.",
)


def summarise_photos(
    names: Sequence[str],
    truth: Int64[np.ndarray, " images"],
    probabilities: Float32[np.ndarray, "images classes"],
    classes: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Return the JSON-ready scores of a data set: headline, scores, classes, confusion, cases, empty.

    Parameters
    ----------
    names : sequence of str
    truth : int64 (images,)
        Index of the true class of each image.
    probabilities : float32 (images, classes)
    classes : sequence of str
    seed : int
        Of the bootstrap.
    """
    said = probabilities.argmax(1)
    matrix = count_classes(truth, said, len(classes))
    ranks = rank_of_truth(truth, probabilities)
    total = class_scores(matrix)
    limits = {"top_1": 1} | ({f"top_{FIRST}": FIRST} if len(classes) > FIRST else {})
    intervals = {name: _interval(ranks < limit, seed) for name, limit in limits.items()}
    shares = {name: float((ranks < limit).mean()) for name, limit in limits.items()}
    low, high = intervals["top_1"] or (None, None)
    rows = [
        {
            "name": name,
            "accuracy": total.recall[index],
            "precision": total.precision[index],
            "images": int(matrix[index].sum()),
            "said": int(matrix[:, index].sum()),
        }
        for index, name in enumerate(classes)
    ]
    return rounded(
        {
            "headline": {"name": "top_1", "value": shares["top_1"], "low": low, "high": high},
            "scores": {
                "images": {
                    "top_1": shares["top_1"],
                    f"top_{FIRST}": shares.get(f"top_{FIRST}"),
                    "mean_class_accuracy": mean_of(total.recall),
                    "classes_in_mean": sum(value is not None for value in total.recall),
                },
                "intervals": intervals,
            },
            "classes": rows,
            "confusion": matrix.tolist(),
            "cases": [
                {
                    "name": name,
                    "truth": classes[true],
                    "said": classes[one],
                    "probability": float(probabilities[one]),
                    "probability_of_truth": float(probabilities[true]),
                    "rank": rank,
                }
                for name, true, one, rank, probabilities in zip(
                    names, truth.tolist(), said.tolist(), ranks.tolist(), probabilities, strict=True
                )
            ],
            "empty": {"policy": list(POLICY), "classes_nowhere": _nowhere(matrix, classes)},
        }
    )


def _interval(right: np.ndarray, seed: int) -> list[float] | None:
    """Return the 95 % bootstrap interval of a share over images."""
    values = np.stack([right, np.ones_like(right)], 1).astype(np.float64)
    interval = bootstrap(values, lambda total: float(total[0] / total[1]), seed=seed)
    return list(interval) if interval else None


def _nowhere(matrix: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Name the classes that are neither true nor said of any image."""
    return [name for index, name in enumerate(classes) if not matrix[index].any() and not matrix[:, index].any()]
