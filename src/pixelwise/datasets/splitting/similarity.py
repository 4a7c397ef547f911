"""Find near duplicates by descriptor correlation, corrected for content that all images of a data set share.

A frame, a scale bar, a black border or a fixed background makes all images of a set similar. Near copies must also be
similar after this shared content is removed.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from pixelwise.datasets.scan import SIDE

NEAR = 0.97  # minimum correlation of the descriptors of near copies
NEAR_UNSHARED = 0.95  # the same without shared content: lower, as compression noise has more weight
MIN_IMAGES = 4  # in smaller sets shared content and copies cannot be distinguished
_BLOCK = 512  # rows of the correlation matrix in memory


def without_shared(descriptors: Float32[np.ndarray, "images fields"]) -> Float32[np.ndarray, "images fields"]:
    """Return descriptors without shared content, each of length 1 (or zeros if nothing else remains).

    The mean of every cell over the set is subtracted. Then each cell is weighted by the square of v / (v + m^2), with v
    its variance and m its mean over the set: the contrast of a frame still varies with the brightness of the content
    next to it. Cells without shared content have m near 0 and a weight near 1.

    Parameters
    ----------
    descriptors : (images, 1024) float32
        From `scan.image_descriptor`, flattened; zeros (constant images) are excluded from the mean.

    Examples
    --------
    >>> frame, content = np.zeros((5, 1024), np.float32), np.eye(5, 1024, dtype=np.float32)
    >>> frame[:, 9:] = 0.03
    >>> left = without_shared(frame + content)
    >>> bool(np.abs(left[:, 9:]).max() < 1e-6), bool((left.argmax(1) == np.arange(5)).all())
    (True, True)
    """
    present = np.any(descriptors != 0, axis=1)
    if not present.any():
        return np.zeros_like(descriptors)
    mean, variance = descriptors[present].mean(0), descriptors[present].var(0)
    unshared_fraction = variance / np.maximum(variance + mean**2, np.finfo(np.float32).tiny)
    unshared = np.where(present[:, None], (descriptors - mean) * unshared_fraction**2, 0)
    length = np.linalg.norm(unshared, axis=1, keepdims=True)
    small = length <= 1e-6  # rounding error of length 1
    return np.where(small, 0, unshared / np.where(small, 1, length)).astype(np.float32)


def find_near_pairs(
    descriptors: Float32[np.ndarray, "images fields"], threshold: float = NEAR, *, upright: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i < j) of images that are nearly equal, also flipped or rotated.

    Parameters
    ----------
    descriptors : (images, 1024) float32
        From `scan.image_descriptor`, flattened; zeros (constant images) match nothing.
    threshold : float
        Minimum correlation of a pair; in sets of at least `MIN_IMAGES` it must also reach `NEAR_UNSHARED` without
        shared content.
    upright : bool
        Compare only with the image and its mirror image, not with rotations: a quarter of the work.
    """
    count = len(descriptors)
    whole = _symmetries(descriptors, upright=upright)
    unshared = _symmetries(without_shared(descriptors), upright=upright) if count >= MIN_IMAGES else None
    for start in range(0, count, _BLOCK):
        near = np.zeros((min(_BLOCK, count - start), count - start), bool)
        for turn, other in enumerate(whole):
            near_rows = whole[0][start : start + _BLOCK] @ other[start:].T >= threshold
            if unshared is not None and near_rows.any():
                near_rows &= unshared[0][start : start + _BLOCK] @ unshared[turn][start:].T >= NEAR_UNSHARED
            near |= near_rows
        rows, columns = np.nonzero(near)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if column > row:
                yield start + row, start + column


def _symmetries(
    descriptors: Float32[np.ndarray, "images fields"], *, upright: bool
) -> list[Float32[np.ndarray, "images fields"]]:
    """Return the descriptors and their rotated and mirrored versions."""
    count = len(descriptors)
    squares = descriptors.reshape(count, SIDE, SIDE)
    rotations = range(1) if upright else range(4)
    turned = [np.rot90(s, k, (1, 2)) for s in (squares, squares[:, :, ::-1]) for k in rotations]
    return [np.ascontiguousarray(t).reshape(count, -1) for t in turned]
