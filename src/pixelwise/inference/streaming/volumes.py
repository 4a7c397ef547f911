"""Streamed prediction of volumes of any size into OME-Zarr: reading, inference and writing in bounded memory.

As for images (`streaming`), a killed process is resumed by the next one with the same inputs, and the result is
identical byte for byte to that of an uninterrupted process.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.errors import BadImage
from pixelwise.geometry.grid import millimetres_of
from pixelwise.geometry.tile_shape import fit_tile, shrink_tile
from pixelwise.geometry.tiles import Side, per_axis
from pixelwise.inference.arrays import check_axes, warn_of_scale
from pixelwise.inference.cut_plan import CutPlan
from pixelwise.inference.memory import MIB, tile_budget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.spacing_change import find_spacing_change
from pixelwise.inference.streaming.instances import StoredLabels, StoredPixels
from pixelwise.inference.streaming.resampled_volume import MAX_WORK, ResampledTiles, ResampledVolume, Window, plan_tiles
from pixelwise.inference.streaming.state import resumable, store_scale, stored_scale, stream_identity
from pixelwise.inference.streaming.tiles import choose_exact, compute_windows, decider, with_measured_statistics
from pixelwise.inference.streaming.volume_objects import finish_volume
from pixelwise.inference.tile_reading import Job
from pixelwise.inference.whole_image import Tiling
from pixelwise.io.volumes.label_tiles import VolumeTiles
from pixelwise.io.volumes.windows import VolumeReader
from pixelwise.io.volumes.zarr_levels import write_zarr_levels
from pixelwise.labels.volume_properties import VolumeTable, class_voxels, measure_volumes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Scale, intensity_scale, mean_and_std_of, scale_of
from pixelwise.text import pluralise

_VERSION = 1  # of the journal
MEMORY = 500 * MIB  # for the activations of a tile, or the maps and a tile of a cut network
_FILE_TILES = (256, 128, 64, 32)  # sides of the tiles of a plane in the file
_WINDOWS = (128, 96, 64, 32)  # sides of the windows of a cut network, multiples of the smallest file tile
_SLAB = 1 << 22  # voxels that are read at once
_SAMPLE = 48  # voxels along each axis of the subsampled volume
Decide = Callable[[np.ndarray], np.ndarray]  # logits -> numbers


@dataclass(frozen=True)
class VolumeStreamResult:
    """The result folder, the numbers of computed and of resumed tiles, and what was found.

    `voxels` has the number of voxels of each class, or of the background and of all objects; `objects` is measured in
    voxels, and None for masks.
    """

    path: Path
    computed: int
    resumed: int
    voxels: tuple[int, ...]
    objects: VolumeTable | None


def stream_volume(
    model_card: ModelCard,
    predictor: Predictor,
    source: VolumeReader,
    path: Path,
    *,
    identity: str,
    progress: Progress,
    memory: int = MEMORY,
    observe: Callable[[np.ndarray], None] | None = None,
) -> VolumeStreamResult:
    """Predict the mask or label volume of a volume of any size, as OME-Zarr.

    Parameters
    ----------
    path : Path
        Of the result, a folder.
    identity : str
        Identifies the model and the volume; only a journal with the same identity is resumed.
    memory : int
        Bytes for the activations of a tile.
    observe : callable, optional
        Receives the finished labels in slabs of planes, from the first.

    Raises
    ------
    BadImage
        The volume is damaged, has invalid values, or another spacing than a model without exact tiles.
    OutputFailed
        The result cannot be written, the disk is full, or another process is writing it.
    """
    check_axes(len(source.shape) - 1, model_card.network.dimensions, source.shape)
    size = source.shape[1:]
    dtype, decide = decider(model_card.target)
    work = _divide(model_card, predictor, source, memory)
    final = model_card.target.kind == "classes" and not any(model_card.target.class_areas)
    final = final and not model_card.target.split_depth
    tiles = VolumeTiles(
        path.with_name(f"{path.name}.decided"),
        size,
        dtype,
        tile=_file_tile(work.side, size),
        identity=work.identity(model_card, size, identity),
    )
    with resumable(tiles):
        scale = _scale(model_card, work.source, tiles, progress)
        work = work.with_statistics(Job(work.source, scale), tiles, progress)
        sides = " x ".join(str(length) for length in per_axis(work.side, 3))
        progress.message(f"{pluralise(len(work.windows), 'tile')} of {sides} voxels.")
        progress.message(*([] if work.tiling is None else [str(work.tiling)]))
        job = Job(work.source, scale, tiles.done)
        computed, resumed = work.compute(job, tiles.write, decide, progress)
        result, count = (tiles, 0) if final else finish_volume(tiles, model_card.target, path, progress)
        _write(model_card, result, path, source)
        labels, table = StoredLabels(result.shape, result.dtype, count, result.read), None
        planes = max(1, _SLAB // math.prod(size[1:]))
        if observe is not None:
            for first in range(0, size[0], planes):
                observe(labels[first : min(size[0], first + planes)])
        if model_card.target.kind == "classes":
            voxels = class_voxels(labels, len(model_card.classes)).tolist()
        else:
            table = measure_volumes(labels, image=StoredPixels(source.shape, source.read))
            found = int(table.voxels.sum())
            voxels = [math.prod(size) - found, found]
        for file in (result, tiles):
            file.discard()
    return VolumeStreamResult(path, computed, resumed, tuple(voxels), table)


@dataclass(frozen=True)
class _Work:
    """What is computed: the volume at the spacing of the model, its tiles and their sides."""

    source: VolumeReader
    predictor: Predictor
    side: Side
    tiling: Tiling | None
    resampled: ResampledTiles | None

    def identity(self, model_card: ModelCard, size: tuple[int, ...], given: str) -> str:
        """Return a digest of everything that the tiles depend on."""
        more: dict[str, Any] = {"version": _VERSION, "given": given, "side": self.side}
        if self.resampled is not None:
            return stream_identity(model_card, self.predictor, self.source, None, **more, size=size)
        return stream_identity(model_card, self.predictor, self.source, self.predictor.plan(size), **more)

    def with_statistics(self, job: Job, tiles: VolumeTiles, progress: Progress) -> "_Work":
        """Return the work with the statistics of the volume, if the network has whole-image layers."""
        predictor = with_measured_statistics(self.predictor, job, tiles, progress)
        resampled = None if self.resampled is None else replace(self.resampled, predictor=predictor)
        return replace(self, predictor=predictor, resampled=resampled)

    @property
    def windows(self) -> Sequence[Window]:
        """The tiles of the volume, in the order in which they are computed."""
        return self.predictor.windows(self.source.shape[1:]) if self.resampled is None else self.resampled.windows

    def compute(
        self, job: Job, write: Callable[[Any, np.ndarray], None], decide: Decide, progress: Progress
    ) -> tuple[int, int]:
        """Predict what is missing; return the numbers of computed and of resumed tiles."""
        if self.resampled is not None:
            return self.resampled.compute(job, write, decide, progress)
        resumed = sum(window in job.done for window in self.windows)
        return compute_windows(self.predictor, job, write, decide, progress, resumed), resumed


def _divide(model_card: ModelCard, predictor: Predictor, source: VolumeReader, memory: int) -> _Work:
    """Divide a volume into tiles that fit into the memory, at the spacing of the model.

    Raises
    ------
    BadImage
        The volume has another spacing than a network whose tiles are blended, or have a halo of many times their size.
    """
    spacing = millimetres_of(source.grid)
    change = find_spacing_change(source.shape[1:], spacing, model_card.spacing)
    source = source if change is None else ResampledVolume(source, change)
    size = source.shape[1:]
    tiling, exact = predictor.tiling(size, memory), choose_exact(predictor, size, memory)
    if change is None:
        tiled, side = _with_tiles(exact, size, memory)
        return _Work(source, tiled, side, tiling, None)
    tile_voxel = (exact.memory_budget or tile_budget(model_card.network.base, 3)).tile_pixel
    resampled = plan_tiles(exact, change, memory // tile_voxel, multiple=(1, _FILE_TILES[-1], _FILE_TILES[-1]))
    is_exact = exact.geometry.exact or exact.needs_statistics
    if not is_exact or resampled.work > MAX_WORK:
        trained, got = (" x ".join(f"{side:g}" for side in sides or ()) for sides in (model_card.spacing, spacing))
        why = f"would read {resampled.work:.0f} times the volume" if is_exact else "are blended at its own spacing"
        hint = f"Resample it, for example with SimpleITK: tiles of this network {why}."
        raise BadImage(f"a large volume with the spacing of the model, {trained} mm", f"{got} mm", hint)
    return _Work(source, exact, resampled.side, tiling, resampled)


def _with_tiles(predictor: Predictor, size: tuple[int, ...], memory: int) -> tuple[Predictor, Side]:
    """Return the predictor with tiles, or cuts, that fit into the memory, and the side of its windows."""
    smallest = _FILE_TILES[-1]
    if predictor.memory_budget is None:  # the user chose the tiles
        sides = zip(per_axis(predictor.core, 3), size, strict=True)
        core = tuple(side if side >= length else -(-side // smallest) * smallest for side, length in sides)
        return predictor.with_core(core), core
    cut = _cut(predictor, size, memory)
    if cut is not None:
        return cut
    voxels = memory // predictor.memory_budget.tile_pixel
    if predictor.geometry.exact:
        core = fit_tile(size, predictor.geometry, voxels, multiple=(1, smallest, smallest))
    else:
        shrunk = shrink_tile(size, predictor.geometry, voxels, predictor.core)
        multiples = zip((1, smallest, smallest), range(3), strict=True)
        steps = (math.lcm(multiple, predictor.geometry.along(axis).total_stride) for multiple, axis in multiples)
        sides = zip(shrunk, steps, size, strict=True)
        core = tuple(length if side >= length else max(step, side // step * step) for side, step, length in sides)
    return predictor.with_core(core), core


def _cut(predictor: Predictor, size: tuple[int, ...], memory: int) -> tuple[Predictor, int] | None:
    """Return the predictor with the windows of the cheapest cuts and their side, or None without cuts."""
    best: tuple[CutPlan, Predictor, int] | None = None
    for window in _WINDOWS:
        if window % predictor.geometry.total_stride:
            continue
        cut = predictor.with_window(window, memory)
        plan = cut.plan(size)
        if plan is not None and (best is None or plan.work < best[0].work):
            best = plan, cut, window
    return None if best is None else (best[1], best[2])


def _file_tile(side: Side, size: tuple[int, ...]) -> int:
    """Return the largest side of the file's tiles that divides rows and columns of the windows."""
    inner = [length for length, whole in zip(per_axis(side, 3)[1:], size[1:], strict=True) if length < whole]
    return next((tile for tile in _FILE_TILES if all(length % tile == 0 for length in inner)), _FILE_TILES[-1])


