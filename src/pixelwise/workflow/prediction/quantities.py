"""Tables of counts and sizes with their intervals: ``quantities.csv`` per image, ``totals.csv`` of all images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from pixelwise.csv_table import atomic_write_csv, read_csv
from pixelwise.datasets.writers.object_table import Cells
from pixelwise.geometry.grid import Grid, millimetres_of
from pixelwise.io.read import Image
from pixelwise.metrics.quantity_intervals import Interval, total_interval
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.quantities import ClassEstimate, Estimate, counted_names, estimate_quantities, size_ratio

QUANTITIES, TOTALS = "quantities.csv", "totals.csv"
_UNITS = {2: ("area_px", "area_um2"), 3: ("voxels", "millilitres")}  # of pixels, and physical
_MILLILITRE = 1000.0  # cubic millimetres


class PixelScale(NamedTuple):
    """What an image states of its scale: micrometres per pixel (y, x), or the grid of a volume."""

    spacing: tuple[float, float] | None = None
    grid: Grid | None = None


def quantity_rows(
    name: str,
    image: Image | PixelScale,
    counts: Int64[np.ndarray, "classes 2"],
    model_card: ModelCard,
    *,
    large: bool = False,
) -> list[Cells]:
    """Return a row per class of one image; none for a model without a record of its validation images.

    `counts` are those of `count_quantities`; `large` images are many times as large as those of the validation.
    """
    if model_card.quantities is None:
        return []
    spacing = millimetres_of(image.grid)
    estimates = estimate_quantities(
        counts, counted_names(model_card), model_card.quantities.pairs, size_ratio(spacing, model_card), large=large
    )
    return [_row(name, estimate, _unit_of(image)) for estimate in estimates]


def write_quantities(folder: Path, rows: Sequence[Cells], model_card: ModelCard) -> list[Path]:
    """Write both tables about all images; return their paths."""
    path = folder / QUANTITIES
    atomic_write_csv(path, _columns(model_card), rows)
    return [path, write_totals(folder, model_card)]


def write_totals(folder: Path, model_card: ModelCard) -> Path:
    """Write ``totals.csv`` from the ``quantities.csv`` of a folder; return its path."""
    path, (pixels, physical) = folder / TOTALS, _UNITS[model_card.network.dimensions]
    rows = read_csv(folder / QUANTITIES)
    head = ["class", "images", *_triple("objects"), *_triple(pixels), *_triple(physical), "level"]
    names = counted_names(model_card)
    cells = [
        _total(name, index, [row for row in rows if row["class"] == name], model_card)
        for index, name in enumerate(names)
    ]
    atomic_write_csv(path, head, cells)
    return path


def read_totals(path: Path) -> tuple[dict[str, Any], ...]:
    """Return the rows of ``totals.csv`` with numbers, None for empty cells."""
    return tuple(
        {key: value if key == "class" else (float(value) if value else None) for key, value in row.items()}
        for row in read_csv(path)
    )


def describe_totals(totals: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line per class with its totals and their intervals; none for a single image."""
    lines: list[str] = []
    for row in totals:
        if (row["images"] or 0) < 2:
            continue
        unit = next(name for name in ("area_um2", "millilitres", "area_px", "voxels") if row.get(name) is not None)
        words = {"area_um2": "square micrometres", "area_px": "pixels"}.get(unit, unit)
        level = "" if row["level"] is None else f"; intervals of {100 * row['level']:.0f} %"
        lines.append(f"{row['class']}: {_amount(row, 'objects')} objects, {_amount(row, unit)} {words}{level}")
    return lines


def _amount(row: dict[str, Any], key: str) -> str:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    interval = "" if low is None else f" ({low:,.6g} to {high:,.6g})"
    return f"{row[key]:,.6g}{interval}"


def _columns(model_card: ModelCard) -> list[str]:
    pixels, physical = _UNITS[model_card.network.dimensions]
    return ["image", "class", *_triple("objects"), *_triple(pixels), *_triple(physical), "level"]


def _triple(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _unit_of(image: Image | PixelScale) -> float | None:
    """Return the size of a pixel in square micrometres, or of a voxel in millilitres; None if it is unknown."""
    if image.grid is not None:
        sides = image.grid.millimetres
        return None if sides is None else math.prod(sides) / _MILLILITRE
    return None if image.spacing is None else math.prod(image.spacing)


def _row(name: str, estimate: ClassEstimate, unit: float | None) -> Cells:
    interval = estimate.size.interval
    return [
        name,
        estimate.name,
        *_whole(estimate.objects),
        *_whole(estimate.size),
        *_scaled(estimate.size, unit),
        "" if interval is None else f"{interval.level:.4g}",
    ]


def _whole(estimate: Estimate) -> Cells:
    return [str(int(estimate.value)), *(("", "") if estimate.whole is None else map(str, estimate.whole))]


def _scaled(estimate: Estimate, unit: float | None) -> Cells:
    if unit is None:
        return ["", "", ""]
    interval = estimate.interval
    ends = ("", "") if interval is None else (f"{interval.low * unit:.6g}", f"{interval.high * unit:.6g}")
    return [f"{estimate.value * unit:.6g}", *ends]


def _total(name: str, index: int, rows: Sequence[dict[str, str]], model_card: ModelCard) -> Cells:
    """Return the row of a class, with intervals if there are several images and enough validation images."""
    pixels, physical = _UNITS[model_card.network.dimensions]
    objects, sizes = (np.array([float(row[key]) for row in rows]) for key in ("objects", pixels))
    known = bool(rows) and all(row[physical] for row in rows)
    amounts = np.array([float(row[physical]) for row in rows]) if known else np.zeros(0)
    scale = _common_unit(sizes, amounts, model_card)  # physical units per pixel of the model
    sums = [math.fsum(objects), math.fsum(sizes), math.fsum(amounts) if known else None]
    intervals: list[Interval | None] = [None, None, None]
    if model_card.quantities is not None and len(rows) > 1:
        pairs, resampled = model_card.quantities.pairs[:, index], _is_resampled(model_card)
        of_sizes = amounts / scale if scale is not None and resampled else sizes
        found = total_interval(of_sizes, pairs[:, 1]) if scale is not None or not resampled else None
        intervals = [total_interval(objects, pairs[:, 0]), None if resampled else found, _times(found, scale)]
    level = next((f"{interval.level:.4g}" for interval in intervals if interval is not None), "")
    cells = [cell for pair in zip(sums, intervals, (True, True, False), strict=True) for cell in _sum_cells(*pair)]
    return [name, str(len(rows)), *cells, level]


def _is_resampled(model_card: ModelCard) -> bool:
    return model_card.network.dimensions == 3 and model_card.spacing is not None


def _common_unit(sizes: np.ndarray, amounts: np.ndarray, model_card: ModelCard) -> float | None:
    """Return the physical size of a pixel of the model; None if it is unknown, or pixels of images differ."""
    if not len(amounts):
        return None
    if _is_resampled(model_card):
        return math.prod(model_card.spacing or ()) / _MILLILITRE
    units = amounts[sizes > 0] / sizes[sizes > 0]
    return float(units[0]) if len(units) and np.allclose(units, units[0], rtol=1e-4, atol=0.0) else None


def _times(interval: Interval | None, scale: float | None) -> Interval | None:
    if interval is None or scale is None:
        return None
    return Interval(interval.low * scale, interval.high * scale, interval.level)


def _sum_cells(value: float | None, interval: Interval | None, counted: bool) -> Cells:
    ends = (None, None) if interval is None else interval[:2]
    return ["" if one is None else (f"{one:.0f}" if counted else f"{one:.6g}") for one in (value, *ends)]
