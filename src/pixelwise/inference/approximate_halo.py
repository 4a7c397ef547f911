"""Approximate tiling: the smallest halo whose seam error on the given images is within a tolerance.

An exact halo covers the whole receptive field, but most of the influence comes from nearby pixels. The seam error is
measured by comparing the logits of tiles spread over the images, with the exact halo and with smaller ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.tile_reading import Job, read_mirrored
from pixelwise.text import pluralise

MAX_TILES = 12  # tiles that are compared, spread over the images


@dataclass(frozen=True)
class HaloChoice:
    """A halo and its seam error.

    Attributes
    ----------
    geometry : Geometry
        With the chosen halo.
    exact : int
        The exact halo.
    difference : float
        Largest difference of a logit over all compared tiles.
    changed : float
        Fraction of the compared pixels whose most probable class differs.
    tiles : int
        Number of compared tiles; 0 if no image has seams.
    """

    geometry: Geometry
    exact: int
    difference: float
    changed: float
    tiles: int

    def __str__(self) -> str:
        """Return the choice in one sentence."""
        if not self.tiles:
            return "The halo was not reduced: every image is a single tile, which is exact."
        return (
            f"Tiles have a halo of {self.geometry.halo} pixels instead of {self.exact}: "
            f"on {pluralise(self.tiles, 'tile')} logits differ by at most {self.difference:.2g}, "
            f"and a fraction of {self.changed:.2g} of the pixels changes class."
        )


def smallest_halo(predictor: Predictor, jobs: Sequence[Job], tolerance: float) -> HaloChoice:
    """Return the smallest halo whose seam error is at most `tolerance`.

    Parameters
    ----------
    jobs : sequence of Job
        The images to predict, or some of them.
    tolerance : float
        Largest difference of a logit; at least 0.

    Raises
    ------
    BadOption
        The tolerance is negative, or the network has no exact halo.
    """
    geometry = predictor.geometry
    if not tolerance >= 0:
        raise BadOption("a tolerance of 0 or more", f"{tolerance}", "Try 0.01, which changes almost no pixel.")
    if not geometry.exact or geometry.margin:
        got = "valid convolutions" if geometry.margin else "a network with whole-image layers"
        raise BadOption("a padded network without whole-image layers for --tolerance", got, "Leave it out.")
    predictor = predictor.with_core(predictor.core)  # the same tiles for every halo
    tiles = list(_select_tiles(predictor, jobs))
    exact = [_tile_logits(predictor, job, number, geometry) for job, number in tiles]
    halo, difference, changed = geometry.halo, 0.0, 0.0
    for smaller in range(0, geometry.halo if tiles else 0, geometry.total_stride):
        difference, changed = _seam_error(predictor, tiles, exact, replace(geometry, halo=smaller), tolerance)
        if difference <= tolerance:
            halo = smaller
            break
    else:
        difference, changed = 0.0, 0.0
    return HaloChoice(replace(geometry, halo=halo), geometry.halo, difference, changed, len(tiles))


def _seam_error(
    predictor: Predictor,
    tiles: Sequence[tuple[Job, int]],
    exact: Sequence[np.ndarray],
    geometry: Geometry,
    tolerance: float,
) -> tuple[float, float]:
    """Return the largest difference and the fraction of changed classes; stop at the first tile above the tolerance."""
    largest, changed, pixels = 0.0, 0, 0
    for (job, number), expected in zip(tiles, exact, strict=True):
        logits = _tile_logits(predictor, job, number, geometry)
        largest = max(largest, float(np.abs(logits - expected).max()))
        if largest > tolerance:
            break
        changed += int((logits.argmax(0) != expected.argmax(0)).sum())
        pixels += logits[0].size
    return largest, changed / max(1, pixels)


def _select_tiles(predictor: Predictor, jobs: Sequence[Job]) -> Iterator[tuple[Job, int]]:
    """Yield tiles with seams, spread evenly over all of them."""
    tiles: list[tuple[Job, int]] = []
    for job in jobs:
        count = predictor.count(job.source.shape[1:])
        tiles += [(job, number) for number in range(count)] if count > 1 else []
    for index in np.unique(np.linspace(0, len(tiles) - 1, min(MAX_TILES, len(tiles))).astype(int)).tolist():
        yield tiles[index]


def _tile_logits(predictor: Predictor, job: Job, number: int, geometry: Geometry) -> np.ndarray:
    """Return the logits of the valid region of a tile, (classes, rows, columns)."""
    tile = tile_grid(job.source.shape[1:], predictor.core, geometry)[number]
    window = job.scale.apply(read_mirrored(job.source, tile.read))
    (top, bottom), (left, right) = tile.keep
    return predictor.runtime(np.ascontiguousarray(window)[None])[0][:, top:bottom, left:right]
