"""Crop of an image that is inspected, normalised and padded to a valid size."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.predictor import read_mirrored
from pixelwise.model_file.model_file import ModelCard
from pixelwise.networks.models import Classifier, Network
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resize_crop import View, centre_crop, resize_shorter_side

MAX_SIDE = 1024  # pixels
MAX_VALUES = 200_000_000  # numbers in all feature maps; with their gradients about 2.5 GB


@dataclass(frozen=True)
class Crop:
    """The inspected pixels of an image and the network input made from them.

    Attributes
    ----------
    shown : (channels, height, width)
        The inspected pixels, in file values.
    origin : (int, int)
        First row and column of `shown` in the image.
    given : float32 array (channels, rows, columns)
        The network input: normalised and reflection-padded to a valid size.
    offset : (int, int)
        First row and column of `given` relative to `shown`; negative for valid networks.
    keep : (slice, slice)
        The part of the logits that covers `shown`.
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
    """Return a crop for a segmentation network, centred on `pixel` or on the image.

    It is at most `largest_side` pixels wide and high, and normalised as in prediction, with the statistics of the whole
    image.

    Raises
    ------
    BadOption
        The pixel is outside the image.
    """
    size = pixels.shape[1], pixels.shape[2]
    if pixel is not None and not all(0 <= index < side for index, side in zip(pixel, size, strict=True)):
        expected = f"a pixel in the image of {size[0]} rows and {size[1]} columns, counted from 0"
        raise BadOption(expected, f"{pixel[0]},{pixel[1]}", "Choose a row and column inside the image.")
    max_side, stride = largest_side(network), network.geometry().total_stride
    origin: list[int] = []
    for axis, side in enumerate(size):
        centre = side // 2 if pixel is None else pixel[axis]
        # aligned to the total stride, so that pooling windows are the same as in prediction
        last = -(-max(0, side - max_side) // stride) * stride
        origin.append(min(max(0, centre - max_side // 2) // stride * stride, last))
    shown = pixels[:, origin[0] : origin[0] + max_side, origin[1] : origin[1] + max_side]
    (tile,) = tile_grid(shown.shape[1:], max(shown.shape[1:]), network.geometry())
    given = intensity_scale(pixels, model_card.normalisation).apply(read_mirrored(shown, tile.read))
    (top, bottom), (left, right) = tile.keep
    offset = tile.read[0][0], tile.read[1][0]
    return Crop(shown, (origin[0], origin[1]), given, offset, (slice(top, bottom), slice(left, right)))


def crop_for_class(model_card: ModelCard, view: View, pixels: Num[np.ndarray, "channels height width"]) -> Crop:
    """Return the crop for a classification network: the centre of the image, at the size of `view`."""
    fitted = resize_shorter_side(pixels, view.shorter)
    shown = centre_crop(fitted, view.side, view.side)
    given = intensity_scale(fitted, model_card.normalisation).apply(shown)
    whole = slice(0, view.side)
    return Crop(shown, (0, 0), given, (0, 0), (whole, whole))


def largest_side(network: Network) -> int:
    """Return the largest side (1024, 512, ...) whose feature maps have at most `MAX_VALUES` numbers."""
    geometry, side = network.geometry(), MAX_SIDE
    while side > geometry.total_stride and _values(network, side) > MAX_VALUES:
        side //= 2
    return side


def _values(network: Network, side: int) -> int:
    margin = 0 if isinstance(network, Classifier) else network.geometry().margin
    return sum(layer.values for layer in network.layers(network.geometry().valid_size(side + 2 * margin)))
