"""Divide long edges of outlines: a line that is straight in one coordinate reference system is bent in another."""

import numpy as np
from jaxtyping import Float64

LONGEST = 256.0  # pixels: at 30 m per pixel a chord of a degree grid is within a twentieth of a pixel


def divide_edges(
    ring: Float64[np.ndarray, "points 2"], in_pixels: Float64[np.ndarray, "points 2"]
) -> Float64[np.ndarray, "more 2"]:
    """Return a ring with points inserted so that no edge is longer than `LONGEST` pixels.

    Parameters
    ----------
    ring : (points, 2) float64 array
        Not closed, in any coordinates.
    in_pixels : (points, 2) float64 array
        The same points in pixels, which measure the edges.

    Examples
    --------
    >>> ring = np.array([(0.0, 0.0), (400.0, 0.0), (400.0, 200.0)])
    >>> divide_edges(ring, ring).tolist()
    [[0.0, 0.0], [200.0, 0.0], [400.0, 0.0], [400.0, 200.0], [200.0, 100.0]]
    """
    ends = np.roll(ring, -1, axis=0)
    counts = np.ceil(np.abs(np.roll(in_pixels, -1, axis=0) - in_pixels).max(1) / LONGEST).astype(int).clip(1)
    edge = np.repeat(np.arange(len(ring)), counts)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ring[edge] + (ends - ring)[edge] * (step / counts[edge])[:, None]
