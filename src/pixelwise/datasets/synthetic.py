"""Synthetic demo data: textured, touching cells with uneven illumination and exact ground truth.

The images resemble differential interference contrast: surfaces are lit from one side, so that each cell has a bright
and a dark side and about the mean intensity of its surroundings. A threshold does not separate the cells; relief,
texture and the dark lines between touching cells do.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from scipy import ndimage

from pixelwise.errors import BadOption, OutputFailed
from pixelwise.io.read import write_image, write_labels
from pixelwise.labels.label_image import components

MIN_SIZE = 64  # pixels per side
RADII = (7.0, 19.0)  # pixels, before overlaps are resolved: cells have diameters of about 12 to 36 pixels
AREA_PER_CELL = 2000.0  # pixels; about 30 cells in 256 x 256
MAX_WAVES = 3  # sine terms of a cell outline besides its ellipse


class _Outline(NamedTuple):
    """A cell before overlaps are resolved: an ellipse whose radius varies with the angle."""

    row: float
    column: float
    radius: float
    stretch: float
    angle: float
    waves: tuple[tuple[float, float], ...]


def draw_cells(
    seed: int, size: int = 256
) -> tuple[UInt8[np.ndarray, "1 height width"], Int32[np.ndarray, "height width"]]:
    """Draw an image of cells and its ground truth.

    Parameters
    ----------
    seed : int
        At least 0; the result is a function of seed and size.
    size : int
        Pixels per side, at least 64.

    Returns
    -------
    image : uint8 array (1, size, size)
    labels : int32 array (size, size)
        0 background, 1...N cells. Each cell is one connected component; most touch another one.

    Raises
    ------
    BadOption
        The size or the seed is too small.
    """
    if size < MIN_SIZE or seed < 0:
        raise BadOption(
            f"a size of at least {MIN_SIZE} and a seed of at least 0",
            f"size {size}, seed {seed}",
            "Raise them.",
        )
    rng = np.random.default_rng(seed)
    labels = _relabel(_rasterise(_place_cells(rng, size), size))
    return _render(labels, rng), labels


def write_demo(folder: Path, train: int = 24, val: int = 6, test: int = 6, size: int = 256, seed: int = 0) -> None:
    """Write the demo set: `train`, `val` and `test`, each with `images/` (8 bit) and `masks/` (16 bit).

    Files of an earlier demo are replaced.

    Raises
    ------
    OutputFailed
        The folder contains other files, or cannot be written.
    """
    splits = {"train": train, "val": val, "test": test}
    names = {split: [f"cells_{number:02d}.png" for number in range(count)] for split, count in splits.items()}
    expected = {Path(split, kind, name) for split in names for kind in ("images", "masks") for name in names[split]}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.is_file() and path.relative_to(folder) not in expected:
            raise OutputFailed(
                "an empty folder for the demo set",
                f"the file {path.name} in it",
                "Choose another folder.",
                folder,
            )
    # one seed per image, independent of the number of images in other splits
    for index, split in enumerate(names):
        for number, name in enumerate(names[split]):
            image, labels = draw_cells((seed * len(splits) + index) * 100_000 + number, size)
            for kind in ("images", "masks"):
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
            write_image(folder / split / "images" / name, image)
            write_labels(folder / split / "masks" / name, labels)


def _place_cells(rng: np.random.Generator, size: int) -> list[_Outline]:
    """Draw outlines: clusters of cells that overlap slightly, at random free positions."""
    target = max(3, round(size * size / AREA_PER_CELL * rng.uniform(0.75, 1.2)))
    cells: list[_Outline] = []
    for _ in range(60 * target):
        if len(cells) == target:
            break
        radius = float(np.clip(rng.lognormal(np.log(12.5), 0.3), *RADII))
        if cells and rng.random() < 0.7:  # next to an earlier cell, so that they touch
            neighbour = cells[rng.integers(len(cells))]
            angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 0.98) * (neighbour.radius + radius)
            row, column = neighbour.row + gap * np.sin(angle), neighbour.column + gap * np.cos(angle)
        else:
            row, column = rng.uniform(-0.02 * size, 1.02 * size, 2)
        inside = -4 < row < size + 4 and -4 < column < size + 4
        free = all(np.hypot(row - c.row, column - c.column) > 0.78 * (radius + c.radius) for c in cells)
        if inside and free:
            waves = tuple((rng.normal(0, 0.07 / k), rng.uniform(0, 2 * np.pi)) for k in range(1, MAX_WAVES + 1))
            cells.append(_Outline(row, column, radius, rng.uniform(1.0, 1.45), rng.uniform(0, np.pi), waves))
    return cells


def _rasterise(cells: list[_Outline], size: int) -> Int32[np.ndarray, "size size"]:
    """Assign each pixel to the cell with the nearest centre, in units of the radius of the cell."""
    nearest = np.ones((size, size), np.float32)
    labels = np.zeros((size, size), np.int32)
    for number, cell in enumerate(cells, start=1):
        reach = int(1.8 * cell.radius) + 2
        top, left = max(0, int(cell.row) - reach), max(0, int(cell.column) - reach)
        bottom, right = min(size, int(cell.row) + reach), min(size, int(cell.column) + reach)
        rows, columns = np.ogrid[top:bottom, left:right]
        down, across = rows - cell.row, columns - cell.column
        along = (down * np.sin(cell.angle) + across * np.cos(cell.angle)) / np.sqrt(cell.stretch)
        beside = (down * np.cos(cell.angle) - across * np.sin(cell.angle)) * np.sqrt(cell.stretch)
        theta = np.arctan2(beside, along)
        radius = cell.radius * (1 + sum(a * np.cos(k * theta + p) for k, (a, p) in enumerate(cell.waves, 2)))
        distance = (np.hypot(along, beside) / radius).astype(np.float32)
        box = np.s_[top:bottom, left:right]
        closer = distance < nearest[box]
        nearest[box][closer] = distance[closer]
        labels[box][closer] = number
    return labels


def _relabel(labels: Int32[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Keep the largest connected component of each cell, drop those below 60 pixels, renumber 1...N."""
    relabelled = np.zeros_like(labels)
    count = 0
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        pieces = components(labels[box] == number)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        if sizes.max() >= 60:
            count += 1
            relabelled[box][pieces == sizes.argmax()] = count
    return relabelled


