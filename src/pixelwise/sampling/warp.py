"""Random warps: sampling positions of a patch in its window, and interpolation.

Affine positions are the sum of a function of the row and one of the column; elastic displacements add three products of
such functions. Both are as cheap as adding vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn import functional

ELASTIC_POINTS = 3  # coarse grid per axis, as in the U-Net paper (section 3.1)


@dataclass(frozen=True)
class Warp:
    """Map from the patch to the window, both relative to their centres in (row, column).

    Attributes
    ----------
    quarters : int
        Rotations by 90 degrees, 0 to 3.
    mirrored : bool
        Columns reversed before the rotation.
    matrix : float64 array (2, 2)
        Patch to window, including rotation and flip.
    displacements : float64 array (2, 3, 3), optional
        Row and column displacements of the coarse grid points, in window pixels.
    exact : bool
        Only a rotation by 90 degrees and a flip: no interpolation.
    """

    quarters: int
    mirrored: bool
    matrix: Float64[np.ndarray, "2 2"]
    displacements: Float64[np.ndarray, "2 points points"] | None
    exact: bool


def apply_exact(values: Tensor, warp: Warp, size: tuple[int, int]) -> Tensor:
    """Return the centre crop of (..., height, width), flipped and rotated."""
    height, width = size if warp.quarters % 2 == 0 else (size[1], size[0])
    top, left = (values.shape[-2] - height) // 2, (values.shape[-1] - width) // 2
    cut = values[..., top : top + height, left : left + width]
    if warp.mirrored:
        cut = cut.flip(-1)
    return torch.rot90(cut, warp.quarters, (-2, -1)) if warp.quarters else cut


def positions(
    warps: Sequence[Warp], window: tuple[int, ...], size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the window row and column of each patch pixel, (batch, *size) each."""
    centre = (np.array(window, float) - 1.0) / 2.0
    matrices = np.stack([warp.matrix for warp in warps])
    along_rows = np.arange(size[0]) - (size[0] - 1) / 2.0
    along_columns = np.arange(size[1]) - (size[1] - 1) / 2.0
    by_row = matrices[:, :, :1] * along_rows + centre[:, None]
    by_column = matrices[:, :, 1:] * along_columns
    read = (
        torch.from_numpy(by_row.astype(np.float32)).to(device)[..., None]
        + torch.from_numpy(by_column.astype(np.float32)).to(device)[..., None, :]
    )
    for i, warp in enumerate(warps):
        if warp.displacements is not None:
            displacements = torch.from_numpy(warp.displacements.astype(np.float32)).to(device)
            row_weights, column_weights = (bicubic_weights(n).to(device) for n in size)
            read[i] += row_weights @ displacements @ column_weights.T
    # reflected at the border, without repeating the edge; far outside (never with `window_size`) the edge
    last = torch.tensor(window, dtype=torch.float32, device=device).view(1, 2, 1, 1) - 1.0
    read.abs_().sub_(last).abs_().neg_().add_(last).clamp_(min=0.0)
    return read[:, 0], read[:, 1]


@lru_cache(maxsize=16)
def bicubic_weights(length: int) -> Tensor:
    """Return (length, 3): the weight of each coarse point at each pixel; the outer points are on the edge."""
    points = torch.eye(ELASTIC_POINTS)[None, :, :, None]
    weights = functional.interpolate(points, size=(length, 1), mode="bicubic", align_corners=True)
    return weights[0, :, :, 0].T.contiguous()


def read_bilinear(windows: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the values of (batch, channels, height, width) at the positions, by bilinear interpolation."""
    height, width = windows.shape[2:]
    grid = torch.stack([columns * (2.0 / max(width - 1, 1)) - 1.0, rows * (2.0 / max(height - 1, 1)) - 1.0], dim=1)
    # the planar layout (x separate from y) is as fast for torch as the usual one, and cheaper to fill
    return functional.grid_sample(windows, grid.permute(0, 2, 3, 1), "bilinear", "border", align_corners=True)


def read_nearest(labels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the values of (batch, height, width) at the nearest pixels; indexing is faster than `grid_sample`."""
    places = rows.round().long().mul_(labels.shape[2]).add_(columns.round().long())
    return labels.flatten(1).gather(1, places.flatten(1)).view(places.shape)
