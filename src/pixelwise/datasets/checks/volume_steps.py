"""The steps of a fix for label volumes: turned axes, moved voxels, and labels taken onto the grid of their volume."""

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
from jaxtyping import Num, Shaped
from scipy import ndimage

from pixelwise.datasets.checks.finding import Step
from pixelwise.geometry.grid import Grid, Turn
from pixelwise.geometry.symmetries import Symmetry

_PROBE = np.arange(24).reshape(2, 3, 4)  # its rotations all differ
_TURNS = tuple(Turn(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3))
_ORDERS = ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1))  # as they are, and with two axes exchanged
_LAST = (0.0, 0.0, 0.0, 1.0)  # row of an affine matrix
_EDGES = 20_000  # voxels of a boundary that are compared, evenly chosen


def apply_volume_steps(
    labels: Shaped[np.ndarray, "depth height width"], steps: Sequence[Step], fill: int = 0
) -> Shaped[np.ndarray, "new_depth new_height new_width"]:
    """Return the labels of a volume after the steps that change voxels; the others are ignored.

    Parameters
    ----------
    labels : (depth, height, width) integers or bool
    fill : int
        Value of voxels that a shift or another grid uncovers.

    Examples
    --------
    >>> labels = np.zeros((2, 3, 4), int)
    >>> labels[0, 0, 0] = 1
    >>> moved = apply_volume_steps(labels, [Step(action="shift", offset=(1, 0, 2))])
    >>> np.argwhere(moved).tolist()
    [[1, 0, 2]]
    """
    for step in steps:
        if step.action == "shift":
            labels = move_voxels(labels, step.offset, fill)
        elif step.action == "turn" and step.turn is not None:
            labels = step.turn.apply(labels)
        elif step.action == "resample":
            values = labels.astype(np.uint8) if labels.dtype == bool else labels
            matrix, size = np.vstack([step.matrix, _LAST]), step.size
            nearest = ndimage.affine_transform(
                values, matrix, output_shape=size, order=0, mode="grid-constant", cval=fill
            )
            labels = nearest.astype(labels.dtype)
        elif step.action == "replace values":
            before, labels = labels, labels.copy()
            for old, new in step.values:
                labels[before == old] = new
    return np.ascontiguousarray(labels)


def move_voxels(
    values: Shaped[np.ndarray, "depth height width"], offset: Sequence[int], fill: int = 0
) -> Shaped[np.ndarray, "depth height width"]:
    """Move a volume by whole voxels along its axes; what comes from outside is `fill`."""
    moved = np.full_like(values, fill)
    pairs = tuple(zip(offset, values.shape, strict=True))
    if all(abs(step) < side for step, side in pairs):
        target = tuple(slice(max(step, 0), side + min(step, 0)) for step, side in pairs)
        source = tuple(slice(max(-step, 0), side + min(-step, 0)) for step, side in pairs)
        moved[target] = values[source]
    return moved


def step_in_planes(action: str, axis: int, *, offset: Sequence[int] = (), symmetry: Symmetry | None = None) -> Step:
    """Return a shift or a symmetry of the planes across an axis as a step of the volume.

    Examples
    --------
    >>> step_in_planes("shift", 1, offset=(3, -2)).offset
    (3, 0, -2)
    >>> step_in_planes("symmetry", 0, symmetry=Symmetry(0, mirrored=True)).turn
    Turn(order=(0, 1, 2), flips=(False, False, True))
    """
    if action == "shift":
        return Step(action="shift", offset=(*offset[:axis], 0, *offset[axis:]))
    planes = np.moveaxis(_PROBE, axis, 0)
    return Step(action="turn", turn=_turn_to(planes if symmetry is None else symmetry.apply(planes), axis))


def steps_to_stored_order(
    image: Grid, size: Sequence[int], mask: Grid, size_of_mask: Sequence[int]
) -> list[tuple[Step, bool]]:
    """Return the steps after which labels lie voxel by voxel on the volume as both are stored, whatever their headers.

    Parameters
    ----------
    image, mask : Grid
        As stored; the labels of the mask were turned to the standard axes.
    size, size_of_mask : (int, int, int)
        As stored.

    Returns
    -------
    list of (Step, bool)
        One for each order of the axes of the mask in which the sizes agree, of those that exchange two at most; with
        whether two are exchanged.
    """
    stored = mask.turn.undo(_PROBE)
    fitting = [order for order in _ORDERS if tuple(size_of_mask[axis] for axis in order) == tuple(size)]
    return [
        (Step(action="turn", turn=_turn_to(image.turn.apply(stored.transpose(order)), 0)), order != _ORDERS[0])
        for order in fitting
    ]


def resample_step(image: Grid, size: tuple[int, ...], mask: Grid) -> Step:
    """Return the step that takes labels from one grid to another by the nearest voxel.

    Parameters
    ----------
    size : (int, int, int)
        Of the volume.
    mask : Grid
        Where its place is unknown, or that of the volume, the first corners of both are the same.
    """
    one, other = image.in_millimetres(), mask.in_millimetres()
    if one.direction is None or other.direction is None:
        ratio = np.array(one.spacing) / np.array(other.spacing)
        steps, start = np.diag(ratio), ratio / 2 - 0.5
    else:
        matrix = np.linalg.inv(other.affine) @ one.affine  # of indices x, y, z
        steps, start = matrix[2::-1, 2::-1], matrix[2::-1, 3]
    rows = tuple((*map(float, row), float(first)) for row, first in zip(steps, start, strict=True))
    return Step(action="resample", size=size, matrix=rows)


def refine_volume_shift(
    pixels: Num[np.ndarray, "channels depth height width"],
    labels: Shaped[np.ndarray, "depth height width"],
    offset: tuple[int, ...],
    reach: int,
) -> tuple[int, ...]:
    """Return the shift near `offset` for which the boundaries of the labels lie on the strongest edges of the volume.

    As `steps.refine_shift`; shifts up to `reach` voxels from `offset` are tried along each axis.
    """
    gray = ndimage.uniform_filter(pixels[:3].mean(0, dtype=np.float32), 3)
    slopes = np.gradient(gray, axis=tuple(axis for axis, side in enumerate(gray.shape) if side > 1))
    strength = np.sqrt(sum(slope**2 for slope in (slopes if isinstance(slopes, list | tuple) else [slopes])))
    edges = np.zeros(labels.shape, bool)
    for axis in range(3):
        differ = np.diff(labels.astype(np.int32), axis=axis) != 0
        for first in (0, 1):  # both sides of a boundary
            edges[(*[slice(None)] * axis, slice(first, first + differ.shape[axis]))] |= differ
    places = np.argwhere(edges)
    places = places[:: max(1, len(places) // _EDGES)]

    def mean_strength(step: tuple[int, ...]) -> float:
        there = places + np.array(step)
        inside = ((there >= 0) & (there < np.array(strength.shape))).all(1)
        return float(strength[tuple(there[inside].T)].sum()) / max(len(places), 1)

    changes = sorted(product(range(-reach, reach + 1), repeat=3), key=lambda change: sum(map(abs, change)))
    tried = [tuple(int(one + other) for one, other in zip(offset, change, strict=True)) for change in changes]
    return max(tried, key=mean_strength)


def _turn_to(changed: Shaped[np.ndarray, "..."], axis: int) -> Turn:
    """Return the turn that changes the probe, whose planes across `axis` come first in `changed`."""
    wanted = np.moveaxis(changed, 0, axis)
    return next(turn for turn in _TURNS if np.array_equal(turn.apply(_PROBE), wanted))
