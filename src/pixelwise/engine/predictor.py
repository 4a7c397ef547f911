"""Any array becomes logits: tiles, symmetries, bounded memory. Arrays only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from pixelwise.engine.runtimes import Runtime
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import IDENTITY, Symmetry, Turns
from pixelwise.geometry.tiles import Span, Tile, mirror_indices, tile_grid
from pixelwise.images.preprocess import Scale


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How images are predicted where the user does not say otherwise; it travels in the model file.

    `turns` is the number of turned inputs that are averaged (`geometry.symmetries.TURNED`).
    """

    turns: Turns = 1


class Part(NamedTuple):
    """Logits (classes, height, width) of the window `write` ((top, bottom), (left, right)) of the image."""

    write: tuple[Span, ...]
    logits: np.ndarray


class Predictor:
    """Predicts images of any size, tile by tile.

    Parameters
    ----------
    runtime : Runtime
    geometry : Geometry
        Of the network behind the runtime; `geometry.exact` says whether tiles equal the whole.
    classes : int
        Channels of the logits.
    core : int
        Pixels a side that a tile keeps; a core as large as the image predicts it whole.
    symmetries : sequence of Symmetry
        Logits are averaged over these turned inputs; each costs one prediction.

    Notes
    -----
    Memory: the pixels as they came, plus for one tile of side T = core + 2 halo (or 2 margin) the float input and the
    network's activations, which for a U-Net of base width b are about 8 b T^2 numbers; `logits` adds
    classes x height x width numbers, `stream` adds nothing.
    """

    def __init__(
        self,
        runtime: Runtime,
        geometry: Geometry,
        classes: int,
        core: int,
        symmetries: Sequence[Symmetry] = (IDENTITY,),
    ) -> None:
        self._runtime, self._geometry, self._classes, self._core = runtime, geometry, classes, core
        self._symmetries = symmetries

    def count(self, size: tuple[int, int]) -> int:
        """Return the number of tiles for an image of `size`."""
        return len(tile_grid(size, self._core, self._geometry))

    def logits(
        self, pixels: Num[np.ndarray, "channels height width"], scale: Scale
    ) -> Float[np.ndarray, "classes height width"]:
        """Return the logits of the whole image."""
        whole: np.ndarray | None = None
        for part in self.stream(pixels, scale):
            if whole is None:
                whole = np.empty((self._classes, *pixels.shape[1:]), part.logits.dtype)
            (top, bottom), (left, right) = part.write
            whole[:, top:bottom, left:right] = part.logits
        if whole is None:
            return np.empty((self._classes, 0, 0), np.float32)
        return whole

    def stream(self, pixels: Num[np.ndarray, "channels height width"], scale: Scale) -> Iterator[Part]:
        """Yield the logits window by window; the windows cover each pixel once."""
        height, width = pixels.shape[1:]
        for tile in tile_grid((height, width), self._core, self._geometry):
            yield Part(tile.write, self._predict(pixels, scale, tile))

    def _predict(self, pixels: np.ndarray, scale: Scale, tile: Tile) -> np.ndarray:
        window = scale.apply(read_mirrored(pixels, tile.read))
        total: np.ndarray | None = None
        for symmetry in self._symmetries:
            turned = np.ascontiguousarray(symmetry.apply(window))[None]
            logits = symmetry.invert(self._runtime(turned)[0])
            total = logits if total is None else total + logits
        if total is None:
            raise ValueError("no symmetry to predict")
        (top, bottom), (left, right) = tile.keep
        return total[:, top:bottom, left:right] / len(self._symmetries)


def read_mirrored(
    pixels: Num[np.ndarray, "channels height width"], window: tuple[Span, ...]
) -> Num[np.ndarray, "channels window_height window_width"]:
    """Read a window that may reach beyond the image, which is mirrored there without end."""
    (top, bottom), (left, right) = window
    height, width = pixels.shape[1:]
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return pixels[:, top:bottom, left:right]
    rows, columns = mirror_indices(top, bottom, height), mirror_indices(left, right, width)
    return pixels[:, rows[:, None], columns[None, :]]
