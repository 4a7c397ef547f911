"""Outlines of circles and ellipses, and rotated shapes."""

import numpy as np

_DEVIATION = 0.02  # pixels between the curve and its outline


def ellipse(centre: np.ndarray, radius_x: float, radius_y: float, degrees: float = 0.0) -> np.ndarray:
    """Return an ellipse as a ring of (x, y).

    Parameters
    ----------
    centre : (2,) array
        As (x, y).
    degrees : float
        Rotation about the centre, clockwise on the screen.

    Examples
    --------
    >>> len(ellipse(np.zeros(2), 100.0, 100.0))
    158
    """
    largest = max(radius_x, radius_y, 1.0)
    count = int(np.clip(np.ceil(np.pi / np.arccos(1 - _DEVIATION / largest)), 16, 4096))
    angles = 2 * np.pi * np.arange(count) / count
    ring = np.column_stack([radius_x * np.cos(angles), radius_y * np.sin(angles)])
    return rotate(ring + centre, centre, degrees)


def rotate(ring: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """Return a ring rotated about a point, clockwise on the screen."""
    if not degrees:
        return ring
    angle = np.radians(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return (ring - centre) @ turn + centre
