"""Post-processing: convert probabilities to masks or label images, the inverse of `targets.encode`.

Probabilities arrive window by window, as tiles are predicted, and are thresholded at once, so that one to three bytes
per pixel are stored. Objects are then found on the whole image, independently of tile edges.

Memory in bytes per pixel, including the result:

| kind | while probabilities are added | while objects are found |
|---|---|---|
| classes | 1 | 1; 6 with small-region removal (mask of one class 1, labels 4) |
| classes, split | 3 | 6 (foreground 1, heights 1, labels 4), and the fronts of the watershed |
| components | 1 | 5 (foreground 1, labels 4) |
| boundary, distance | 3 | 6 (seeds 1, heights 1, labels 4), and the fronts of the watershed |

Labels of at most 16 bits are returned as uint16: 6 bytes while they are copied, afterwards 2. Holes are filled object
by object; the largest non-convex object takes about 5 bytes per pixel of its bounding box, after 2 have been freed.
The watershed of a volume takes about 30 bytes per voxel.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from scipy import ndimage

from pixelwise.geometry.tiles import Span
from pixelwise.labels.label_image import components
from pixelwise.labels.postprocess import fill_holes, remove_small_objects, remove_small_regions
from pixelwise.labels.regions import write_regions
from pixelwise.labels.run_lengths import row_strips
from pixelwise.labels.split_regions import cut_lines, erode
from pixelwise.labels.targets import TargetOptions, most_probable_wins, splits_regions
from pixelwise.labels.watershed import EXCLUDED, seeded_watershed

_RADIUS = 4  # pixels: the Gaussian of standard deviation 1 is truncated there


@runtime_checkable
class Decoder(Protocol):
    """Collects the probabilities of an image window by window and converts them to a mask or a label image."""

    def add(self, window: tuple[Span, ...], probabilities: Float[np.ndarray, " channels *size"]) -> None:
        """Threshold the pixels of `window`, a span per axis."""
        ...

    def finish(self) -> Integer[np.ndarray, "*size"]:
        """Return the result after all windows were added; callable once, because memory is reused."""
        ...


def start_decoding(options: TargetOptions, size: tuple[int, ...]) -> Decoder:
    """Return the decoder for an image of `size`, (height, width), or a volume, (depth, height, width).

    The result is a mask of class indices (uint8) for kind "classes"; otherwise a label image 1...N, uint16 if N fits,
    else int32.
    """
    if splits_regions(options):
        return _SplitDecoder(options, size)
    if options.kind == "classes":
        return _ClassesDecoder(options, size)
    if options.kind == "components":
        return _ComponentsDecoder(options, size)
    return _WatershedDecoder(options, size)


def decode(probabilities: Float[np.ndarray, " channels *size"], options: TargetOptions) -> Integer[np.ndarray, "*size"]:
    """Convert the probabilities of a whole image to a mask or a label image; see `start_decoding`."""
    size = probabilities.shape[1:]
    decoder = start_decoding(options, size)
    decoder.add(tuple((0, side) for side in size), probabilities)
    return decoder.finish()


def most_probable_class(probabilities: Float[np.ndarray, " channels *size"]) -> UInt8[np.ndarray, "*size"]:
    """Return the most probable class of each pixel, the first of equals; logits can be passed instead.

    Equal to `argmax(0)`, but at least ten times faster: whole channels are compared, in memory order.
    """
    if len(probabilities) == 2:
        return (probabilities[1] > probabilities[0]).view(np.uint8)
    result = np.zeros(probabilities.shape[1:], np.uint8)
    highest = probabilities[0].copy()
    for index, channel in enumerate(probabilities[1:], 1):
        np.maximum(result, (channel > highest).view(np.uint8) * np.uint8(index), out=result)  # later ones are larger
        np.maximum(highest, channel, out=highest)
    return result


def class_of(probabilities: Float[np.ndarray, " channels *size"], options: TargetOptions) -> UInt8[np.ndarray, "*size"]:
    """Return the class of each pixel.

    The most probable one; of two classes the second above its threshold; with regions that of the last one above its
    threshold.

    Logits can be passed instead if `most_probable_wins`.
    """
    if options.regions:
        return write_regions(probabilities, options)
    if len(probabilities) != 2 or most_probable_wins(options):
        return most_probable_class(probabilities)
    return (probabilities[1] > options.foreground_threshold).view(np.uint8)


def foreground_of(
    probabilities: Float[np.ndarray, " channels *size"], options: TargetOptions
) -> Bool[np.ndarray, "*size"]:
    """Return which pixels belong to objects."""
    return probabilities[0] < 1 - options.foreground_threshold


def seeds_of(
    probabilities: Float[np.ndarray, " channels *size"], options: TargetOptions
) -> tuple[Bool[np.ndarray, "*size"], Bool[np.ndarray, "*size"], UInt8[np.ndarray, "*size"]]:
    """Return what is stored of a window: foreground, seeds, and the probability of the interior times 255.

    Kind "classes" (if `splits_regions`): seeds are the pixels above `split_threshold`; the markers, deep inside them,
    can only be found on the whole image. The interior is class 1.

    Kind "distance": seeds have a large distance and are not boundary. The watershed uses the probability of the
    interior, because distances are relative to each object and do not meet at the border between two objects.
    """
    # Thresholds are applied before rounding; heights only order the pixels.
    interior = probabilities[1]
    if options.kind == "classes":
        foreground = class_of(probabilities, options) > 0
        return foreground, foreground & (interior > options.split_threshold), np.rint(interior * 255).astype(np.uint8)
    foreground = foreground_of(probabilities, options)
    depth = probabilities[3] * (1 - probabilities[2]) if options.kind == "distance" else interior
    seeds = foreground & (depth > options.seed_threshold)
    return foreground, seeds, np.rint(interior * 255).astype(np.uint8)


class _ClassesDecoder:
    """The class of each pixel; logits can be passed instead if `most_probable_wins`."""

    def __init__(self, options: TargetOptions, size: tuple[int, ...]) -> None:
        self._options = options
        self._mask = np.zeros(size, np.uint8)

    def add(self, window: tuple[Span, ...], probabilities: Float[np.ndarray, " channels *size"]) -> None:
        self._mask[_slices(window)] = class_of(probabilities, self._options)

    def finish(self) -> UInt8[np.ndarray, "*size"]:
        remove_small_regions(self._mask, self._options.class_areas)
        return self._mask


class _SeedsDecoder:
    """Foreground, seeds and interior of the image, window by window."""

    def __init__(self, options: TargetOptions, size: tuple[int, ...]) -> None:
        self._options = options
        self._foreground, self._seeds = np.zeros(size, bool), np.zeros(size, bool)
        self._interior = np.zeros(size, np.uint8)

    def add(self, window: tuple[Span, ...], probabilities: Float[np.ndarray, " channels *size"]) -> None:
        place = _slices(window)
        self._foreground[place], self._seeds[place], self._interior[place] = seeds_of(probabilities, self._options)


class _SplitDecoder(_SeedsDecoder):
    """Class 1 without the watershed lines between regions that grow from markers deep inside."""

    def finish(self) -> UInt8[np.ndarray, "*size"]:
        interior_to_heights(self._interior, self._foreground)
        markers = components(erode(self._seeds, self._options.split_depth), corners=False)
        del self._seeds
        seeded_watershed(self._interior, markers)
        del self._interior
        mask = self._foreground.view(np.uint8)
        cut_lines(mask, markers)
        del markers
        remove_small_regions(mask, self._options.class_areas)
        return mask


class _ComponentsDecoder:
    """Connected components of the foreground."""

    def __init__(self, options: TargetOptions, size: tuple[int, ...]) -> None:
        self._options = options
        self._foreground = np.zeros(size, bool)

    def add(self, window: tuple[Span, ...], probabilities: Float[np.ndarray, " channels *size"]) -> None:
        self._foreground[_slices(window)] = foreground_of(probabilities, self._options)

    def finish(self) -> Integer[np.ndarray, "*size"]:
        labels = components(self._foreground)
        del self._foreground
        return remove_small_objects(labels, self._options.min_area)


class _WatershedDecoder(_SeedsDecoder):
    """Seeded watershed of the interior probability, limited to the foreground."""

    def finish(self) -> Integer[np.ndarray, "*size"]:
        interior_to_heights(self._interior, self._foreground)
        del self._foreground
        labels = components(self._seeds, corners=False)
        del self._seeds
        seeded_watershed(self._interior, labels)
        del self._interior
        fill_holes(labels)
        return remove_small_objects(labels, self._options.min_area)


def interior_to_heights(interior: UInt8[np.ndarray, "*size"], foreground: Bool[np.ndarray, "*size"]) -> None:
    """Smooth the interior and invert it to heights 0 to 254, 255 outside the foreground; in place."""
    above = interior[:0]
    for rows in row_strips(interior.shape):
        block = np.concatenate([above, interior[rows.start : rows.stop + _RADIUS]]).astype(np.float32)
        smooth = np.asarray(ndimage.gaussian_filter(block, 1.0, radius=_RADIUS))[len(above) :][: rows.stop - rows.start]
        above = interior[max(0, rows.stop - _RADIUS) : rows.stop].copy()  # unsmoothed, for the rows below
        heights = (EXCLUDED - 1) - np.rint(smooth * ((EXCLUDED - 1) / 255))
        interior[rows] = np.where(foreground[rows], heights, EXCLUDED)


def _slices(window: tuple[Span, ...]) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in window)
