"""Crop of an image that is inspected, normalised and padded to a valid size."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Num

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import tile_grid
from pixelwise.inference.tile_reading import read_mirrored
from pixelwise.model_file.model_file import ModelCard
from pixelwise.networks.models import Classifier, Network
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resize_crop import View, centre_crop, resize_shorter_side

MAX_SIDE = 1024  # pixels
MAX_VALUES = 200_000_000  # numbers in all feature maps; with their gradients about 2.5 GB


@dataclass(frozen=True)
class Crop:
    """The inspected pixels of an image or a volume and the network input made from them.

    Attributes
    ----------
    shown : (channels, height, width) or (channels, depth, height, width)
        The inspected pixels, in file values.
    origin : tuple of int
        Where `shown` starts in the image along each axis.
    given : float32 array (channels, *size)
        The network input: normalised and reflection-padded to a valid size.
    offset : tuple of int
        Where `given` starts relative to `shown` along each axis; negative for valid networks.
    keep : tuple of slice
        The part of the logits that covers `shown`.
    """

    shown: Num[np.ndarray, " channels *_"]
    origin: tuple[int, ...]
    given: Float32[np.ndarray, " channels *_"]
    offset: tuple[int, ...]
    keep: tuple[slice, ...]


def crop_for_masks(
    network: Network,
    model_card: ModelCard,
    pixels: Num[np.ndarray, " channels *size"],
    pixel: tuple[int, ...] | None = None,
) -> Crop:
    """Return a crop for a segmentation network, centred on `pixel` or on the image.

    Its sides are at most `largest_side` pixels, and it is normalised as in prediction, with the statistics of the whole
    image.

    Raises
    ------
    BadOption
        The pixel is outside the image, or has another number of axes.
    """
    size = pixels.shape[1:]
    if pixel is not None and not (
        len(pixel) == len(size) and all(0 <= index < side for index, side in zip(pixel, size, strict=True))
    ):
        sides = f"{size[0]} rows and {size[1]} columns" if len(size) == 2 else " x ".join(map(str, size)) + " voxels"
        expected = f"a pixel in the image of {sides}, counted from 0"
        hint = "Choose a row and column inside the image." if len(size) == 2 else "Choose a plane, row and column."
        raise BadOption(expected, ",".join(map(str, pixel)), hint)
    max_side, geometry = largest_side(network), network.geometry()
    origin: list[int] = []
    for axis, side in enumerate(size):
        centre, stride = side // 2 if pixel is None else pixel[axis], geometry.along(axis).total_stride
        # aligned to the total stride, so that pooling windows are the same as in prediction
        last = -(-max(0, side - max_side) // stride) * stride
        origin.append(min(max(0, centre - max_side // 2) // stride * stride, last))
    shown = pixels[(slice(None), *(slice(start, start + max_side) for start in origin))]
    (tile,) = tile_grid(shown.shape[1:], max(shown.shape[1:]), geometry)
    given = intensity_scale(pixels, model_card.normalisation).apply(read_mirrored(shown, tile.read))
    return Crop(shown, tuple(origin), given, tuple(start for start, _ in tile.read), tile.kept[1:])


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
