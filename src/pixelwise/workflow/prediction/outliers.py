"""Images outside of what the model was trained on: ``outliers.csv``, and one line about all images.

Two tests: what the image looks like (`sampling.appearance`), against training and validation images, and the mean size
of its predicted objects, against the predictions of the validation images.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Num

from pixelwise.csv_table import atomic_write_csv, read_csv
from pixelwise.datasets.writers.object_table import Cells
from pixelwise.metrics.outliers import can_rank, conformal_p_value, is_outlier
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.quantity_record import QuantityRecord
from pixelwise.sampling.appearance import appearance_features
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.text import pluralise

OUTLIERS = "outliers.csv"
OBJECT_SIZE = "object size"
GROUPS = ("intensity", "colour", "texture")
_COLUMNS = ("image", "outlier", "reasons", "p_appearance", "distance", *GROUPS, "p_object_size", "mean_object_size")


def outlier_row(
    name: str,
    pixels: Num[np.ndarray, "channels height width"],
    counts: Int64[np.ndarray, "classes 2"],
    model_card: ModelCard,
) -> Cells | None:
    """Return the row of an image; None for a model without statistics of its images.

    `counts` are those of `count_quantities`, of the prediction.
    ``outlier`` is yes, no, or empty if there were too few images to say no.
    """
    if model_card.appearance is None:
        return None
    record = model_card.appearance
    features = appearance_features(pixels, intensity_scale(pixels, model_card.normalisation))
    score, reference, distances = record.score(features), np.array(record.scores), record.distances(features)
    reasons = _unusual(distances) if is_outlier(score, reference) else []
    size, size_p, unusual = _judge_size(counts, model_card.quantities)
    reasons += [OBJECT_SIZE] if unusual else []
    enough = can_rank(len(reference))
    verdict = "yes" if reasons else "no" if enough else ""
    p_value = conformal_p_value(score, reference) if enough else None
    cells = [_show(p_value), _show(score), *(_show(distances.get(group)) for group in GROUPS)]
    return [name, verdict, "; ".join(reasons), *cells, _show(size_p), _show(size)]


def write_outliers(path: Path, rows: Sequence[Cells]) -> None:
    """Write the table of all images."""
    atomic_write_csv(path, _COLUMNS, rows)


def read_outliers(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the rows of the table: ``outlier`` is True, False or None, ``reasons`` a list."""
    return tuple(
        {
            "image": row["image"],
            "outlier": {"yes": True, "no": False}.get(row["outlier"]),
            "reasons": row["reasons"].split("; ") if row["reasons"] else [],
            **{key: float(row[key]) if row[key] else None for key in _COLUMNS[3:]},
        }
        for row in read_csv(path)
    )


def describe_outliers(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line about all images; none if no image is an outlier."""
    found = [row for row in rows if row["outlier"]]
    if not found:
        return []
    counts = Counter(reason for row in found for reason in row["reasons"])
    reasons = ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
    verb = "lies" if len(found) == 1 else "lie"
    of = f"{len(found)} of {pluralise(len(rows), 'image')} {verb} outside of what the model was trained on"
    return [f"{of}: {reasons}. Check their results; see {OUTLIERS}."]


def _unusual(distances: dict[str, float]) -> list[str]:
    """Return the groups of features that are unusual by themselves, or the one that is most so."""
    found = [name for name, value in distances.items() if value > 1]
    return found or [max(distances, key=lambda name: distances[name])]


def _judge_size(
    counts: Int64[np.ndarray, "classes 2"], record: QuantityRecord | None
) -> tuple[float | None, float | None, bool]:
    """Return the mean size of the objects in pixels, its p-value, and whether it is unusual; None without objects."""
    objects, pixels = counts.sum(axis=0).tolist()
    if not objects:
        return None, None, False
    size = pixels / objects
    reference = np.zeros(0) if record is None else _log_sizes(record)
    if not len(reference):
        return size, None, False
    middle = float(np.median(reference))
    score, distances = abs(math.log(size) - middle), np.abs(reference - middle)
    p_value = conformal_p_value(score, distances) if can_rank(len(reference)) else None
    return size, p_value, is_outlier(score, distances)


def _log_sizes(record: QuantityRecord) -> Float64[np.ndarray, " images"]:
    """Return the logarithm of the mean size of the predicted objects in each validation image that has some."""
    objects, pixels = record.pairs[..., 0].sum(axis=1).T
    return np.log(pixels[objects > 0] / objects[objects > 0])


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
