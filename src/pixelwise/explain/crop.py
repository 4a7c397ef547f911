"""Sight: the part of an image that is looked into, on the scale of the network and of a size it takes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.predictor import read_mirrored
from pixelwise.model_file.model_file import ModelCard
from pixelwise.networks.models import Classifier, Network
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resize_crop import View, fit, middle

SIDE = 1024  # pixels a side that are looked into at most
MOST_VALUES = 200_000_000  # numbers in the maps on the way; with their gradients about 2.5 GB


@dataclass(frozen=True)
class Crop:
    """What a network gets to see of an image.

    Attributes
    ----------
    shown : (channels, height, width)
        The pixels that are looked into, in the image's own values.
    origin : (int, int)
        Their first row and column in the image.
    given : float32 array (channels, rows, columns)
        What the network gets: on its scale, mirrored beyond the image to a size that it takes.
    offset : (int, int)
        Where `given` begins, from the first row and column of `shown`; negative for valid networks.
    keep : (slice, slice)
        What of the logits lies over `shown`.
    """

    shown: Num[np.ndarray, "channels height width"]
    origin: tuple[int, int]
    given: Float32[np.ndarray, "channels rows columns"]
    offset: tuple[int, int]
    keep: tuple[slice, slice]


def crop_for_masks(
    network: Network,
    model_card: ModelCard,
    pixels: Num[np.ndarray, "channels height width"],
    pixel: tuple[int, int] | None = None,
) -> Crop:
    """Return what a network for masks sees of an image: all of it, or the part around `pixel` or in the middle.

    The part is `largest_side` pixels a side at most. It is scaled as in prediction, by what the whole image says.

    Raises
    ------
    BadOption
        The pixel lies outside the image.
    """
    size = pixels.shape[1], pixels.shape[2]
    if pixel is not None and not all(0 <= place < side for place, side in zip(pixel, size, strict=True)):
        expected = f"a pixel in the image of {size[0]} rows and {size[1]} columns, counted from 0"
        raise BadOption(expected, f"{pixel[0]},{pixel[1]}", "Give another row and column.")
    most, stride = largest_side(network), network.geometry().total_stride
    origin: list[int] = []
    for axis, side in enumerate(size):
        centre = side // 2 if pixel is None else pixel[axis]
        # parts begin where pooling begins, so that maps lie as they do in prediction; the last one reaches the end
        last = -(-max(0, side - most) // stride) * stride
        origin.append(min(max(0, centre - most // 2) // stride * stride, last))
    shown = pixels[:, origin[0] : origin[0] + most, origin[1] : origin[1] + most]
    (tile,) = tile_grid(shown.shape[1:], max(shown.shape[1:]), network.geometry())
    given = intensity_scale(pixels, model_card.normalisation).apply(read_mirrored(shown, tile.read))
    (top, bottom), (left, right) = tile.keep
    offset = tile.read[0][0], tile.read[1][0]
    return Crop(shown, (origin[0], origin[1]), given, offset, (slice(top, bottom), slice(left, right)))


def crop_for_class(model_card: ModelCard, view: View, pixels: Num[np.ndarray, "channels height width"]) -> Crop:
    """Return what a network for whole images sees of one: its middle, at the size of the `view`."""
    fitted = fit(pixels, view.shorter)
    shown = middle(fitted, view.side, view.side)
    given = intensity_scale(fitted, model_card.normalisation).apply(shown)
    whole = slice(0, view.side)
    return Crop(shown, (0, 0), given, (0, 0), (whole, whole))


def largest_side(network: Network) -> int:
    """Return how many pixels a side can be looked into with at most `MOST_VALUES` on the way: 1024, 512, ..."""
    geometry, side = network.geometry(), SIDE
    while side > geometry.total_stride and _values(network, side) > MOST_VALUES:
        side //= 2
    return side


def _values(network: Network, side: int) -> int:
    margin = 0 if isinstance(network, Classifier) else network.geometry().margin
    return sum(layer.values for layer in network.layers(network.geometry().legal_size(side + 2 * margin)))
