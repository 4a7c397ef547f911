"""Output files of predicted volumes: labels in the format and on the grid of the image, and the size of each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from pixelwise.csv_table import atomic_write_csv
from pixelwise.datasets.records import first_class
from pixelwise.datasets.writers.object_table import Cells
from pixelwise.errors import BadOption
from pixelwise.geometry.grid import Grid
from pixelwise.inference.segmentation_model import Prediction
from pixelwise.io.read import Image, volume_format
from pixelwise.io.volumes.write import WRITTEN, result_suffix, write_labels_like, write_volume_like
from pixelwise.labels.volume_properties import VolumeTable, measure_volumes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.confidence import uncertainty_map
from pixelwise.workflow.prediction.options import PredictOptions

_OBJECTS = (
    "image", "id", "class", "voxels", "cubic_millimetres", "centroid_z", "centroid_y", "centroid_x", "box",
    "mean_intensity",
)  # fmt: skip
COLUMNS = ("image", "class", "voxels", "millilitres")
_SUFFIXES = {"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha", "tiff": ".tif", "zarr": ".ome.zarr"}
_MILLILITRE = 1000.0  # cubic millimetres


@dataclass(frozen=True)
class VolumeFiles:
    """The files of one volume, and its rows in the tables of volumes and of objects."""

    files: tuple[Path, ...]
    rows: tuple[Cells, ...]
    objects: tuple[Cells, ...] = ()


def check_volume_options(options: PredictOptions) -> None:
    """Check that what is asked for exists for volumes.

    Raises
    ------
    BadOption
        Objects as outlines in a plane, or a tolerance of tiles.
    """
    if options.save:
        hint = "Leave out --save: labels and volumes.csv are written."
        raise BadOption("outputs for volumes", f"--save {','.join(options.save)}, of outlines in planes", hint)
    if options.tolerance is not None:
        hint = "Leave it out: tiles of volumes are exact."
        raise BadOption("no --tolerance for a model of volumes", f"{options.tolerance}", hint)


def save_volume(
    folder: Path,
    name: str,
    path: Path,
    image: Image,
    result: Prediction,
    model_card: ModelCard,
    options: PredictOptions,
) -> VolumeFiles:
    """Write the labels of a volume, in the format of its file unless the user names one, and what else is requested.

    Parameters
    ----------
    name : str
        Of the files, without a suffix.
    path : Path
        The file of the volume, whose grid is kept exactly.
    options : PredictOptions
        `format`, `probabilities` and `confidence` are used.
    """
    if image.grid is None:
        raise ValueError("an image without a grid is no volume")
    kind = volume_format(path)
    like = None if kind is None else (path, kind)
    suffix = _SUFFIXES[options.format] if options.format is not None else result_suffix(path)
    files = [write_labels_like(folder / f"{name}{suffix}", result.labels, image.grid, like)]
    if result.probabilities is not None and options.confidence:
        target = folder / f"{name}.uncertainty.nii.gz"
        files.append(
            write_volume_like(target, uncertainty_map(result.probabilities, model_card)[None], image.grid, like)
        )
    if result.probabilities is not None and options.probabilities:
        scaled = np.round(result.probabilities.astype(np.float32) * 255).astype(np.uint8)
        files.append(write_volume_like(folder / f"{name}.probabilities.nii.gz", scaled, image.grid, like))
    rows = tuple(volume_rows(path.name, result.labels, image.grid, model_card))
    if model_card.task != "instance":
        return VolumeFiles(tuple(files), rows)
    return VolumeFiles(tuple(files), rows, tuple(object_rows(path.name, result.labels, image, model_card.classes[-1])))


def volume_rows(
    image: str, labels: Integer[np.ndarray, "depth height width"], grid: Grid, model_card: ModelCard
) -> list[Cells]:
    """Return a row of the table of volumes per class, in millilitres if the unit is known; all objects are one class.

    The background has no row.
    """
    classes = (labels > 0).astype(np.uint8) if model_card.task == "instance" else labels
    return counted_rows(image, np.bincount(classes.ravel()).tolist(), grid, model_card)


def counted_rows(image: str, voxels: Sequence[int], grid: Grid | None, model_card: ModelCard) -> list[Cells]:
    """Return the rows of `volume_rows` from the number of voxels of each class, or of background and objects."""
    size = None if grid is None or grid.millimetres is None else float(np.prod(grid.millimetres)) / _MILLILITRE
    names = ("background", model_card.classes[-1]) if model_card.task == "instance" else model_card.classes
    counts = [*voxels, *[0] * (len(names) - len(voxels))]
    first = first_class(model_card.task, names)
    return [
        [image, names[index], str(counts[index]), "" if size is None else f"{counts[index] * size:.6g}"]
        for index in range(first, len(names))
    ]


def object_rows(
    name: str, labels: Integer[np.ndarray, "depth height width"], image: Image, class_name: str
) -> list[Cells]:
    """Return a row of the table of objects for each of a volume; positions in voxels from the first corner."""
    return table_rows(name, measure_volumes(labels, image=image.pixels), image.grid, class_name)


def table_rows(name: str, table: VolumeTable, grid: Grid | None, class_name: str) -> list[Cells]:
    """Return the rows of `object_rows` from the properties of the objects, which were measured in voxels."""
    size = None if grid is None or grid.millimetres is None else float(np.prod(grid.millimetres))
    rows: list[Cells] = []
    for row in table:
        centroid, box = (f"{value:.2f}" for value in row.centroid), " ".join(f"{side:.0f}" for side in row.box)
        intensity = "" if row.mean_intensity is None else f"{row.mean_intensity:.4f}"
        volume = "" if size is None else f"{row.voxels * size:.6g}"
        rows.append([name, str(row.id), class_name, str(row.voxels), volume, *centroid, box, intensity])
    return rows


def write_volume_tables(folder: Path, volumes: Sequence[VolumeFiles], prefix: str = "") -> list[Path]:
    """Write ``volumes.csv``, a row per image and class, and ``objects.csv`` if there are objects; return both.

    The names start with `prefix`.
    """
    files = [folder / f"{prefix}volumes.csv"]
    atomic_write_csv(files[0], COLUMNS, (row for volume in volumes for row in volume.rows))
    objects = [row for volume in volumes for row in volume.objects]
    if objects:
        files.append(folder / f"{prefix}objects.csv")
        atomic_write_csv(files[1], _OBJECTS, objects)
    return files


def result_names(name: str) -> list[str]:
    """Return the names that the labels of a volume may have."""
    return [f"{name}{suffix}" for suffix in WRITTEN]
