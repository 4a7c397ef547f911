"""The results of a volume: its labels as `pixelwise predict` writes them, and its objects or classes for the page."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, Num
from scipy import ndimage

from pixelwise.inference.segmentation_model import Prediction
from pixelwise.io.read import Image, volume_format
from pixelwise.io.volumes.write import write_volume_like
from pixelwise.io.zarr import is_zarr
from pixelwise.labels.volume_properties import measure_volumes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.confidence import uncertainty_map
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.writing import OutputSummary

CONFIDENT = 2**27
"""Voxels x classes up to which the confidence is kept: more would need gigabytes."""


def save_volume(request: dict[str, Any], image: Image, result: Prediction, card: ModelCard) -> dict[str, Any]:
    """Write labels, tables and uncertainty of a volume; return them as `workers.predictor` does.

    The labels are one file, to be taken away: those of an OME-Zarr volume are a TIFF stack, and no folder.

    Parameters
    ----------
    request : dict
        `image`, `folder`, `name` and `overlay`.

    Returns
    -------
    dict
        `files`, `size`, `rows` (see `volume_rows`), `uncertainty`, `warnings`, and `options`: words of the command line
        that write the same.
    """
    path, folder = Path(request["image"]), Path(request["folder"])
    words = ("--format", "tiff") if is_zarr(path) else ()
    options = PredictOptions(overlays=bool(request.get("overlay")), format="tiff" if words else None)
    summary = OutputSummary(folder, card, options)
    saved = summary.save(request["name"], path, image, result)
    summary.add(saved)
    summary.finish()
    files = {"mask": saved.files[0].name, "table": summary.files[-1].name}
    if options.overlays:
        files["overlay"] = saved.files[-1].name
    uncertainty = None
    if result.probabilities is not None and image.grid is not None:
        unsure = uncertainty_map(result.probabilities, card)
        kind = volume_format(path)
        like = None if kind is None or kind == "OME-Zarr" else (path, kind)
        target = folder / "uncertainty.nii.gz"
        files["uncertainty"] = write_volume_like(target, unsure[None], image.grid, like).name
        uncertainty = round(float(unsure.mean()) / 255, 5)
    return {
        "files": files,
        "size": list(result.labels.shape),
        "rows": volume_rows(result.labels, image.pixels, objects=card.task == "instance", classes=len(card.classes)),
        "uncertainty": uncertainty,
        "warnings": [*saved.read, *saved.notes],
        "options": words,
    }


def volume_rows(
    labels: Integer[np.ndarray, "depth height width"],
    image: Num[np.ndarray, "channels depth height width"] | None,
    *,
    objects: bool,
    classes: int,
) -> list[dict[str, Any]]:
    """Return the rows of the table of the page: the objects of a volume, or its classes but the background.

    Returns
    -------
    list of dict
        As of an image, with `area` in voxels, `slice` (the one to look at) and `slices` (the first, and the one behind
        the last).

    Examples
    --------
    >>> labels = np.zeros((3, 4, 4), np.uint8)
    >>> labels[1:, 1, 2:] = 1
    >>> row = volume_rows(labels, None, objects=False, classes=2)[0]
    >>> row["area"], row["box"], row["slices"], row["slice"]
    (4, [1, 2, 2, 4], [1, 3], 1)
    """
    if objects:
        return [
            _row(row.id, row.class_index, row.voxels, row.box, row.centroid, row.mean_intensity)
            for row in measure_volumes(labels, image=image)
        ]
    counts = np.bincount(labels.ravel(), minlength=classes)
    rows: list[dict[str, Any]] = []
    for index, place in enumerate(ndimage.find_objects(labels, max_label=classes - 1), start=1):
        if place is None:
            continue
        box = [float(side.start) for side in place] + [float(side.stop) for side in place]
        found = labels[place] == index
        fullest = int(found.sum(axis=(1, 2)).argmax()) + place[0].start
        middle = (fullest + 0.5, (box[1] + box[4]) / 2, (box[2] + box[5]) / 2)
        rows.append(_row(index, index, int(counts[index]), tuple(box), middle, None))
    return rows


def _row(
    number: int, index: int, voxels: int, box: tuple[float, ...], centroid: tuple[float, ...], mean: float | None
) -> dict[str, Any]:
    """Return a row; `box` and `centroid` along z, y and x, in voxels from the first corner."""
    first, top, left, last, bottom, right = (int(side) for side in box)
    return {
        "id": number,
        "class": index,
        "area": voxels,
        "slice": min(last - 1, max(first, int(centroid[0]))),
        "slices": [first, last],
        "row": round(centroid[1] - 0.5, 2),
        "column": round(centroid[2] - 0.5, 2),
        "box": [top, left, bottom, right],
        "mean": None if mean is None else round(mean, 4),
    }
