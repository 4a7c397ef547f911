"""Apply the steps of a fix to a mask, and refine a shift at full resolution."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num, Shaped
from scipy import ndimage

from pixelwise.datasets.checks.finding import Step
from pixelwise.datasets.checks.reduced import boundaries
from pixelwise.datasets.checks.shifts import move


def apply_steps(
    values: Shaped[np.ndarray, "height width *colours"], steps: Sequence[Step], fill: int = 0
) -> np.ndarray:
    """Return mask values after the steps that change pixels; the others are ignored.

    Parameters
    ----------
    values : (height, width) integers or bool, or (height, width, 3) colours
    fill : int
        Value of pixels that a shift uncovers.

    Examples
    --------
    >>> mask = np.array([[1, 0], [0, 0]])
    >>> swap = Step(action="replace values", values=((0, 1), (1, 0)))
    >>> apply_steps(mask, [Step(action="shift", offset=(0, 1)), swap]).tolist()
    [[1, 0], [1, 1]]
    """
    planes = np.moveaxis(values, (0, 1), (-2, -1))
    for step in steps:
        if step.action == "shift":
            planes = move(planes, *step.offset, fill=fill)
        elif step.action == "symmetry" and step.symmetry is not None:
            planes = step.symmetry.apply(planes)
        elif step.action == "resize":
            rows, columns = (
                np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int)
                for new, old in zip(step.size, planes.shape[-2:], strict=True)
            )
            planes = planes[..., rows[:, None], columns]
        elif step.action == "replace values":
            before, planes = planes, planes.copy()
            for old, new in step.values:
                planes[before == old] = new
    return np.ascontiguousarray(np.moveaxis(planes, (-2, -1), (0, 1)))


def refine_shift(
    pixels: Num[np.ndarray, "channels height width"], labels: np.ndarray, offset: tuple[int, int], factor: int
) -> tuple[int, int]:
    """Return the shift near `offset` for which the boundaries of the mask lie on the strongest edges of the image.

    Parameters
    ----------
    pixels : (channels, height, width)
    labels : (height, width)
        The mask as it is.
    offset : (int, int)
        Rows and columns, found on an image reduced by `factor`.
    factor : int
        Shifts up to this far from `offset` are tried.

    Examples
    --------
    >>> image = np.zeros((1, 32, 32))
    >>> image[:, 10:20, 10:20] = 9
    >>> mask = np.zeros((32, 32), int)
    >>> mask[6:16, 13:23] = 1
    >>> refine_shift(image, mask, (3, -2), 3)
    (4, -3)
    """
    gray = ndimage.uniform_filter(pixels[:3].mean(0, dtype=np.float32), 3)
    slopes = np.asarray(np.gradient(gray))
    strength = np.hypot(slopes[0], slopes[1])
    edges = boundaries(labels)
    edges |= boundaries(labels[::-1, ::-1])[::-1, ::-1]  # both sides of a boundary
    rows, columns = np.nonzero(edges)

    def mean_strength(down: int, right: int) -> float:
        here, there = rows + offset[0] + down, columns + offset[1] + right
        inside = (here >= 0) & (here < strength.shape[0]) & (there >= 0) & (there < strength.shape[1])
        return float(strength[here[inside], there[inside]].sum()) / max(len(rows), 1)

    near = sorted(
        ((down, right) for down in range(-factor, factor + 1) for right in range(-factor, factor + 1)),
        key=lambda step: abs(step[0]) + abs(step[1]),
    )
    down, right = max(near, key=lambda step: mean_strength(*step))
    return offset[0] + down, offset[1] + right
