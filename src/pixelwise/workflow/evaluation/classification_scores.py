"""Classification scores of a data set as a JSON-ready record: top-1 and top-5 accuracy, confusion matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pixelwise.metrics.classification import count_classes, rank_of_truth
from pixelwise.metrics.intervals import ratio_interval
from pixelwise.metrics.semantic import class_scores, mean_of
from pixelwise.workflow.evaluation.mask_scores import rounded

TOP_K = 5

POLICY = (
    "A class without images in the split has no accuracy (null) and is excluded from the mean over classes.",
    "A class that is never predicted has no precision (null).",
    f"With {TOP_K} classes or fewer, the top-{TOP_K} accuracy is meaningless and null.",
    "Of equally probable classes, the first one is predicted.",
)


def summarise_classification(
    names: Sequence[str],
    truth: Int64[np.ndarray, " images"],
    probabilities: Float32[np.ndarray, "images classes"],
    classes: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Return the JSON-ready scores of a data set: headline, scores, classes, confusion, cases, empty.

    Parameters
    ----------
    truth : int64 (images,)
        Index of the true class of each image.
    probabilities : float32 (images, classes)
    seed : int
        Of the bootstrap.
    """
    predicted = probabilities.argmax(1)
    matrix = count_classes(truth, predicted, len(classes))
    ranks = rank_of_truth(truth, probabilities)
    total = class_scores(matrix)
    limits = {"top_1": 1} | ({f"top_{TOP_K}": TOP_K} if len(classes) > TOP_K else {})
    counts = {name: np.stack([ranks < limit, ranks >= 0], 1).astype(np.float64) for name, limit in limits.items()}
    intervals = {name: ratio_interval(rows, seed) for name, rows in counts.items()}
    accuracies = {name: float((ranks < limit).mean()) for name, limit in limits.items()}
    low, high = intervals["top_1"] or (None, None)
    rows = [
        {
            "name": name,
            "accuracy": total.recall[index],
            "precision": total.precision[index],
            "images": int(matrix[index].sum()),
            "predicted": int(matrix[:, index].sum()),
        }
        for index, name in enumerate(classes)
    ]
    return rounded(
        {
            "headline": {"name": "top_1", "value": accuracies["top_1"], "low": low, "high": high},
            "scores": {
                "images": {
                    "top_1": accuracies["top_1"],
                    f"top_{TOP_K}": accuracies.get(f"top_{TOP_K}"),
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
                    "predicted": classes[best],
                    "probability": float(row[best]),
                    "probability_of_truth": float(row[true]),
                    "rank": rank,
                }
                for name, true, best, rank, row in zip(
                    names, truth.tolist(), predicted.tolist(), ranks.tolist(), probabilities, strict=True
                )
            ],
            "empty": {"policy": list(POLICY), "classes_nowhere": _absent_classes(matrix, classes)},
        }
    )


def _absent_classes(matrix: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Return the classes that are neither true nor predicted for any image."""
    return [name for index, name in enumerate(classes) if not matrix[index].any() and not matrix[:, index].any()]
