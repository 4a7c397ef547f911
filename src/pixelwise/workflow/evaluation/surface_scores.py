"""Surface scores of masks over the images of a data set: HD95, average surface distance and surface Dice."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer

from pixelwise.datasets.dataset import Case
from pixelwise.datasets.writers.labelled_set import spacing_of
from pixelwise.geometry.grid import Grid
from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.intervals import mean_interval
from pixelwise.metrics.semantic import mean_of
from pixelwise.metrics.surfaces import surface_distances
from pixelwise.workflow.evaluation.mask_scores import named_classes, rounded, with_scores

MAX_PIXELS = 25_000_000  # of an image: distances need about 20 bytes for each
SCORES = ("hd95", "average_distance", "surface_dice")
POLICY = (
    "A class that is in only one of the two masks of an image has surface Dice 0 and no distance: images_one_sided "
    "counts these images. A class that is in neither has no surface scores there."
)


class SurfaceEvaluation:
    """Collects the surface scores of every class and image.

    Distances are in micrometres if all images state their pixel size, of volumes in millimetres, else in pixels; the
    tolerance of the surface Dice is one pixel (the longest side of the largest). Ignored pixels belong to no class in
    both masks.

    Parameters
    ----------
    cases : sequence of Case
        All cases that will be added.
    task : {"binary", "multiclass", "instance"}
        For "instance" all objects together are the one class.
    grids : mapping, optional
        Of volumes: the grid of each case by its name.
    regions : mapping, optional
        Sets of classes by name, which are scored beside the classes.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        classes: Sequence[str],
        task: str,
        grids: Mapping[str, Grid] | None = None,
        regions: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        spacings: dict[str, tuple[float, ...] | None] = {
            case.name: grids[case.name].millimetres if grids else spacing_of(case.image) for case in cases
        }
        self._unit, self._sample = ("millimetre", "voxel") if grids else ("micrometre", "pixel")
        self._spacings = {name: spacing for name, spacing in spacings.items() if spacing is not None}
        if len(self._spacings) < len(spacings):
            self._spacings = {}
        self._tolerance = max((max(spacing) for spacing in self._spacings.values()), default=1.0)
        self._task = task
        self._classes = named_classes(classes, task, regions)
        self._rows: dict[str, dict[str, dict[str, float | None]]] = {}
        self._too_large = 0

    def add(self, case: Case, truth: Integer[np.ndarray, "*size"], predicted: Integer[np.ndarray, "*size"]) -> None:
        """Add the true and the predicted mask of a case, as `mask_scores.score_case` takes them."""
        if truth.size > MAX_PIXELS:
            self._too_large += 1
            return
        ignored = truth < 0 if self._task == "instance" else truth == IGNORE
        if self._task == "instance":
            truth, predicted = (truth > 0).astype(np.uint8), (predicted > 0).astype(np.uint8)
        row: dict[str, dict[str, float | None]] = {}
        for name, members in self._classes.items():
            masks = [np.isin(mask, members) & ~ignored for mask in (truth, predicted)]
            found = surface_distances(*masks, spacing=self._spacings.get(case.name))
            values = found.hausdorff(95), found.average(), found.surface_dice(self._tolerance)
            row[name] = dict(zip(SCORES, values, strict=True))
        self._rows[case.name] = row

    def add_to(self, scores: dict[str, Any], seed: int) -> dict[str, Any]:
        """Return the scores of `mask_scores.summarise` with the surface scores in ``scores`` and ``cases``."""
        surfaces = {
            "unit": self._unit if self._spacings else self._sample,
            "tolerance": round(self._tolerance, 6),
            "policy": POLICY,
            "images_too_large": self._too_large,
            "classes": [self._summarise(name, seed) for name in self._classes],
        }
        return with_scores(scores, "surfaces", surfaces, rounded(self._rows))

    def _summarise(self, name: str, seed: int) -> dict[str, Any]:
        """Return the means over the images that have a score, with intervals by bootstrap over all images."""
        rows = [row[name] for row in self._rows.values()]
        summary: dict[str, Any] = {"name": name}
        for score in SCORES:
            values = (row[score] for row in rows)
            known = tuple(value if value is not None and np.isfinite(value) else None for value in values)
            summary |= {score: mean_of(known), f"{score}_interval": mean_interval(known, seed)}
        summary["images"] = sum(row["surface_dice"] is not None for row in rows)
        summary["images_one_sided"] = sum(row["hd95"] is not None and bool(np.isinf(row["hd95"])) for row in rows)
        return rounded(summary)
