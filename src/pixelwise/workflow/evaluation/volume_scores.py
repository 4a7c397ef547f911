"""Volumes of the classes in millilitres, true and predicted, over the volumes of a data set.

A volume is the number of voxels times the size of a voxel. Intervals are over cases, never over slices: slices of one
case are not independent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.geometry.grid import Grid
from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.intervals import ratio_interval
from pixelwise.workflow.evaluation.mask_scores import named_classes, rounded, with_scores

_MILLILITRE = 1000.0  # cubic millimetres


def read_grids(dataset: Dataset, cases: Sequence[Case]) -> dict[str, Grid]:
    """Return the grid of each case of volumes by its name, from the headers; nothing for planes."""
    if dataset.spatial_dims == 2:
        return {}
    grids = {case.name: dataset.read_grid(case) for case in cases}
    return {name: grid for name, grid in grids.items() if grid is not None}


class VolumeEvaluation:
    """Collects the volume of every class in each case, in the ground truth and in the prediction.

    Parameters
    ----------
    grids : mapping
        The grid of each case by its name; without a unit there are no volumes.
    task : {"binary", "multiclass", "instance"}
        For "instance" all objects together are the one class.
    regions : mapping, optional
        Sets of classes by name, which are measured beside the classes.
    """

    def __init__(
        self,
        grids: Mapping[str, Grid],
        classes: Sequence[str],
        task: str,
        regions: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self._sizes = {
            name: float(np.prod(grid.millimetres)) / _MILLILITRE
            for name, grid in grids.items()
            if grid.millimetres is not None
        }
        self._task = task
        self._classes = named_classes(classes, task, regions)
        self._rows: dict[str, dict[str, dict[str, float]]] = {}

    def add(self, case: Case, truth: Integer[np.ndarray, "*size"], predicted: Integer[np.ndarray, "*size"]) -> None:
        """Add the true and the predicted labels of a case; ignored voxels count for neither."""
        size = self._sizes.get(case.name)
        if size is None:
            return
        known = truth >= 0 if self._task == "instance" else truth != IGNORE
        labels = [(mask > 0) if self._task == "instance" else mask for mask in (truth, predicted)]
        self._rows[case.name] = {
            name: {
                key: size * float(np.isin(mask[known], members).sum())
                for key, mask in zip(("true", "predicted"), labels, strict=True)
            }
            for name, members in self._classes.items()
        }

    def add_to(self, scores: dict[str, Any], seed: int) -> dict[str, Any]:
        """Return the scores of `mask_scores.summarise` with ``volumes`` in ``scores`` and ``cases``, if known."""
        if not self._rows:
            return scores
        volumes = {"unit": "ml", "classes": [self._summarise(name, seed) for name in self._classes]}
        return with_scores(scores, "volumes", volumes, rounded(self._rows))

    def _summarise(self, name: str, seed: int) -> dict[str, Any]:
        """Return means over the cases; `difference` is predicted minus true, `error` its mean size."""
        rows = [row[name] for row in self._rows.values()]
        true, predicted = (np.array([row[key] for row in rows]) for key in ("true", "predicted"))
        change = predicted - true
        columns = {"true": true, "predicted": predicted, "difference": change, "error": np.abs(change)}
        summary: dict[str, Any] = {"name": name, "cases": len(rows)}
        for key, values in columns.items():
            table = np.stack([values, np.ones(len(values))], axis=1)
            summary |= {key: float(values.mean()), f"{key}_interval": ratio_interval(table, seed)}
        return rounded(summary)
