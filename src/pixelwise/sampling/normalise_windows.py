"""Intensity scale of an image that is read window by window: exact in one pass, or estimated from windows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from pixelwise.io.windows import ImageReader
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale, mean_and_std_of, row_blocks, scale_of

_SAMPLE_SIDE = 256  # minimum rows and columns of the subsampled image
_WINDOWS_PER_AXIS = 8  # sampled windows per axis
_WINDOW_SIDE = 256  # side of a sampled window in pixels


@dataclass(frozen=True)
class SourceScale:
    """The scale, and a subsampled copy of the image, (channels, rows, columns), for checks of its values."""

    scale: Scale
    sample: Num[np.ndarray, "channels rows columns"]


def source_scale(
    source: ImageReader, normalisation: Normalisation, advance: Callable[[int], None], *, sampled: bool = False
) -> SourceScale:
    """Compute the scale of an image of any size.

    Parameters
    ----------
    normalisation : Normalisation
        Kind `image` needs all pixels: they are read once, block by block, and the scale is exactly that of
        `normalise.intensity_scale`.
    advance : callable
        Called with the number of rows read.
    sampled : bool
        Read 64 evenly spaced windows of 256 x 256 pixels instead of all pixels; the scale is then an estimate.

    Raises
    ------
    BadOption
        As in `normalise.intensity_scale`.
    BadImage
        The file is damaged or contains invalid values.
    """
    if normalisation.kind != "image" or sampled:
        windows = list(_spread_windows(source))
        sample = np.concatenate([w[:, ::8, ::8].reshape(source.shape[0], 1, -1) for w in windows], axis=2)
        advance(source.shape[1])
        if normalisation.kind != "image":
            return SourceScale(intensity_scale(np.empty((source.shape[0], 0, 0), source.dtype), normalisation), sample)
        return SourceScale(scale_of(*mean_and_std_of(windows, source.shape[0]), source.dtype), sample)
    samples: list[np.ndarray] = []
    moments = mean_and_std_of(_blocks(source, samples, advance), source.shape[0])
    return SourceScale(scale_of(*moments, source.dtype), np.concatenate(samples, axis=1))


def _blocks(source: ImageReader, samples: list[np.ndarray], advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    """Yield all pixels from top to bottom and append a subsampled copy to `samples`."""
    _, height, width = source.shape
    down, across = max(1, height // _SAMPLE_SIDE), max(1, width // _SAMPLE_SIDE)
    blocks = list(row_blocks(source.shape))
    source.plan(blocks[0].stop)
    for rows in blocks:
        block = source.read((rows.start, rows.stop), (0, width))
        samples.append(block[:, -rows.start % down :: down, ::across].copy())
        yield block
        advance(rows.stop - rows.start)


def _spread_windows(source: ImageReader) -> Iterator[Num[np.ndarray, "channels rows columns"]]:
    """Yield evenly spaced windows of the image, or all of a small one."""
    _, height, width = source.shape
    if max(height, width) <= _WINDOW_SIDE * _WINDOWS_PER_AXIS:
        yield source.read((0, height), (0, width))
        return
    starts = [
        np.unique(np.linspace(0, max(0, side - _WINDOW_SIDE), _WINDOWS_PER_AXIS).astype(int)).tolist()
        for side in (height, width)
    ]
    for top in starts[0]:
        for left in starts[1]:
            yield source.read((top, min(height, top + _WINDOW_SIDE)), (left, min(width, left + _WINDOW_SIDE)))
