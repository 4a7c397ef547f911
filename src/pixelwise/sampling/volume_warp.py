"""Random warps of volumes: rotation about three axes, scaling, elastic displacements and mirrored axes, read once.

As `warp` does for images, but from the volume itself instead of a window around the patch: a window with room for any
rotation would be many times as large as the patch, and mostly reflections of a small volume.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor
from torch.nn import functional

from pixelwise.sampling.augment import Augmentation
from pixelwise.sampling.warp import ELASTIC_POINTS, bicubic_weights

Box = tuple[tuple[int, int], ...]  # (start, stop) along each axis


@dataclass(frozen=True)
class VolumeWarp:
    """Map from the patch to the volume, both relative to the centre of the patch in (plane, row, column).

    Attributes
    ----------
    mirrored : (bool, bool, bool)
        Axes that are reversed.
    matrix : float64 array (3, 3)
        Patch to volume, including the mirrored axes.
    displacements : float64 array (3, points, points, points), optional
        Displacements of the coarse grid points along each axis, in voxels.
    exact : bool
        Mirrored axes alone: no interpolation.
    """

    mirrored: tuple[bool, bool, bool]
    matrix: Float64[np.ndarray, "3 3"]
    displacements: Float64[np.ndarray, "3 points points points"] | None
    exact: bool


def draw_volume_warp(size: tuple[int, ...], rng: np.random.Generator, options: Augmentation) -> VolumeWarp:
    """Draw the warp of one sample of `size`, (depth, height, width); see `Augmentation`."""
    uniform = rng.random(6)
    flags = (options.front_back, options.upside_down, options.flip)
    mirrored = tuple(bool(flag and value < 0.5) for flag, value in zip(flags, uniform[:3], strict=True))
    angles = np.zeros(3)
    if uniform[3] < options.rotation_share:
        angles = rng.uniform(-options.rotation, options.rotation, 3)
    scale = 1.0
    if uniform[4] < options.scale_share:
        scale = math.exp(rng.uniform(math.log(options.scale[0]), math.log(options.scale[1])))
    displacements = None
    if uniform[5] < options.elastic_share and options.elastic_sd > 0:
        spacing = (ELASTIC_POINTS - 1) * 10  # at most a tenth of the distance between points, so that nothing folds
        limits = np.array([min(options.elastic_sd, (side - 1) / spacing) for side in size])
        displacements = rng.standard_normal((3, *(ELASTIC_POINTS,) * 3)) * limits.reshape(3, 1, 1, 1)
    zoom = np.full(3, 1.0 / scale)
    coarse = options.coarse_axis
    if coarse is not None:
        angles[np.arange(3) != coarse] = 0.0
        zoom[coarse] = 1.0
        if displacements is not None:
            displacements[coarse] = 0.0
            displacements[:] = displacements.take([0], axis=coarse + 1)  # the same in every slice
    matrix = _rotation(angles) @ np.diag(zoom) @ np.diag([-1.0 if flag else 1.0 for flag in mirrored])
    exact = displacements is None and not angles.any() and scale == 1.0
    return VolumeWarp((mirrored[0], mirrored[1], mirrored[2]), matrix, displacements, exact=exact)


def _rotation(angles: Sequence[float] | np.ndarray) -> Float64[np.ndarray, "3 3"]:
    """Return the rotation about the first axis, then about the second and the third, by angles in degrees."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(angles).tolist()):
        one, two = (place for place in range(3) if place != axis)
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = math.cos(angle)
        turn[one, two], turn[two, one] = math.sin(angle), -math.sin(angle)
        result = turn @ result
    return result


def box_to_read(warp: VolumeWarp, corner: Sequence[int], size: Sequence[int], whole: Sequence[int]) -> Box:
    """Return the part of a volume of `whole` that a warped patch reads; beyond the volume it is reflected."""
    half = np.abs(warp.matrix) @ ((np.array(size) - 1) / 2)
    if warp.displacements is not None:
        half += np.abs(warp.displacements).reshape(3, -1).max(1) * 1.5  # cubic interpolation overshoots its points
    centre = np.array(corner) + (np.array(size) - 1) / 2
    low, high = np.floor(centre - half).astype(int) - 1, np.ceil(centre + half).astype(int) + 2
    box: list[tuple[int, int]] = []
    for start, stop, side in zip(low.tolist(), high.tolist(), whole, strict=True):
        # what is reflected is inside too: at least as much of the volume as the patch reaches beyond it
        beyond = max(0, -start, stop - side)
        first, last = min(max(0, start), max(0, side - 1 - beyond)), max(min(side, stop), min(side, beyond + 1))
        box.append((first, last))
    return tuple(box)


def positions(
    warp: VolumeWarp, centre: Sequence[float], size: tuple[int, ...], shape: Sequence[int]
) -> Float32[Tensor, "3 depth height width"]:
    """Return where each voxel of the patch is read, in an array of `shape`; `centre` is that of the patch in it."""
    read = torch.zeros(3, *size)
    for axis, side in enumerate(size):
        along = np.outer(warp.matrix[:, axis], np.arange(side) - (side - 1) / 2.0)
        if axis == 0:
            along += np.array(centre)[:, None]
        column = [3, 1, 1, 1]
        column[axis + 1] = side
        read += torch.from_numpy(along.astype(np.float32)).view(column)
    if warp.displacements is not None:
        points = torch.from_numpy(warp.displacements.astype(np.float32))
        read += torch.einsum("cijk,zi,yj,xk->czyx", points, *(bicubic_weights(side) for side in size))
    # reflected at the border, without repeating the edge, as often as needed
    last = torch.tensor(shape, dtype=torch.float32).view(3, 1, 1, 1) - 1.0
    period = (2.0 * last).clamp_(min=1.0)
    read = torch.remainder(read.abs_(), period)
    return torch.minimum(read, 2.0 * last - read).clamp_(min=0.0)


def read_trilinear(
    volume: Float32[Tensor, "channels depth height width"], read: Float32[Tensor, "3 rows columns planes"]
) -> Float32[Tensor, "channels rows columns planes"]:
    """Return the values at the positions, by trilinear interpolation."""
    scaled = [
        read[axis] * (2.0 / max(side - 1, 1)) - 1.0 if side > 1 else torch.zeros_like(read[axis])
        for axis, side in enumerate(volume.shape[1:])
    ]
    grid = torch.stack(scaled[::-1], dim=-1)[None]  # (x, y, z)
    return functional.grid_sample(volume[None], grid, "bilinear", "border", align_corners=True)[0]


def read_nearest(
    labels: UInt8[Tensor, "depth height width"], read: Float32[Tensor, "3 rows columns planes"]
) -> UInt8[Tensor, "rows columns planes"]:
    """Return the values at the nearest voxels."""
    planes, rows, columns = read.round().long()
    places = (planes * labels.shape[1] + rows) * labels.shape[2] + columns
    return labels.flatten()[places.flatten()].view(places.shape)
