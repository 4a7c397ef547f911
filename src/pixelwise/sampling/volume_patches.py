"""Random training patches of volumes; see `patches` for images."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import mirror_indices
from pixelwise.sampling.augment import Augmentation, augment_intensities
from pixelwise.sampling.normalise import Scale
from pixelwise.sampling.patch_locations import LocationSampler, PatchLocation
from pixelwise.sampling.patches import PatchOptions, check_data
from pixelwise.sampling.volume_warp import (
    VolumeWarp,
    box_to_read,
    draw_volume_warp,
    positions,
    read_nearest,
    read_trilinear,
)
from pixelwise.training.batch import Batch


class VolumeSampler:
    """Sampler of random patches from volumes in memory, as a pure function of (seed, step), like `PatchSampler`.

    Parameters
    ----------
    volumes : sequence of arrays (channels, depth, height, width)
        In any dtype; read where a patch needs them, never copied.
    targets : sequence of uint8 arrays (depth, height, width)
        Class maps; IGNORE (255) is not a class.
    scales : sequence of Scale
        Normalisation of each volume.
    options : PatchOptions
        With `depth`.
    augmentation : Augmentation
    seed : int
        At least 0.
    margin : int
        Border per side that valid convolutions remove from a patch.
    weights, distances : sequences of float arrays (depth, height, width)
        As for `PatchSampler`.

    Raises
    ------
    BadOption
        There are no volumes, lengths or sizes differ, `options` have no depth, or the seed is negative.

    Examples
    --------
    >>> from pixelwise.sampling.augment import NO_AUGMENTATION
    >>> volume, target = np.zeros((1, 9, 20, 20)), np.zeros((9, 20, 20), np.uint8)
    >>> options = PatchOptions(depth=8, height=16, width=16, batch=2)
    >>> sampler = VolumeSampler([volume], [target], [Scale(np.ones(1), np.zeros(1))], options, NO_AUGMENTATION, 0)
    >>> sampler.batch(0).images.shape
    torch.Size([2, 1, 8, 16, 16])
    """

    def __init__(
        self,
        volumes: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        scales: Sequence[Scale],
        options: PatchOptions,
        augmentation: Augmentation,
        seed: int,
        *,
        margin: int = 0,
        weights: Sequence[np.ndarray] = (),
        distances: Sequence[np.ndarray] = (),
    ) -> None:
        check_data(volumes, targets, scales, seed, {"weight map": weights, "distance map": distances}, axes=3)
        if not options.depth:
            raise BadOption("patches.depth above 0 for volumes", "0", "Set the number of slices of a patch.")
        self._volumes, self._targets, self._scales = tuple(volumes), tuple(targets), tuple(scales)
        self._options, self._augmentation = options, augmentation
        self._maps = tuple(tuple(maps) for maps in (weights, distances) if maps)
        self._weighted, self._distant = bool(weights), bool(distances)
        self._locations = LocationSampler(self._targets, seed, margin)

    @property
    def options(self) -> PatchOptions:
        """Size and number of patches."""
        return self._options

    def with_options(self, options: PatchOptions) -> "VolumeSampler":
        """Return a sampler of the same volumes with another patch size or batch size."""
        other = copy(self)
        other._options = options
        return other

    def batch(self, step: int) -> Batch:
        """Draw the patches of one step."""
        options, size = self._options, self._options.size
        channels = self._volumes[0].shape[0]
        images = torch.empty(options.batch, channels + len(self._maps), *size)
        targets = torch.empty(options.batch, *size, dtype=torch.uint8)
        samples: list[PatchLocation] = []
        forced_from = options.batch - round(options.foreground_share * options.batch)
        for place in range(options.batch):
            rng = self._locations.generator(step, place)
            case, corner = self._locations.draw(rng, size, forced=place >= forced_from)
            samples.append(PatchLocation(step * options.batch + place, case, corner[1], corner[2], corner[0]))
            warp = draw_volume_warp(size, rng, self._augmentation)
            images[place], targets[place] = self._read(case, corner, warp)
            augment_intensities(images[place, :channels], rng, self._augmentation)
        weights = images[:, channels] if self._weighted else None
        distances = images[:, -1] if self._distant else None
        return Batch(images[:, :channels], targets, weights, distances, tuple(samples))

    def _read(self, case: int, corner: tuple[int, ...], warp: VolumeWarp) -> tuple[Tensor, Tensor]:
        """Return a patch (channels and maps, *size) and its labels (*size)."""
        size, target = self._options.size, self._targets[case]
        if warp.exact:
            return self._read_mirrored(case, corner, warp)
        box = box_to_read(warp, corner, size, target.shape)
        values, labels = self._crop(case, box)
        centre = [first + (side - 1) / 2 - start for first, side, (start, _) in zip(corner, size, box, strict=True)]
        read = positions(warp, centre, size, labels.shape)
        return read_trilinear(values, read), read_nearest(labels, read)

    def _read_mirrored(self, case: int, corner: tuple[int, ...], warp: VolumeWarp) -> tuple[Tensor, Tensor]:
        """Return a patch without interpolation."""
        indices = [
            mirror_indices(first, first + side, whole)
            for first, side, whole in zip(corner, self._options.size, self._targets[case].shape, strict=True)
        ]
        box = tuple((int(along.min()), int(along.max()) + 1) for along in indices)
        values, labels = self._crop(case, box)
        for axis, (along, (start, _), mirrored) in enumerate(zip(indices, box, warp.mirrored, strict=True)):
            places = torch.from_numpy(along - start)
            places = places.flip(0) if mirrored else places
            values, labels = values.index_select(axis + 1, places), labels.index_select(axis, places)
        return values, labels

    def _crop(self, case: int, box: tuple[tuple[int, int], ...]) -> tuple[Tensor, Tensor]:
        """Return a part of a normalised volume with its maps, (channels and maps, *size), and its labels."""
        inside = tuple(slice(*span) for span in box)
        image = self._scales[case].apply(self._volumes[case][(slice(None), *inside)])
        maps = [maps[case][inside][None].astype(np.float32) for maps in self._maps]
        values = np.concatenate([image, *maps]) if maps else image
        labels = np.ascontiguousarray(self._targets[case][inside])
        return torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(labels)
