"""Images, crops and batches of the parity check and of the int8 calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, Num

from pixelwise.geometry.tiles import mirror_indices
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import Scale, intensity_scale

SEED = 0
Feed = dict[str, np.ndarray]  # inputs of a graph by name


@dataclass(frozen=True)
class Sample:
    """An image with its ground truth.

    Attributes
    ----------
    pixels : (channels, height, width) or (channels, depth, height, width)
        In file values; resized for classification (see `sampling.resize_crop.resize_shorter_side`).
    truth : (height, width) or (depth, height, width) uint8, or () int64
        Target class of each pixel, 255 where it is ignored; or the class of the image.
    """

    pixels: Num[np.ndarray, " channels *_"]
    truth: Integer[np.ndarray, "*size"]


class ParityBatch(NamedTuple):
    """A batch of images in file values, with the parameters of their normalisation, ground truth and PyTorch logits.

    `image` (batch, channels, *size) in the type of the images; `mean` and `std` (batch, channels) float64;
    `truth` (batch, *output_size), where output_size is () for classification; `logits` (batch, classes, *output_size)
    float32.
    """

    image: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    truth: np.ndarray
    logits: np.ndarray


class SampleCrop(NamedTuple):
    """A crop of a sample: pixels (channels, *size), the scale of the whole image, and the ground truth."""

    pixels: np.ndarray
    scale: Scale
    truth: np.ndarray


def make_parity_batch(crops: Sequence[SampleCrop], reference: Runtime) -> ParityBatch:
    """Return a parity batch of crops of one size, with the logits of `reference` for the normalised images."""
    return ParityBatch(
        image=np.stack([crop.pixels for crop in crops]),
        mean=np.stack([crop.scale.shift for crop in crops]),
        std=np.stack([1 / crop.scale.factor for crop in crops]),
        truth=np.stack([crop.truth for crop in crops]),
        logits=reference(np.stack([crop.scale.apply(crop.pixels) for crop in crops])).astype(np.float32),
    )


def make_feed(crop: SampleCrop, model_card: ModelCard) -> Feed:
    """Return a crop as inputs of the graph, with a batch size of 1."""
    feed = {"image": crop.pixels[None].astype(np.float32)}
    if model_card.normalisation.kind == "image":
        feed["mean"] = crop.scale.shift[None].astype(np.float32)
        feed["std"] = (1 / crop.scale.factor)[None].astype(np.float32)
    return feed


def draw_crop(sample: Sample, sides: tuple[int, ...], model_card: ModelCard, rng: np.random.Generator) -> SampleCrop:
    """Return a crop at a random position, of at least `sides`, enlarged to a valid size, with reflection.

    Its intensity scale is that of the whole image. Where the ground truth is a map, it is that of the output.
    """
    indices: list[np.ndarray] = []
    inner: list[np.ndarray] = []  # without the border of valid convolutions
    for axis, (side, length) in enumerate(zip(sides, sample.pixels.shape[1:], strict=True)):
        geometry = model_card.geometry.along(axis)
        valid_side = geometry.valid_size(side)
        start = int(rng.integers(max(1, length - valid_side + 1)))
        indices.append(mirror_indices(start, start + valid_side, length))
        inner.append(indices[-1][geometry.margin : valid_side - geometry.margin])
    truth = sample.truth[np.ix_(*inner)] if sample.truth.ndim else sample.truth
    scale = intensity_scale(sample.pixels, model_card.normalisation)
    return SampleCrop(sample.pixels[(slice(None), *np.ix_(*indices))], scale, truth)


def normalised(batch: ParityBatch) -> np.ndarray:
    """Return the images of a parity batch, normalised as in prediction."""
    scales = [Scale(1 / std, mean) for mean, std in zip(batch.mean, batch.std, strict=True)]
    return np.stack([scale.apply(pixels) for pixels, scale in zip(batch.image, scales, strict=True)])
