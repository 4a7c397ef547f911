"""Samples: real images, cut to the tiles that a proof compares and that a quantisation observes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Num, UInt8

from pixelwise.engine.recipe import Recipe
from pixelwise.engine.runtimes import Runtime
from pixelwise.geometry.tiles import mirror_indices
from pixelwise.images.preprocess import Scale, intensity_scale

# (batch, rows, columns) of one round; sides are brought up to legal ones. Several sizes and batches, none of them
# the ones that the graph was traced with.
SHAPES = ((1, 320, 256), (2, 160, 192), (4, 64, 96))
MOST_ROUNDS = 4
MOST_SAMPLES = MOST_ROUNDS * sum(batch for batch, _, _ in SHAPES)
MOST_VALUES = 2_000_000  # logits in a proof: 8 MB before compression
CALIBRATION_SIDE = 256
SEED = 0


@dataclass(frozen=True)
class Sample:
    """A real image with its truth.

    Attributes
    ----------
    pixels : (channels, height, width)
        In file values.
    truth : (height, width)
        Target class of each pixel, 255 where nothing is known.
    """

    pixels: Num[np.ndarray, "channels height width"]
    truth: UInt8[np.ndarray, "height width"]


class Trial(NamedTuple):
    """A batch of tiles in file values, the numbers of their images, their truth, and what torch says of them.

    `image` (batch, channels, rows, columns) of the images' own type; `mean` and `std` (batch, channels) float64;
    `truth` (batch, *output_size) uint8; `logits` (batch, classes, *output_size) float32.
    """

    image: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    truth: np.ndarray
    logits: np.ndarray


def make_trials(samples: Sequence[Sample], recipe: Recipe, reference: Runtime) -> list[Trial]:
    """Cut trials out of the samples, all places drawn from one seed, and let `reference` predict them.

    Parameters
    ----------
    samples : sequence of Sample
        At least one; they take turns.
    recipe : Recipe
    reference : Runtime
        Takes tiles on the scale of the network.
    """
    rng = np.random.default_rng(SEED)
    order = iter(_for_ever(samples))
    per_round = sum(batch * rows * columns for batch, rows, columns in SHAPES) * recipe.network.classes
    rounds = max(1, min(MOST_ROUNDS, MOST_VALUES // per_round))
    trials: list[Trial] = []
    for batch, rows, columns in SHAPES * rounds:
        cuts = [_cut(next(order), recipe, (rows, columns), rng) for _ in range(batch)]
        tiles = np.stack([scale.apply(pixels) for pixels, scale, _ in cuts])
        trials.append(
            Trial(
                image=np.stack([pixels for pixels, _, _ in cuts]),
                mean=np.stack([scale.shift for _, scale, _ in cuts]),
                std=np.stack([1 / scale.factor for _, scale, _ in cuts]),
                truth=np.stack([truth for _, _, truth in cuts]),
                logits=reference(tiles).astype(np.float32),
            )
        )
    return trials


def calibration(samples: Iterable[Sample], recipe: Recipe, most: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield inputs of the graph, one tile each, from training images: what a quantisation observes.

    Parameters
    ----------
    samples : iterable of Sample
        Where it holds fewer than `most`, they take turns and other places of them are cut.
    recipe : Recipe
    most : int
    """
    rng = np.random.default_rng(SEED)
    kept = [sample for sample, _ in zip(samples, range(most), strict=False)]
    for sample, _ in zip(_for_ever(kept), range(most), strict=False):
        pixels, scale, _ = _cut(sample, recipe, (CALIBRATION_SIDE, CALIBRATION_SIDE), rng)
        feed = {"image": pixels[None].astype(np.float32)}
        if recipe.normalisation.kind == "image":
            feed["mean"] = scale.shift[None].astype(np.float32)
            feed["std"] = (1 / scale.factor)[None].astype(np.float32)
        yield feed


def scaled(trial: Trial) -> np.ndarray:
    """Return the tiles of a trial on the scale of the network, as prediction scales them."""
    scales = [Scale(1 / std, mean) for mean, std in zip(trial.mean, trial.std, strict=True)]
    return np.stack([scale.apply(pixels) for pixels, scale in zip(trial.image, scales, strict=True)])


def _for_ever(samples: Sequence[Sample]) -> Iterator[Sample]:
    while samples:
        yield from samples


def _cut(
    sample: Sample, recipe: Recipe, sides: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, Scale, np.ndarray]:
    """Cut a window of at least `sides` at a random place, mirrored beyond the image; the scale is the whole image's."""
    geometry = recipe.geometry
    inner: list[np.ndarray] = []
    outer: list[np.ndarray] = []
    for side, length in zip(sides, sample.pixels.shape[1:], strict=True):
        legal = geometry.legal_size(side)
        start = int(rng.integers(max(1, length - legal + 1)))
        outer.append(mirror_indices(start, start + legal, length))
        inner.append(outer[-1][geometry.margin : legal - geometry.margin])
    pixels = sample.pixels[:, outer[0][:, None], outer[1][None]]
    truth = sample.truth[inner[0][:, None], inner[1][None]]
    return pixels, intensity_scale(sample.pixels, recipe.normalisation), truth
