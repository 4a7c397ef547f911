"""Resize and centre crop of classification images, without torch, so that exported models start quickly.

Resizing is bilinear with antialiasing, as in Pillow and PyTorch: each output pixel is a weighted mean under a triangle
as wide as two output pixels.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Num
from scipy import sparse

from pixelwise.errors import BadOption

MAX_SIDE = 8192
MAX_ASPECT_RATIO = 2  # largest aspect ratio; longer images are cropped at both ends


@dataclass(frozen=True, kw_only=True)
class View:
    """Input of the network: the image is resized to the shorter side `shorter`, and the centre `side` x `side` used."""

    side: int
    shorter: int

    def __post_init__(self) -> None:
        """Validate the sizes."""
        if not 1 <= self.side <= self.shorter <= MAX_SIDE:
            got = f"side {self.side}, shorter {self.shorter}"
            raise BadOption(f"1 <= side <= shorter <= {MAX_SIDE} for classification images", got, "Change them.")


def to_8_bit_range(pixels: Num[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
    """Scale 16-bit values to the range of 8 bits, as float32: 65,535 becomes 255. Other types are unchanged.

    Images of both bit depths can then be used together.
    """
    return pixels.astype(np.float32) / 257 if pixels.dtype == np.uint16 else pixels


def resize_shorter_side(
    pixels: Num[np.ndarray, "channels height width"], shorter: int
) -> Num[np.ndarray, "channels rows columns"]:
    """Resize an image to a shorter side, keeping the aspect ratio; the ends of very long images are cropped.

    The dtype is kept, except for 16 bits (see `to_8_bit_range`).
    """
    height, width = pixels.shape[1:]
    shorter_side = min(height, width)
    rows, columns = (min(side, MAX_ASPECT_RATIO * shorter_side) for side in (height, width))
    pixels = to_8_bit_range(centre_crop(pixels, rows, columns))
    if shorter_side == shorter:
        return pixels
    tall, wide = (max(shorter, round(side * shorter / shorter_side)) for side in (rows, columns))
    return resize(pixels, (tall, wide))


def centre_crop(
    pixels: Num[np.ndarray, "channels height width"], rows: int, columns: int
) -> Num[np.ndarray, "channels rows columns"]:
    """Return the centre crop of an image that is at least as large."""
    top, left = (pixels.shape[1] - rows) // 2, (pixels.shape[2] - columns) // 2
    return pixels[:, top : top + rows, left : left + columns]


def resize(
    pixels: Num[np.ndarray, "channels height width"], size: tuple[int, int]
) -> Num[np.ndarray, "channels rows columns"]:
    """Resize to (rows, columns) with antialiasing, in the same dtype; integers are rounded.

    One sparse matrix per axis: the cost is linear in the image size, and the order of sums equal on every machine.
    """
    channels, height, width = pixels.shape
    rows, columns = size
    down, across = _resize_weights(height, rows), _resize_weights(width, columns)
    exact = pixels.astype(np.float32)
    tall = np.stack([down @ plane for plane in exact]).reshape(channels * rows, width)
    scaled = (across @ np.ascontiguousarray(tall.T)).T.reshape(channels, rows, columns)
    return np.rint(scaled).astype(pixels.dtype) if pixels.dtype.kind in "iu" else scaled.astype(pixels.dtype)


@lru_cache(maxsize=64)
def _resize_weights(before: int, after: int) -> sparse.csr_array:
    """Return the weights, (after, before) float32, of input pixels in output pixels along one axis."""
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
