"""The table of objects, in pixels and in physical units."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Num

from pixelwise.csv_table import atomic_write_csv
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import objects_of
from pixelwise.labels.region_properties import ObjectRow, measure_objects
from pixelwise.text import pluralise

COLUMNS = (
    "object_id", "class", "area_px", "perimeter_px", "equivalent_diameter_px", "centroid_x_px", "centroid_y_px",
    "box_x_px", "box_y_px", "box_width_px", "box_height_px", "touches_border", "mean_intensity", "area_um2",
    "perimeter_um", "equivalent_diameter_um", "centroid_x_um", "centroid_y_um",
)  # fmt: skip
Spacing = tuple[float, float]
Cells = list[str]


def write_table(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``objects.csv``, a row per object; micrometres are empty where the spacing is unknown."""

    def measure(image: LabelledImage) -> tuple[list[Cells], tuple[str, ...]]:
        objects = objects_of(data, image)
        names = [data.classes[index] for index in objects.class_index.tolist()]
        rows = object_rows(objects.labels, image.pixels, image.spacing, names)
        unknown = ("no pixel size in the file, so that the columns in micrometres are empty",)
        return [[image.name, image.split or "", *row] for row in rows], unknown * (image.spacing is None)

    measured = list(data.map(measure))
    atomic_write_csv(out / "objects.csv", ("image", "split", *COLUMNS), (row for rows, _ in measured for row in rows))
    count = pluralise(sum(len(rows) for rows, _ in measured), "object")
    table_only = f"objects.csv measures {count}: neither images nor masks are written."
    return (table_only, *data.describe_losses(losses for _, losses in measured))


def object_rows(
    labels: Int32[np.ndarray, "height width"],
    pixels: Num[np.ndarray, "channels height width"],
    spacing: Spacing | None,
    class_names: Sequence[str],
) -> list[Cells]:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : (height, width) int32 array
        Object numbers, 0 for background.
    pixels : (channels, height, width) array
    spacing : (float, float), optional
        Micrometres per pixel, (y, x).
    class_names : sequence of str
        Class of each object number; the first one belongs to 0.

    Returns
    -------
    list of list of str
        A row of `COLUMNS` per object. Positions are measured from the top left corner of the image, so that the centre
        of the first pixel is at (0.5, 0.5).

    Examples
    --------
    >>> labels = np.array([[0, 1, 1, 0]], np.int32)
    >>> row = object_rows(labels, labels[None], (0.5, 0.5), ("background", "cell"))[0]
    >>> dict(zip(COLUMNS, row, strict=True))["centroid_x_px"], row[COLUMNS.index("area_um2")]
    ('2', '0.5')
    """
    return [_cells(row, labels.shape, spacing, class_names[row.id]) for row in measure_objects(labels, pixels)]


def _cells(row: ObjectRow, size: tuple[int, ...], spacing: Spacing | None, class_name: str) -> Cells:
    top, left, bottom, right = row.box
    border = top == 0 or left == 0 or bottom == size[0] or right == size[1]
    diameter = math.sqrt(4 * row.area / math.pi)
    x, y = row.centroid_column + 0.5, row.centroid_row + 0.5
    numbers = (row.area, row.perimeter, diameter, x, y, left, top, right - left, bottom - top)
    physical = [""] * 5
    if spacing is not None:
        height, width = spacing
        area = row.area * height * width
        # a perimeter in pixels has no direction: in other units it is known for square pixels only
        square = math.isclose(height, width, rel_tol=1e-3)
        physical = [
            _text(area),
            _text(row.perimeter * width) if square else "",
            *map(_text, (math.sqrt(4 * area / math.pi), x * width, y * height)),
        ]
    return [
        str(row.id),
        class_name,
        *map(_text, numbers),
        str(int(border)),
        "" if row.mean_intensity is None else _text(row.mean_intensity),
        *physical,
    ]


def _text(value: float | int) -> str:
    """Return a number with six significant digits; whole numbers in full."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"
