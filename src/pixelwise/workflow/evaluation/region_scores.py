"""Scores of regions, sets of classes that overlap or contain one another, from the counts of their classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelwise.labels.regions import region_matrices
from pixelwise.labels.targets import TargetOptions
from pixelwise.metrics.intervals import bootstrap
from pixelwise.metrics.semantic import class_scores, mean_of
from pixelwise.workflow.evaluation.mask_scores import CaseResult, rounded, with_scores

_SCORES = ("dice", "iou", "precision", "recall")


def add_regions(
    scores: dict[str, Any], results: Sequence[CaseResult], target: TargetOptions, seed: int
) -> dict[str, Any]:
    """Return the scores of `mask_scores.summarise` with ``regions`` in ``scores`` and ``cases``; as they are without.

    A region is where a mask has any of its classes. Scores are of the pixels of all images together, with an interval
    over images for the Dice; `dice_per_image` is the mean over images.
    """
    if not target.regions:
        return scores
    per_case = [region_matrices(result.matrix, target) for result in results]
    regions = {"classes": [_summarise(name, [case[i] for case in per_case], seed) for i, name in _named(target)]}
    mean = mean_of(tuple(row["dice"] for row in regions["classes"]))
    values = [{name: _values(matrices[i]) for i, name in _named(target)} for matrices in per_case]
    cases = dict(zip((result.name for result in results), values, strict=True))
    return with_scores(scores, "regions", rounded({**regions, "mean_dice": mean}), rounded(cases))


def regions_of(target: TargetOptions) -> dict[str, tuple[int, ...]]:
    """Return the classes of each region by its name."""
    return dict(zip(target.region_names, target.regions, strict=True))


def _named(target: TargetOptions) -> list[tuple[int, str]]:
    return list(enumerate(target.region_names))


def _values(matrix: np.ndarray) -> dict[str, float | None]:
    found = class_scores(matrix)
    return {score: getattr(found, score)[1] for score in _SCORES}


def _summarise(name: str, matrices: Sequence[np.ndarray], seed: int) -> dict[str, Any]:
    counts = np.array([matrix.ravel() for matrix in matrices], np.float64)
    interval = bootstrap(counts, lambda total: class_scores(total.reshape(2, 2).astype(np.int64)).dice[1], seed=seed)
    each = tuple(class_scores(matrix).dice[1] for matrix in matrices)
    total = np.sum(matrices, axis=0)
    extent = {"dice_per_image": mean_of(each), "pixels": int(total[1].sum())}
    return {"name": name, **_values(total), "dice_interval": interval, **extent}
