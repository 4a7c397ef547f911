"""Output files of prediction: mask or label image, probabilities, overlay, object and confidence tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num, UInt8
from skimage.segmentation import find_boundaries

from pixelwise.atomic_write import atomic_write_json
from pixelwise.csv_table import atomic_write_csv
from pixelwise.datasets.writers.object_table import Cells
from pixelwise.inference.arrays import warn_of_spacing
from pixelwise.inference.segmentation_model import Prediction
from pixelwise.io.georeference import choose_mask_nodata
from pixelwise.io.read import Image, write_image, write_labels, write_mask
from pixelwise.io.sample_values import mark_missing
from pixelwise.io.write import write_map_mask
from pixelwise.labels.region_properties import ObjectRow, ObjectTable, measure_objects
from pixelwise.model_file.model_card import ModelCard
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import Confidence, confidence_of, uncertainty_map
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.planes import choose_planes
from pixelwise.workflow.prediction.objects import SavedObjects, save_objects, write_summaries
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.outliers import OUTLIERS, outlier_row, read_outliers, write_outliers
from pixelwise.workflow.prediction.quantities import quantity_rows, read_totals, write_quantities
from pixelwise.workflow.prediction.volumes import VolumeFiles, save_volume, write_volume_tables
from pixelwise.workflow.quantities import count_quantities

OVERLAY_SIDE = 2048  # pixels; larger overlays are subsampled
_TABLE = ("image", "id", "class", "area", "centroid_row", "centroid_col", "box", "perimeter", "mean_intensity")


@dataclass(frozen=True, kw_only=True)
class ImageOutputs:
    """Outputs of one image: files, object table, volumes, confidence, counts and sizes, outlier tests, and warnings.

    `read` are warnings from reading, which many images may share; `notes` are warnings from prediction.
    """

    image: str
    files: tuple[Path, ...]
    table: ObjectTable | None
    volumes: VolumeFiles | None = None
    confidence: Confidence | None
    objects: SavedObjects | None
    read: tuple[str, ...]
    notes: tuple[str, ...]
    quantities: Sequence[Cells] = ()
    outlier: Cells | None = None


@dataclass
class OutputSummary:
    """Outputs of all images so far: files, object tables, confidence and warnings."""

    folder: Path
    model_card: ModelCard
    options: PredictOptions

    def __post_init__(self) -> None:
        self.files: list[Path] = []
        self.tables: list[tuple[str, ObjectTable]] = []
        self.confidence: list[Confidence] = []
        self.objects: list[SavedObjects] = []
        self.volumes: list[VolumeFiles] = []
        self.quantities: list[Cells] = []
        self.totals: tuple[dict[str, Any], ...] = ()
        self.outlier_rows: list[Cells] = []
        self.outliers: tuple[dict[str, Any], ...] = ()
        self.notes: list[str] = []
        self.read: dict[str, list[str]] = {}  # warning from reading -> images

    def save(self, name: str, path: Path, image: Image, result: Prediction) -> ImageOutputs:
        """Write the requested files of one image; thread-safe."""
        if image.grid is not None:
            return self._save_volume(name, path, image, result)
        place, table, confidence = image.georeference, None, None
        file, labels = self.save_mask(name, image, result)
        files, suffix = [file], ".png" if place is None else ".tif"
        if self.model_card.task == "instance":
            table = measure_objects(result.labels, image.pixels)
        if result.probabilities is not None and self.options.confidence:
            confidence = confidence_of(path.name, result.labels, result.probabilities, self.model_card)
            files.append(self.folder / f"{name}.uncertainty{suffix}")
            write_image(files[-1], uncertainty_map(result.probabilities, self.model_card)[None], place)
        if result.probabilities is not None and self.options.probabilities:
            files.append(self.folder / f"{name}.probabilities.tif")
            write_image(files[-1], np.round(result.probabilities.astype(np.float32) * 255).astype(np.uint8), place)
        if self.options.overlays:
            drawn = overlay(
                image.pixels, result.labels, self.model_card.colours, objects=self.model_card.task == "instance"
            )
            files.append(self.folder / f"{name}.overlay.png")
            write_image(files[-1], drawn)
        objects = None
        if formats := self.options.save:
            objects = save_objects(self.folder, name, path.name, image, labels, self.model_card, formats)
            files += objects.files
        counts = count_quantities(labels, self.model_card)
        return ImageOutputs(
            image=path.name,
            objects=objects,
            files=tuple(files),
            table=table,
            confidence=confidence,
            quantities=quantity_rows(path.name, image, counts, self.model_card),
            outlier=outlier_row(path.name, image.pixels, counts, self.model_card),
            read=image.warnings,
            notes=(
                *result.warnings,
                *warn_of_spacing(image.spacing, self.model_card.spacing),
                *(objects.messages if objects is not None else ()),
            ),
        )

    def save_mask(self, name: str, image: Image, result: Prediction) -> tuple[Path, np.ndarray]:
        """Write the mask or label image alone; return its path, and its values with missing pixels marked."""
        place, labels = image.georeference, result.labels
        path = self.folder / f"{name}{'.png' if place is None else '.tif'}"  # PNG holds no coordinates
        if self.model_card.task == "instance":
            return write_labels(path, labels, image.spacing, place), labels
        return path, self._write_mask(path, image, labels.astype(np.uint8, copy=False))

    def _save_volume(self, name: str, path: Path, image: Image, result: Prediction) -> ImageOutputs:
        """Write the requested files of one volume."""
        saved = save_volume(self.folder, name, path, image, result, self.model_card, self.options)
        files, confidence = list(saved.files), None
        if result.probabilities is not None and self.options.confidence:
            confidence = confidence_of(path.name, result.labels, result.probabilities, self.model_card)
        if self.options.overlays:
            views, instances = choose_planes(result.labels, image.grid), self.model_card.task == "instance"
            planes = views.draw(image.pixels), views.draw(result.labels)
            files.append(self.folder / f"{name}.overlay.png")
            write_image(files[-1], overlay(*planes, self.model_card.colours, objects=instances))
        return ImageOutputs(
            image=path.name,
            objects=None,
            files=tuple(files),
            table=None,
            volumes=saved,
            confidence=confidence,
            quantities=quantity_rows(
                path.name, image, count_quantities(result.labels, self.model_card), self.model_card
            ),
            read=image.warnings,
            notes=result.warnings,
        )

    def _write_mask(
        self, path: Path, image: Image, mask: UInt8[np.ndarray, "height width"]
    ) -> UInt8[np.ndarray, "height width"]:
        """Write a mask, on a map as GeoTIFF; return it with its missing pixels marked."""
        colours, place = self.model_card.colours, image.georeference
        if place is None:
            write_mask(path, mask, colours)
            return mask
        nodata = choose_mask_nodata(place.nodata, len(self.model_card.classes))
        marked = mask if nodata is None else mark_missing(image.pixels, mask, nodata)
        write_map_mask(path, marked, colours, place, nodata=nodata, spacing=image.spacing)
        return marked

    def add(self, saved: ImageOutputs) -> None:
        """Add the outputs of an image; the order of the calls is the order in the tables."""
        self.files += saved.files
        if saved.table is not None:
            self.tables.append((saved.image, saved.table))
        if saved.confidence is not None:
            self.confidence.append(saved.confidence)
        if saved.objects is not None:
            self.objects.append(saved.objects)
        if saved.volumes is not None:
            self.volumes.append(saved.volumes)
        self.quantities += saved.quantities
        if saved.outlier is not None:
            self.outlier_rows.append(saved.outlier)
        for text in saved.read:
            self.read.setdefault(text, []).append(saved.image)
        self.notes += [f"{saved.image}: {text}" for text in saved.notes]

    def take_notes(self) -> list[str]:
        """Return and clear the warnings from prediction."""
        notes, self.notes = self.notes, []
        return notes

    def describe_read_warnings(self) -> list[str]:
        """Return the warnings from reading, each with its images."""
        return [
            f"{pluralise(len(names), 'image') if len(names) > 1 else names[0]}: {text}"
            for text, names in self.read.items()
        ]

    def finish(self) -> None:
        """Write the object table of instance segmentation, or the table of volumes, and the others requested."""
        if self.volumes:
            self.files += write_volume_tables(self.folder, self.volumes)
        elif self.model_card.task == "instance":
            self.files.append(self.folder / "objects.csv")
            write_table(self.files[-1], self.tables, self.model_card.classes)
        if self.quantities:
            self.files += write_quantities(self.folder, self.quantities, self.model_card)
            self.totals = read_totals(self.files[-1])
        if self.outlier_rows:
            self.files.append(self.folder / OUTLIERS)
            write_outliers(self.files[-1], self.outlier_rows)
            self.outliers = read_outliers(self.files[-1])
        if self.options.confidence:
            self.files.append(self.folder / "confidence.csv")
            write_confidence(self.files[-1], self.confidence)
        self.files += write_summaries(self.folder, self.objects, self.model_card, self.options.save)


def overlay(
    pixels: Num[np.ndarray, "channels height width"],
    labels: np.ndarray,
    colours: Sequence[tuple[int, int, int]],
    *,
    objects: bool,
) -> UInt8[np.ndarray, "3 shown_height shown_width"]:
    """Return outlines of classes or objects over the image, stretched to its percentiles 0.5 and 99.5."""
    step = max(1, -(-max(pixels.shape[1:]) // OVERLAY_SIDE))
    labels = labels[::step, ::step]
    picture = np.moveaxis(stretch(pixels[:, ::step, ::step]), -1, 0)
    edges = find_boundaries(labels, mode="inner")
    tones = np.array([(255, 200, 0)] if objects else [c if any(c) else (255, 200, 0) for c in colours], np.uint8)
    index = np.zeros(labels.shape, int) if objects else labels
    picture[:, edges] = tones[index[edges]].T
    return picture


def write_classes(folder: Path, model_card: ModelCard) -> Path:
    """Write classes.json, the meaning of the mask values; return its path."""
    values = model_card.values or tuple(range(len(model_card.classes)))
    rows = zip(model_card.classes, values, model_card.colours, strict=False)
    kind = "object numbers, 0 is background" if model_card.task == "instance" else "class indices"
    entries = [
        {"index": index, "name": name, "value_in_your_masks": value, "colour": list(colour)}
        for index, (name, value, colour) in enumerate(rows)
    ]
    path = folder / "classes.json"
    atomic_write_json(path, {"pixels_hold": kind, "classes": entries})
    return path


def write_table(path: Path, tables: Sequence[tuple[str, ObjectTable]], classes: Sequence[str]) -> None:
    """Write the region properties of each object; areas in pixels, positions (row, column) from the top left."""
    name = classes[-1] if classes else "object"
    atomic_write_csv(path, _TABLE, (_cells(image, name, row) for image, table in tables for row in table))


def write_confidence(path: Path, rows: Sequence[Confidence]) -> None:
    """Write a row per image; undefined values are empty."""
    scored = list(rows[0].scores) if rows else []
    cells = (
        (r.image, *map(_format_score, (r.dice, r.bound, r.uncertainty, *(r.scores[name] for name in scored))))
        for r in rows
    )
    head = ("image", "predicted_dice", "dice_lower_bound_90", "mean_uncertainty")
    atomic_write_csv(path, (*head, *(f"score_{name}" for name in scored)), cells)


def _format_score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _cells(image: str, name: str, row: ObjectRow) -> tuple[str | int, ...]:
    box = " ".join(str(value) for value in row.box)
    intensity = "" if row.mean_intensity is None else f"{row.mean_intensity:.4f}"
    centroid = f"{row.centroid_row:.2f}", f"{row.centroid_column:.2f}"
    return image, row.id, name, row.area, *centroid, box, f"{row.perimeter:.2f}", intensity
