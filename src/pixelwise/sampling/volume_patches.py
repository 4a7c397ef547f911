"""Random training patches of volumes; see `patches` for images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pixelwise.geometry.tiles import mirror_indices
from pixelwise.sampling.augment import augment_intensities
from pixelwise.sampling.patches import PatchSampler
from pixelwise.sampling.volume_warp import (
    VolumeWarp,
    box_to_read,
    draw_volume_warp,
    positions,
    read_nearest,
    read_trilinear,
)


class VolumeSampler(PatchSampler):
    """Sampler of random patches from volumes in memory, as a pure function of (seed, step).

    Parameters and errors are those of `PatchSampler`, with volumes (channels, depth, height, width), targets and maps
    (depth, height, width), and `options` with `depth`. Volumes are read where a patch needs them.

    Examples
    --------
    >>> from pixelwise.sampling.augment import NO_AUGMENTATION
    >>> from pixelwise.sampling.normalise import Scale
    >>> from pixelwise.sampling.patches import PatchOptions
    >>> volume, target = np.zeros((1, 9, 20, 20)), np.zeros((9, 20, 20), np.uint8)
    >>> options = PatchOptions(depth=8, height=16, width=16, batch=2)
    >>> sampler = VolumeSampler([volume], [target], [Scale(np.ones(1), np.zeros(1))], options, NO_AUGMENTATION, 0)
    >>> sampler.batch(0).images.shape
    torch.Size([2, 1, 8, 16, 16])
    """

    axes = 3

    def _draw_patches(
        self, places: Sequence[tuple[int, tuple[int, ...]]], draws: Sequence[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        size, channels = self._options.size, self._images[0].shape[0]
        images = torch.empty(len(places), channels + len(self._maps), *size)
        targets = torch.empty(len(places), *size, dtype=torch.uint8)
        for index, ((case, corner), rng) in enumerate(zip(places, draws, strict=True)):
            warp = draw_volume_warp(size, rng, self._augmentation)
            images[index], targets[index] = self._read_patch(case, corner, warp)
            augment_intensities(images[index, :channels], rng, self._augmentation)
        return images, targets

    def _read_patch(self, case: int, corner: tuple[int, ...], warp: VolumeWarp) -> tuple[Tensor, Tensor]:
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
        image = self._scales[case].apply(self._images[case][(slice(None), *inside)])
        maps = [maps[case][inside][None].astype(np.float32) for maps in self._maps]
        values = np.concatenate([image, *maps]) if maps else image
        labels = np.ascontiguousarray(self._targets[case][inside])
        return torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(labels)
