"""Progressive resizing: the first fraction of a training uses images at half the resolution.

Four patches of half the side cost as much as one patch and cover four times the image area (Howard et al. 2018, who
trained ImageNet this way for DAWNBench). Results are in `benchmarks/RECIPE.md`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Num, UInt8

from pixelwise.labels.targets import IGNORE
from pixelwise.sampling.patches import PatchOptions


def low_res_options(options: PatchOptions, height: int, width: int) -> PatchOptions:
    """Return options with patches of `height` x `width` and the number of pixels of a full-resolution step."""
    batch = max(1, round(options.batch * options.height * options.width / (height * width)))
    return replace(options, height=height, width=width, batch=batch)


def halve_image(pixels: Num[np.ndarray, "channels height width"]) -> Num[np.ndarray, "channels rows columns"]:
    """Return means of 2 x 2 pixels, in the same dtype; an odd last row or column counts twice.

    Integers are rounded to nearest, halves up.
    """
    views = _blocks(pixels)
    if pixels.dtype.kind == "f":
        return np.add(views[0] / 4 + views[1] / 4, views[2] / 4 + views[3] / 4).astype(pixels.dtype)
    accumulator = np.int64 if pixels.dtype.itemsize > 2 else np.int32
    total = views[0].astype(accumulator)
    for view in views[1:]:
        total += view
    total += 2
    return np.floor_divide(total, 4, out=total).astype(pixels.dtype)


def halve_target(target: UInt8[np.ndarray, "height width"], counts: Sequence[int]) -> UInt8[np.ndarray, "rows columns"]:
    """Return the rarest class of each 2 x 2 pixels, so that thin lines remain; IGNORE if all four are ignored.

    Parameters
    ----------
    target : uint8 array (height, width)
    counts : sequence of int
        Pixels of each class in the data set; 0 for classes beyond its length.
    """
    padded = np.zeros(256, np.int64)
    padded[: len(counts)] = counts
    padded[IGNORE] = np.iinfo(np.int64).max
    order = np.argsort(-padded, kind="stable").astype(np.uint8)  # most frequent first
    rank = np.empty(256, np.uint8)
    rank[order] = np.arange(256, dtype=np.uint8)
    ranks = [rank[view] for view in _blocks(target)]
    return order[np.maximum(np.maximum(ranks[0], ranks[1]), np.maximum(ranks[2], ranks[3]))]


def _blocks(array: np.ndarray) -> list[np.ndarray]:
    """Return the four corners of the 2 x 2 blocks of the last two axes; an odd last row or column counts twice."""
    rows, columns = array.shape[-2:]
    below = np.minimum(np.arange(1, rows + rows % 2, 2), rows - 1)
    right = np.minimum(np.arange(1, columns + columns % 2, 2), columns - 1)
    upper, lower = array[..., ::2, :], array.take(below, axis=-2)
    return [half for rows_ in (upper, lower) for half in (rows_[..., ::2], rows_.take(right, axis=-1))]
