"""Samples: real images, from which the trials of a proof and the inputs that a quantisation observes are cut."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer, Num

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import mirror_indices
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import Scale

SEED = 0
Feed = dict[str, np.ndarray]  # inputs of a graph by name


@dataclass(frozen=True)
class Sample:
    """A real image with its truth.

    Attributes
    ----------
    pixels : (channels, height, width)
        In file values; photos fitted (see `sampling.resize_crop.fit`).
    truth : (height, width) uint8, or () int64
        Target class of each pixel, 255 where nothing is known; or the class of the whole image.
    """

    pixels: Num[np.ndarray, "channels height width"]
    truth: Integer[np.ndarray, "*size"]


class ParityBatch(NamedTuple):
    """A batch of images in file values, the numbers that normalise them, their truth, and what torch says of them.

    `image` (batch, channels, rows, columns) of the images' own type; `mean` and `std` (batch, channels) float64;
    `truth` (batch, *output_size), where output_size is () for whole images; `logits` (batch, classes, *output_size)
    float32.
    """

    image: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    truth: np.ndarray
    logits: np.ndarray


class SampleCrop(NamedTuple):
    """What is cut out of a sample: pixels (channels, rows, columns), the scale of the whole image, and the truth."""

    pixels: np.ndarray
    scale: Scale
    truth: np.ndarray


def make_parity_batch(cuts: Sequence[SampleCrop], reference: Runtime) -> ParityBatch:
    """Let `reference`, which takes images on the scale of the network, say what it says of cuts of one size."""
    return ParityBatch(
        image=np.stack([cut.pixels for cut in cuts]),
        mean=np.stack([cut.scale.shift for cut in cuts]),
        std=np.stack([1 / cut.scale.factor for cut in cuts]),
        truth=np.stack([cut.truth for cut in cuts]),
        logits=reference(np.stack([cut.scale.apply(cut.pixels) for cut in cuts])).astype(np.float32),
    )


def make_feed(cut: SampleCrop, model_card: ModelCard) -> Feed:
    """Return a cut as the inputs of the graph, one image in the batch."""
    feed = {"image": cut.pixels[None].astype(np.float32)}
    if model_card.normalisation.kind == "image":
        feed["mean"] = cut.scale.shift[None].astype(np.float32)
        feed["std"] = (1 / cut.scale.factor)[None].astype(np.float32)
    return feed


def draw_places(
    size: tuple[int, ...], sides: tuple[int, int], geometry: Geometry, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " columns"]]:
    """Draw rows and columns of a window of at least `sides`, brought up to legal ones, mirrored beyond the image."""
    places: list[np.ndarray] = []
    for side, length in zip(sides, size, strict=True):
        legal = geometry.legal_size(side)
        start = int(rng.integers(max(1, length - legal + 1)))
        places.append(mirror_indices(start, start + legal, length))
    return places[0], places[1]


def scaled(trial: ParityBatch) -> np.ndarray:
    """Return the images of a trial on the scale of the network, as prediction scales them."""
    scales = [Scale(1 / std, mean) for mean, std in zip(trial.mean, trial.std, strict=True)]
    return np.stack([scale.apply(pixels) for pixels, scale in zip(trial.image, scales, strict=True)])


def in_turn(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Yield samples for ever, in turn."""
    kept = list(samples)
    while kept:
        yield from kept
