"""Batches of whole images for classification, as a pure function of (seed, step)."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int64

from pixelwise.errors import BadOption
from pixelwise.sampling.normalise import Scale
from pixelwise.sampling.resize_crop import MAX_SIDE, resize
from pixelwise.training.batch import Batch

ORDER_PURPOSE, CROP_PURPOSE = 2, 3  # second word of the generators' key; 1 is that of patches
MAX_TRIES = 10  # attempts to draw a random window that fits


@dataclass(frozen=True, kw_only=True)
class ClassificationOptions:
    """Input size, batch size and augmentation of classification.

    Attributes
    ----------
    side : int
        Side of the network's input in pixels.
    shorter : int
        Images are resized to this shorter side when they are read; prediction uses the centre `side` x `side`.
    batch : int
        Batch size, in images.
    padding : int
        Training uses random crops of the image, padded by this many pixels of mean colour (4 pixels at 32 x 32: He et
        al. 2016, section 4.2).
    smallest_area : float
        Below 1, random resized crops are used instead: at least this fraction of the image area, with aspect ratios of
        3:4 to 4:3 (Szegedy et al. 2015, section 6).
    flip : bool
        Flip half of the images horizontally.
    """

    side: int = 224
    shorter: int = 256
    batch: int = 64
    padding: int = 0
    smallest_area: float = 1.0
    flip: bool = True

    def __post_init__(self) -> None:
        """Validate the sizes."""
        for name in ("side", "batch"):
            if getattr(self, name) < 1:
                raise BadOption(f"classification.{name} of at least 1", str(getattr(self, name)), "Increase it.")
        if not self.side <= self.shorter <= MAX_SIDE:
            got = f"{self.shorter} with side {self.side}"
            raise BadOption(
                f"classification.shorter from classification.side to {MAX_SIDE}",
                got,
                "Increase shorter or reduce side.",
            )
        if self.padding < 0:
            raise BadOption("classification.padding of at least 0", str(self.padding), "Use 0 or more.")
        if not 0 < self.smallest_area <= 1:
            raise BadOption(
                "classification.smallest_area in (0, 1]", str(self.smallest_area), "1 crops without resizing."
            )


class ClassificationSampler:
    """Sampler of batches of images in memory.

    A batch is a pure function of (seed, step). Every image is used once per epoch, in a new random order: the i-th
    image of the training is the (i mod n)-th of the permutation of epoch i div n. There is no state.

    Parameters
    ----------
    images : sequence of arrays (channels, rows, columns)
        Resized (see `resize_crop.resize_shorter_side`), of any dtype.
    seed : int
        At least 0.

    Raises
    ------
    BadOption
        There are no images, the numbers of images, classes and scales differ, or the seed is negative.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        classes: Sequence[int],
        scales: Sequence[Scale],
        options: ClassificationOptions,
        seed: int,
    ) -> None:
        if not images or not len(images) == len(classes) == len(scales):
            got = f"{len(images)} images, {len(classes)} classes, {len(scales)} scales"
            raise BadOption("as many classes and scales as images, and at least one", got, "Pass one of each.")
        if seed < 0:
            raise BadOption("a seed of at least 0", str(seed), "Use another seed.")
        self._images, self._scales, self._options, self._seed = tuple(images), tuple(scales), options, seed
        self._classes = np.asarray(classes, np.int64)

    def with_batch(self, batch: int) -> "ClassificationSampler":
        """Return a sampler of the same images with another batch size."""
        other = copy(self)
        other._options = replace(self._options, batch=batch)
        return other

    @property
    def size(self) -> int:
        """The number of images of a batch."""
        return self._options.batch

    def batch(self, step: int, chosen: range | None = None) -> Batch:
        """Draw the images of one step, or those at its places `chosen`."""
        options = self._options
        rng = np.random.Generator(np.random.Philox(key=[self._seed, CROP_PURPOSE], counter=[0, 0, 0, step]))
        cases = [self._case(step * options.batch + place) for place in range(options.batch)]
        flips = rng.random(options.batch) < 0.5
        windows = [self._window(case, rng) for case in cases]  # of all: they share a generator
        places = range(options.batch) if chosen is None else chosen
        images = np.zeros((len(places), self._images[0].shape[0], options.side, options.side), np.float32)
        for image, place in zip(images, places, strict=True):
            self._crop(cases[place], windows[place], image)
            if flips[place] and options.flip:
                image[:] = image[:, :, ::-1].copy()
        own = [cases[place] for place in places]
        return Batch(torch.from_numpy(images), torch.from_numpy(self._classes[own]), samples=tuple(own))

    def _case(self, number: int) -> int:
        epoch, place = divmod(number, len(self._images))
        return int(_permutation(self._seed, epoch, len(self._images))[place])

    def _window(self, case: int, rng: np.random.Generator) -> tuple[slice, slice]:
        """Draw a window (rows, columns) of an image, which may lie partly outside: negative or beyond its end."""
        height, width = self._images[case].shape[1:]
        options = self._options
        if options.smallest_area < 1:
            return _random_window(height, width, options.smallest_area, rng)
        starts = [
            int(rng.integers(-options.padding, whole + options.padding - options.side + 1)) for whole in (height, width)
        ]
        top, left = starts
        return slice(top, top + options.side), slice(left, left + options.side)

    def _crop(self, case: int, window: tuple[slice, slice], image: np.ndarray) -> None:
        """Fill `image` (channels, side, side) with a window; padding stays 0, the mean."""
        pixels, scale, options = self._images[case], self._scales[case], self._options
        if options.smallest_area < 1:
            image[:] = resize(scale.apply(pixels[(slice(None), *window)]), (options.side, options.side))
            return
        spans: list[tuple[slice, slice]] = []
        for along, whole in zip(window, pixels.shape[1:], strict=True):
            low, high = max(0, along.start), min(whole, along.stop)
            spans.append((slice(low, high), slice(low - along.start, high - along.start)))
        (top, top_in), (left, left_in) = spans
        image[:, top_in, left_in] = scale.apply(pixels[:, top, left])


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> Int64[np.ndarray, " count"]:
    rng = np.random.Generator(np.random.Philox(key=[seed, ORDER_PURPOSE], counter=[0, 0, 0, epoch]))
    return rng.permutation(count).astype(np.int64)


def _random_window(height: int, width: int, smallest: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw a window by its area and aspect ratio; if none fits, return the largest centre square."""
    for _ in range(MAX_TRIES):
        area = height * width * rng.uniform(smallest, 1)
        shape = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        rows, columns = round(float(np.sqrt(area / shape))), round(float(np.sqrt(area * shape)))
        if 1 <= rows <= height and 1 <= columns <= width:
            top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
            return slice(top, top + rows), slice(left, left + columns)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)
