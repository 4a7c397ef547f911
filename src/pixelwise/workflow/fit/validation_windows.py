"""Which pixels a validation during training sees: whole images if there is time, else windows spread over them."""

import math
from collections.abc import Sequence
from itertools import count as numbers

import numpy as np

from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.fit.training_data import TrainingImage

MIN_SIDE = {2: 64, 3: 16}  # of a cropped validation image
WINDOWS, WINDOW_SIDE = 8, 96  # number of windows that few pixels are spread over, and their smallest side
SPARSE = 0.25  # fraction of known pixels, below which windows lie on them: elsewhere is nothing to score
CONTEXT = {2: 32, 3: 8}  # pixels around the known ones of a sparse annotation, which the network sees as well
STEPS = (0.7548776662466927, 0.5698402909980532)  # of places: 1/p and 1/p², p³ = p + 1, Roberts' R2 sequence


def choose_windows(images: Sequence[TrainingImage], max_pixels: int, first: int) -> list[TrainingImage]:
    """Return evenly spaced images, or windows of them, with `max_pixels` in total.

    Few pixels are spread: over several images, since images differ more than their parts do, and over places within
    them, since the centres of images are alike. Windows of an image have its name. Volumes are cropped to their centre.
    Images of which little is known are cropped to that before.

    Parameters
    ----------
    images : sequence of TrainingImage
        Channels first; of one or several sizes.
    max_pixels : int
        Of all windows together; about as many are chosen.
    first : int
        The first class that is scored. If nothing that is chosen shows one, no score is defined: then images that do
        are chosen, and cropped to where they do.
    """
    images = [_known_part(image) for image in images]
    mean = sum(image.target.size for image in images) / len(images)
    spread = max(1, min(WINDOWS, int(max_pixels / WINDOW_SIDE**2))) if images[0].target.ndim == 2 else 1
    count = max(1, min(len(images), max(spread, round(max_pixels / mean))))
    each, places = max_pixels / count, numbers()
    chosen: list[TrainingImage] = []
    for image in evenly_spaced(images, count):
        windows = max(1, round(spread / count)) if _is_cut(image, each) else 1
        chosen += [_crop(image, each / windows, _place(image, next(places))) for _ in range(windows)]
    if any(_scored_pixels(image, first).any() for image in chosen):
        return chosen
    shown = [image for image in images if _scored_pixels(image, first).any()]
    if not shown:
        return chosen
    return [_crop(image, each, _scored_place(image, first)) for image in evenly_spaced(shown, min(count, len(shown)))]


def cut_window(image: TrainingImage, corner: Sequence[int], size: Sequence[int]) -> TrainingImage:
    """Return the window of an image that begins at a pixel; what lies outside the image is left out."""
    box = tuple(slice(max(0, first), max(0, first) + side) for first, side in zip(corner, size, strict=True))
    return TrainingImage(image.name, image.pixels[(slice(None), *box)], image.target[box], image.scale)


def _known_part(image: TrainingImage) -> TrainingImage:
    """Return the part of an image around its known pixels, if it is less than half of the image."""
    known = image.target != IGNORE
    axes = range(known.ndim)
    box: list[tuple[int, int]] = []
    for axis in axes:
        places = np.flatnonzero(known.any(tuple(other for other in axes if other != axis)))
        if not places.size:
            return image
        first, last = (int(places[end]) for end in (0, -1))
        missing = max(0, MIN_SIDE[known.ndim] - (last + 1 - first))
        around = max(CONTEXT[known.ndim], -(-missing // 2))
        box.append((max(0, first - around), min(known.shape[axis], last + 1 + around)))
    size = [last - first for first, last in box]
    return image if 2 * math.prod(size) >= known.size else cut_window(image, [first for first, _ in box], size)


def _scored_pixels(image: TrainingImage, first: int) -> np.ndarray:
    return (image.target >= first) & (image.target != IGNORE)


def _scored_place(image: TrainingImage, first: int) -> list[float]:
    """Return the middle of a pixel of a scored class: of the middle one in the order of the array."""
    places = np.flatnonzero(_scored_pixels(image, first))
    return [int(index) + 0.5 for index in np.unravel_index(places[len(places) // 2], image.target.shape)]


def _place(image: TrainingImage, number: int) -> list[float]:
    """Return the middle of a window: places in a row are spread; the first, and each in a volume, is the centre.

    In an image of which little is known they are spread over what is.
    """
    shape = image.target.shape
    known = np.flatnonzero(image.target != IGNORE)
    if 0 < known.size < SPARSE * image.target.size:
        index = int(known.size * ((0.5 + number * STEPS[0]) % 1))
        return [int(axis) + 0.5 for axis in np.unravel_index(known[index], shape)]
    steps = STEPS if len(shape) == 2 else (0.0, 0.0, 0.0)
    return [side * ((0.5 + number * step) % 1) for side, step in zip(shape, steps, strict=True)]


def _is_cut(image: TrainingImage, pixels: float) -> bool:
    return image.target.size > 1.5 * pixels


def _crop(image: TrainingImage, pixels: float, middle: Sequence[float]) -> TrainingImage:
    """Return an image of many more pixels cropped to about `pixels` around a place."""
    if not _is_cut(image, pixels):
        return image
    shape = image.target.shape
    shrink = (pixels / image.target.size) ** (1 / len(shape))
    size = [max(MIN_SIDE[len(shape)], int(side * shrink)) for side in shape]
    places = zip(middle, shape, size, strict=True)
    corner = [min(math.floor(place - side / 2), whole - side) for place, whole, side in places]
    return cut_window(image, corner, size)
