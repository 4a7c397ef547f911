"""Tiles that are not exact on purpose: the smallest halo whose error, measured on the user's images, is tolerated.

An exact halo covers everything that an output pixel may depend on; what it does depend on is mostly nearer. The error
is measured, not estimated: the logits of tiles spread over the images, with the exact halo and with smaller ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.predictor import Job, Predictor, read_mirrored
from pixelwise.text import pluralise

TILES = 12  # that are measured, spread over the images


@dataclass(frozen=True)
class HaloChoice:
    """A halo and what it costs.

    Attributes
    ----------
    geometry : Geometry
        With the halo that was chosen.
    exact : int
        The halo that makes tiles exact.
    difference : float
        Largest difference of a logit, over all measured tiles.
    changed : float
        Share of the measured pixels whose most probable class differs.
    tiles : int
        How many tiles were measured; 0 where no image has seams.
    """

    geometry: Geometry
    exact: int
    difference: float
    changed: float
    tiles: int

    def __str__(self) -> str:
        """Say it in one sentence."""
        if not self.tiles:
            return "No halo was measured: every image is one tile, which is exact."
        return (
            f"Tiles read a halo of {self.geometry.halo} pixels in the place of {self.exact}: "
            f"on {pluralise(self.tiles, 'tile')} "
            f"logits differ by at most {self.difference:.2g}, and the class of {self.changed:.2g} of the pixels."
        )


def smallest_halo(predictor: Predictor, jobs: Sequence[Job], tolerance: float) -> HaloChoice:
    """Find the smallest halo whose largest difference of a logit stays under `tolerance`.

    Parameters
    ----------
    predictor : Predictor
    jobs : sequence of Job
        The images that will be predicted, or some of them.
    tolerance : float
        In units of the logits; at least 0, which allows no difference beyond rounding of the same computation.

    Raises
    ------
    BadOption
        A negative tolerance, or a network for which there is no exact halo to compare with.
    """
    geometry = predictor.geometry
    if not tolerance >= 0:
        raise BadOption("a tolerance of 0 or more", f"{tolerance}", "0.01 changes hardly a pixel.")
    if not geometry.exact or geometry.margin:
        got = "valid convolutions" if geometry.margin else "a network that looks at the whole image"
        raise BadOption("a padded network without whole-image layers for --tolerance", got, "Leave it out.")
    predictor = predictor.with_core(predictor.core)  # the same tiles for every halo
    measured = list(_tiles(predictor, jobs))
    exact = [_logits(predictor, job, number, geometry) for job, number in measured]
    halo, difference, changed = geometry.halo, 0.0, 0.0
    for smaller in range(0, geometry.halo if measured else 0, geometry.total_stride):
        tried = replace(geometry, halo=smaller)
        difference, changed = _compare(predictor, measured, exact, tried, tolerance)
        if difference <= tolerance:
            halo = smaller
            break
    else:
        difference, changed = 0.0, 0.0
    return HaloChoice(replace(geometry, halo=halo), geometry.halo, difference, changed, len(measured))


def with_geometry(predictor: Predictor, geometry: Geometry) -> Predictor:
    """Return the same predictor with another geometry."""
    runtime, classes, core = predictor.runtime, predictor.classes, predictor.core
    symmetries, batch, room = predictor.symmetries, predictor.batch, predictor.room
    return Predictor(runtime, geometry, classes, core, symmetries, batch=batch, room=room)


def _compare(
    predictor: Predictor,
    measured: Sequence[tuple[Job, int]],
    exact: Sequence[np.ndarray],
    geometry: Geometry,
    tolerance: float,
) -> tuple[float, float]:
    """Return largest difference and share of changed classes; stops at the first tile beyond the tolerance."""
    largest, changed, pixels = 0.0, 0, 0
    for (job, number), wanted in zip(measured, exact, strict=True):
        found = _logits(predictor, job, number, geometry)
        largest = max(largest, float(np.abs(found - wanted).max()))
        if largest > tolerance:
            break
        changed += int((found.argmax(0) != wanted.argmax(0)).sum())
        pixels += found[0].size
    return largest, changed / max(1, pixels)


def _tiles(predictor: Predictor, jobs: Sequence[Job]) -> Iterator[tuple[Job, int]]:
    """Choose tiles with seams, spread evenly over all that there are."""
    there: list[tuple[Job, int]] = []
    for job in jobs:
        count = predictor.count(job.source.shape[1:])
        there += [(job, number) for number in range(count)] if count > 1 else []
    for place in np.unique(np.linspace(0, len(there) - 1, min(TILES, len(there))).astype(int)).tolist():
        yield there[place]


def _logits(predictor: Predictor, job: Job, number: int, geometry: Geometry) -> np.ndarray:
    """Return what a tile keeps, (classes, rows, columns)."""
    tile = tile_grid(job.source.shape[1:], predictor.core, geometry)[number]
    window = job.scale.apply(read_mirrored(job.source, tile.read))
    (top, bottom), (left, right) = tile.keep
    return predictor.runtime(np.ascontiguousarray(window)[None])[0][:, top:bottom, left:right]
