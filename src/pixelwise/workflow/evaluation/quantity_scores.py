"""Counts and sizes of the classes, predicted and true, and how often the intervals of `predict` cover the truth."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Integer

from pixelwise.datasets.dataset import Case
from pixelwise.geometry.grid import Grid, millimetres_of
from pixelwise.metrics.quantity_intervals import total_interval
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.quantity_record import QuantityRecord, record_of
from pixelwise.workflow.evaluation.mask_scores import rounded
from pixelwise.workflow.quantities import (
    KINDS,
    Estimate,
    counted_names,
    estimate_quantities,
    pair_quantities,
    size_ratio,
)

Pairs = Float64[np.ndarray, "images classes 2 2"]


class QuantityEvaluation:
    """Collects objects and sizes of every class in each case, in the ground truth and in the prediction.

    Parameters
    ----------
    grids : mapping
        The grid of each volume by the name of its case; empty for images.
    """

    def __init__(self, model_card: ModelCard, grids: Mapping[str, Grid]) -> None:
        self._model_card, self._grids = model_card, grids
        self._names = counted_names(model_card)
        self._pairs: dict[str, Float64[np.ndarray, "classes 2 2"]] = {}

    def add(self, case: Case, truth: Integer[np.ndarray, "*size"], labels: Integer[np.ndarray, "*size"]) -> None:
        """Add the true and the predicted labels of a case; one with few labels is left out."""
        grid = self._grids.get(case.name)
        ratio = size_ratio(millimetres_of(grid), self._model_card)
        pairs = pair_quantities(truth, labels, self._model_card, ratio)
        if pairs is not None:
            self._pairs[case.name] = pairs

    def add_to(self, scores: dict[str, Any], seed: int) -> dict[str, Any]:
        """Return the scores with ``quantities``, of all cases and of each, with the intervals of the model."""
        record = self._model_card.quantities
        held_out = self._table([]) if record is None else record.pairs
        scores = self._add_cases(scores, lambda _: held_out)
        for index, row in enumerate(scores.get("quantities", {}).get("classes", [])):
            for kind, name in enumerate(KINDS):
                predicted = np.array([pairs[index, kind, 0] for pairs in self._pairs.values()])
                total = total_interval(predicted, held_out[:, index, kind], seed) if len(held_out) else None
                row[name]["low"], row[name]["high"] = (None, None) if total is None else rounded([*total[:2]])
        return scores

    def add_to_folds(self, scores: dict[str, Any], folds: Mapping[str, int]) -> dict[str, Any]:
        """Return the scores as `add_to`; the intervals of a case come from the cases of the other folds.

        Parameters
        ----------
        folds : mapping
            The fold of each case by its name.
        """
        others = {
            number: self._table([name for name in self._pairs if folds[name] != number])
            for number in set(folds.values())
        }
        return self._add_cases(scores, lambda name: others[folds[name]])

    def _table(self, names: list[str]) -> Pairs:
        rows = [self._pairs[name] for name in names]
        return np.array(rows, np.float64).reshape(len(rows), len(self._names), 2, 2)

    def _add_cases(self, scores: dict[str, Any], held_out: Callable[[str], Pairs]) -> dict[str, Any]:
        if not self._pairs:
            return scores
        cases = [
            {**row, "quantities": self._case(self._pairs[row["name"]], held_out(row["name"]))}
            if row["name"] in self._pairs
            else row
            for row in scores["cases"]
        ]
        each = [row["quantities"] for row in cases if "quantities" in row]
        classes = [
            {"name": name, **{kind: _summarise([rows[index][kind] for rows in each]) for kind in KINDS}}
            for index, name in enumerate(self._names)
        ]
        unit = "voxels" if self._model_card.network.dimensions == 3 else "px"
        return {**scores, "quantities": {"unit": unit, "images": len(each), "classes": classes}, "cases": cases}

    def _case(self, pairs: Float64[np.ndarray, "classes 2 2"], held_out: Pairs) -> list[dict[str, Any]]:
        counts = np.rint(pairs[:, :, 0]).astype(np.int64)
        rows = estimate_quantities(counts, self._names, held_out)
        return [
            {
                "name": row.name,
                "objects": _compare(row.objects, float(pairs[index, 0, 1])),
                "size": _compare(row.size, float(pairs[index, 1, 1])),
            }
            for index, row in enumerate(rows)
        ]


def record_of_scores(scores: dict[str, Any]) -> QuantityRecord | None:
    """Return the record of an ensemble from the out-of-fold scores of its members; None if nothing was counted."""
    cases = [row["quantities"] for row in scores["cases"] if "quantities" in row]
    if not cases:
        return None
    pairs = [[[[row[kind]["predicted"], row[kind]["true"]] for kind in KINDS] for row in rows] for rows in cases]
    return record_of(np.array(pairs, np.float64))


def _compare(estimate: Estimate, true: float) -> dict[str, Any]:
    low, high = estimate.whole or (None, None)
    level = None if estimate.interval is None else estimate.interval.level
    return rounded({"predicted": estimate.value, "true": true, "low": low, "high": high, "level": level})


def _summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return sums over the cases, the mean absolute error, and how many true values their intervals cover."""
    known = [row for row in rows if row["low"] is not None]
    held = sum(row["low"] <= row["true"] <= row["high"] for row in known)
    return rounded(
        {
            "predicted": sum(row["predicted"] for row in rows),
            "true": sum(row["true"] for row in rows),
            "error": float(np.mean([abs(row["predicted"] - row["true"]) for row in rows])),
            "level": float(np.mean([row["level"] for row in known])) if known else None,
            "intervals": len(known),
            "held": held,
            "share": held / len(known) if known else None,
        }
    )
