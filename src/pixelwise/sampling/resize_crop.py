"""What of a photo is seen, and how it is brought to that size; without torch, so that exported models start quickly.

Photos shrink by averaging: each new pixel is the mean of the old ones under a triangle as wide as two new pixels, so
that fine patterns leave no false ones behind (bilinear with antialiasing, as Pillow and PyTorch compute it).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Num
from scipy import sparse

from pixelwise.errors import BadOption

MOST_SIDE = 8192
LONGEST = 2  # a photo keeps at most this many times its shorter side; the rest is cut off on both ends


@dataclass(frozen=True, kw_only=True)
class View:
    """What of a photo is predicted: it is brought to a shorter side, and the middle `side` x `side` is seen."""

    side: int
    shorter: int

    def __post_init__(self) -> None:
        """Refuse sizes that leave nothing to see, or more than any memory holds."""
        if not 1 <= self.side <= self.shorter <= MOST_SIDE:
            got = f"side {self.side}, shorter {self.shorter}"
            raise BadOption(f"1 <= side <= shorter <= {MOST_SIDE} for the view of a photo", got, "Change them.")


def on_eight_bits(pixels: Num[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
    """Bring 16-bit values to the scale of 8 bits, as float32: 65,535 becomes 255. Other types stay as they are.

    So photos of both depths can be learned and predicted together.
    """
    return pixels.astype(np.float32) / 257 if pixels.dtype == np.uint16 else pixels


def fit(pixels: Num[np.ndarray, "channels height width"], shorter: int) -> Num[np.ndarray, "channels rows columns"]:
    """Bring a photo to a shorter side, its shape kept, and to the scale of 8 bits; very long ones lose their ends.

    The type stays, but for 16 bits (see `on_eight_bits`).
    """
    height, width = pixels.shape[1:]
    least = min(height, width)
    rows, columns = (min(side, LONGEST * least) for side in (height, width))
    pixels = on_eight_bits(middle(pixels, rows, columns))
    if least == shorter:
        return pixels
    tall, wide = (max(shorter, round(side * shorter / least)) for side in (rows, columns))
    return resized(pixels, (tall, wide))


def middle(
    pixels: Num[np.ndarray, "channels height width"], rows: int, columns: int
) -> Num[np.ndarray, "channels rows columns"]:
    """Cut the middle out of a photo that is at least as large."""
    top, left = (pixels.shape[1] - rows) // 2, (pixels.shape[2] - columns) // 2
    return pixels[:, top : top + rows, left : left + columns]


def resized(
    pixels: Num[np.ndarray, "channels height width"], size: tuple[int, int]
) -> Num[np.ndarray, "channels rows columns"]:
    """Resize to (rows, columns) by averaging and return the same type; whole numbers are rounded.

    A sparse matrix per axis, so that work grows with the photo alone and the sums have one order on every machine.
    """
    channels, height, width = pixels.shape
    rows, columns = size
    down, across = _averages(height, rows), _averages(width, columns)
    exact = pixels.astype(np.float32)
    tall = np.stack([down @ plane for plane in exact]).reshape(channels * rows, width)
    scaled = (across @ np.ascontiguousarray(tall.T)).T.reshape(channels, rows, columns)
    return np.rint(scaled).astype(pixels.dtype) if pixels.dtype.kind in "iu" else scaled.astype(pixels.dtype)


@lru_cache(maxsize=64)
def _averages(before: int, after: int) -> sparse.csr_array:
    """Return the weights, (after, before) float32, of the old pixels in the new ones along one axis."""
    scale = before / after
    reach = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale
    first = np.maximum(np.floor(centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum(np.floor(centres + reach + 0.5).astype(np.int64), before)
    places = first[:, None] + np.arange(int((last - first).max()))
    weights = np.where(places < last[:, None], np.maximum(0, 1 - np.abs(places + 0.5 - centres[:, None]) / reach), 0)
    weights /= weights.sum(1, keepdims=True)
    starts = np.arange(0, places.size + 1, places.shape[1])
    cells = (weights.astype(np.float32).ravel(), np.minimum(places, before - 1).ravel(), starts)
    return sparse.csr_array(cells, shape=(after, before))