def _scale(model_card: ModelCard, source: VolumeReader, tiles: VolumeTiles, progress: Progress) -> Scale:
    """Return the intensity scale, from the journal or from a pass over the volume."""
    stored = stored_scale(tiles, model_card)
    if stored is not None:
        return stored
    samples: list[np.ndarray] = []
    channels, normalisation = source.shape[0], model_card.normalisation
    with progress.bar("measuring intensities", source.shape[1]) as advance:
        blocks = _slabs(source, samples, lambda planes: advance(planes, ""))
        if normalisation.kind == "image":
            scale = scale_of(*mean_and_std_of(blocks, channels), source.dtype)
        else:
            scale = intensity_scale(np.empty((channels, 0, 0, 0), source.dtype), normalisation)
            next(blocks, None)
    sample = np.concatenate(samples, axis=1)
    progress.message(*warn_of_scale(sample, model_card.intensity_range, model_card.intensity_peaks))
    store_scale(tiles, scale)
    return scale


def _slabs(source: VolumeReader, samples: list[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    """Yield all voxels from the first plane to the last, and append a subsampled copy to `samples`."""
    _, depth, height, width = source.shape
    deep, down, across = (max(1, side // _SAMPLE) for side in (depth, height, width))
    planes = max(1, _SLAB // (height * width))
    for first in range(0, depth, planes):
        last = min(depth, first + planes)
        block = source.read((first, last), (0, height), (0, width))
        samples.append(block[:, -first % deep :: deep, ::down, ::across].copy())
        yield block
        advance(last - first)


def _write(model_card: ModelCard, result: VolumeTiles, path: Path, source: VolumeReader) -> None:
    masks = model_card.target.kind == "classes"
    write_zarr_levels(
        path,
        result.shape,
        result.dtype,
        result.read,
        grid=source.grid,
        palette=model_card.colours if masks else (),
        names=model_card.classes if masks else (),
    )
