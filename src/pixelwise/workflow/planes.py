"""Pictures of volumes: three planes through the structure and a maximum projection, side by side as one plane.

The result is an array of two axes, so that whatever draws images and masks draws volumes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, Shaped

from pixelwise.geometry.grid import Grid

_GAP = 2  # pixels between planes
_LARGEST = 512  # pixels of the longest side of a plane


@dataclass(frozen=True, kw_only=True)
class PlaneViews:
    """Which planes of a volume are shown, and how.

    Attributes
    ----------
    at : (int, int, int)
        Index of the planes along depth, height and width.
    spacing : (float, float, float)
        Planes are drawn with square pixels of the smallest spacing.
    upright : bool
        The axes are those of a body: head and front are drawn at the top.
    """

    at: tuple[int, ...]
    spacing: tuple[float, ...]
    upright: bool = False

    def draw(self, volume: Shaped[np.ndarray, "*channels depth height width"]) -> Shaped[np.ndarray, "*channels y x"]:
        """Return the planes across depth and width above those across height, and the maximum along the depth.

        Examples
        --------
        >>> views = PlaneViews(at=(0, 1, 2), spacing=(1.0, 1.0, 1.0))
        >>> views.draw(np.zeros((3, 4, 5), np.uint8)).shape
        (10, 12)
        """
        z, y, x = self.at
        planes = [
            [self._plane(volume[..., z, :, :], (1, 2)), self._plane(volume[..., :, :, x], (0, 1))],
            [self._plane(volume[..., :, y, :], (0, 2)), self._plane(volume.max(axis=-3), (1, 2))],
        ]
        widths = [max(row[column].shape[-1] for row in planes) for column in range(2)]
        rows = [
            np.concatenate([_padded(plane, _height(row), width) for plane, width in zip(row, widths, strict=True)], -1)
            for row in planes
        ]
        return np.concatenate(rows, -2)[..., :-_GAP, :-_GAP]

    def _plane(
        self, plane: Shaped[np.ndarray, "*channels rows columns"], axes: tuple[int, int]
    ) -> Shaped[np.ndarray, "*channels y x"]:
        """Return a plane with square pixels; its rows grow downwards."""
        if self.upright:
            plane = plane[..., ::-1, :]
        unit = min(self.spacing)
        sides = [count * self.spacing[axis] / unit for count, axis in zip(plane.shape[-2:], axes, strict=True)]
        scale = min(1.0, _LARGEST / max(sides))
        for number, side in enumerate(sides):
            count = plane.shape[-2 + number]
            drawn = max(1, round(side * scale))
            index = np.minimum((np.arange(drawn) + 0.5) * count / drawn, count - 1).astype(int)
            plane = plane.take(index, axis=-2 + number)
        return plane


def choose_planes(labels: Integer[np.ndarray, "depth height width"], grid: Grid | None) -> PlaneViews:
    """Return the planes along each axis with most foreground, or most background if that is less; else the middle ones.

    Examples
    --------
    >>> labels = np.zeros((4, 5, 6), int)
    >>> labels[3, 1, :2] = 1
    >>> choose_planes(labels, None).at
    (3, 1, 0)
    """
    foreground = (labels > 0) & (labels != 255)
    shares = [foreground.mean(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    both = [np.minimum(share, 1 - share) for share in shares]  # a plane of one class alone shows nothing
    at = tuple(int(least.argmax()) if least.any() else len(least) // 2 for least in both)
    if grid is None:
        return PlaneViews(at=at, spacing=(1.0, 1.0, 1.0))
    return PlaneViews(at=at, spacing=grid.spacing, upright=grid.direction is not None)


def _height(row: list[np.ndarray]) -> int:
    return max(plane.shape[-2] for plane in row)


def _padded(
    plane: Shaped[np.ndarray, "*channels rows columns"], height: int, width: int
) -> Shaped[np.ndarray, "*channels y x"]:
    """Return a plane in the top left corner of a panel, with a gap; what is added has the lowest value."""
    lead = [(0, 0)] * (plane.ndim - 2)
    added = [(0, height - plane.shape[-2] + _GAP), (0, width - plane.shape[-1] + _GAP)]
    return np.pad(plane, [*lead, *added], constant_values=plane.min(initial=0) if plane.size else 0)