def _render(labels: Int32[np.ndarray, "height width"], rng: np.random.Generator) -> UInt8[np.ndarray, "1 height width"]:
    """Render the surface of the cells lit from one side."""
    size = labels.shape[0]
    inside = labels > 0
    seam = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        seam |= inside & (np.roll(labels, 1, axis) != labels) | inside & (np.roll(labels, -1, axis) != labels)
    seam[[0, -1]] = seam[:, [0, -1]] = False
    depth = np.asarray(ndimage.distance_transform_edt(inside & ~seam), np.float32)
    count = int(labels.max())
    # a dome that is steep at the border and flat inside, with granular texture
    dome = 7.0 * (1.0 - np.exp(-depth / 4.0))
    grains = _smooth_noise(rng, size, 1.3) * 0.55 + _smooth_noise(rng, size, 2.6) * 0.9
    strength = np.concatenate([[0.0], rng.uniform(0.7, 1.3, count)]).astype(np.float32)[labels]
    surface = ndimage.gaussian_filter(dome * strength + grains * np.where(inside, strength, 0.25), 0.8)
    angle = np.pi * 1.25 + rng.normal(0, 0.15)
    relief = np.sin(angle) * np.gradient(surface, axis=0) + np.cos(angle) * np.gradient(surface, axis=1)
    shade = np.concatenate([[0.0], rng.normal(0, 5.0, count)]).astype(np.float32)[labels]
    dark = ndimage.gaussian_filter(seam.astype(np.float32), 0.7)
    background = 122.0 + 16.0 * _smooth_noise(rng, size, size / 5) + 7.0 * _smooth_noise(rng, size, 9.0)
    image = background + 36.0 * relief + shade - 30.0 * dark + rng.normal(0, 6.5, labels.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)[None]


def _smooth_noise(rng: np.random.Generator, size: int, grain: float) -> Float32[np.ndarray, "size size"]:
    """Return Gaussian-filtered noise with sigma `grain` pixels, mean 0 and standard deviation 1."""
    # coarse noise is drawn at low resolution and enlarged: a wide filter is slow
    shrink = max(1, int(grain / 2))
    small = -(-size // shrink) + 2
    noise = ndimage.gaussian_filter(rng.standard_normal((small, small), np.float32), grain / shrink, mode="wrap")
    if shrink > 1:
        noise = ndimage.zoom(noise, shrink, order=1)
    noise = np.asarray(noise)[:size, :size]
    return (noise - noise.mean()) / noise.std()
