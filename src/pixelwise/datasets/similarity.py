"""How alike two pictures of a set are, without what all pictures of the set share.

A frame, a scale bar, a black border or a fixed background makes all pictures of a set alike, however different their
content is. Two pictures are near copies only where they are also alike in what tells the pictures of their set apart.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from pixelwise.datasets.scan import SKETCH

NEAR = 0.97  # correlation of whole sketches from which on two images may be copies of one
NEAR_UNSHARED = 0.95  # the same of what the set does not share: less of it is left beside the noise of an encoder
LEAST_IMAGES = 4  # in smaller sets what is shared cannot be told from copies
_BLOCK = 512  # rows of the comparison held at once


def without_shared(sketches: Float32[np.ndarray, "images fields"]) -> Float32[np.ndarray, "images fields"]:
    """Return sketches without what the set shares, each of length 1 (or zeros, where nothing else is left).

    The mean of every field over the set is subtracted. Then each field counts by the square of v / (v + m^2), with v
    its variance and m its mean over the set: where a frame is, its contrast still varies with the brightness of the
    content beside it, and that would remain. Fields without anything shared have m near 0 and count fully.

    Parameters
    ----------
    sketches : (images, 1024) float32
        As made by `scan.sketch`, flattened; zeros (flat pictures) stay out of the mean.

    Examples
    --------
    >>> frame, content = np.zeros((5, 1024), np.float32), np.eye(5, 1024, dtype=np.float32)
    >>> frame[:, 9:] = 0.03
    >>> left = without_shared(frame + content)
    >>> bool(np.abs(left[:, 9:]).max() < 1e-6), bool((left.argmax(1) == np.arange(5)).all())
    (True, True)
    """
    present = np.any(sketches != 0, axis=1)
    if not present.any():
        return np.zeros_like(sketches)
    mean, variance = sketches[present].mean(0), sketches[present].var(0)
    own_share = variance / np.maximum(variance + mean**2, np.finfo(np.float32).tiny)
    left = np.where(present[:, None], (sketches - mean) * own_share**2, 0)
    length = np.linalg.norm(left, axis=1, keepdims=True)
    small = length <= 1e-6  # rounding of a sketch of length 1
    return np.where(small, 0, left / np.where(small, 1, length)).astype(np.float32)


def near_pairs(
    sketches: Float32[np.ndarray, "images fields"], threshold: float = NEAR, *, upright: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i < j) of images that are near-equal, also flipped or turned.

    Parameters
    ----------
    sketches : (images, 1024) float32
        As made by `scan.sketch`, flattened; zeros (flat pictures) are near to nothing.
    threshold : float
        Correlation of whole sketches from which on a pair is near; in sets of at least `LEAST_IMAGES` it must also
        reach `NEAR_UNSHARED` in what the set does not share.
    upright : bool
        Compare with the image and its mirror image alone, a quarter of the work: photographs keep their up.
    """
    count = len(sketches)
    whole = _turned(sketches, upright=upright)
    own = _turned(without_shared(sketches), upright=upright) if count >= LEAST_IMAGES else None
    for start in range(0, count, _BLOCK):
        near = np.zeros((min(_BLOCK, count - start), count - start), bool)
        for turn, other in enumerate(whole):
            found = whole[0][start : start + _BLOCK] @ other[start:].T >= threshold
            if own is not None and found.any():
                found &= own[0][start : start + _BLOCK] @ own[turn][start:].T >= NEAR_UNSHARED
            near |= found
        rows, columns = np.nonzero(near)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if column > row:
                yield start + row, start + column


def _turned(
    sketches: Float32[np.ndarray, "images fields"], *, upright: bool
) -> list[Float32[np.ndarray, "images fields"]]:
    """Return the sketches as they are, then turned and mirrored."""
    count = len(sketches)
    squares = sketches.reshape(count, SKETCH, SKETCH)
    tta = range(1) if upright else range(4)
    turned = [np.rot90(s, k, (1, 2)) for s in (squares, squares[:, :, ::-1]) for k in tta]
    return [np.ascontiguousarray(t).reshape(count, -1) for t in turned]
