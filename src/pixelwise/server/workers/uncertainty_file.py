"""The map of uncertainty of an image that is predicted tile by tile."""

from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import numpy as np

from pixelwise.io.label_writer import PixelMetadata, TiledLayout, TileFile, Window, finish
from pixelwise.labels.targets import probabilities_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.confidence import TOP, uncertainty_map


class UncertaintyFile:
    """A tiled TIFF in progress with 255 (1 - p) of each pixel, p being the probability of its most probable class."""

    def __init__(self, path: Path, model_card: ModelCard) -> None:
        self.path, self._card = path, model_card
        self._tiles: TileFile | None = None
        self._sum = 0

    def add(self, layout: TiledLayout, window: Window, logits: np.ndarray) -> None:
        """Write a window; `layout` is that of the mask."""
        if self._tiles is None:
            self._tiles = TileFile(self.path, replace(layout, dtype="uint8"), token_hex(8))
        unsure = uncertainty_map(probabilities_of(logits, self._card.target, self._card.temperatures), self._card)
        self._sum += int(unsure.sum(dtype=np.int64))
        self._tiles.write(window, unsure)

    def finish(self) -> float | None:
        """Complete the file; return the mean uncertainty (0 to 1), None if nothing was written."""
        if self._tiles is None:
            return None
        layout = self._tiles.layout
        finish(self._tiles, "tiff", PixelMetadata())
        self._tiles = None
        return round(self._sum / (layout.height * layout.width) / TOP, 5)

    def discard(self) -> None:
        """Delete what is not complete."""
        if self._tiles is not None:
            self._tiles.discard()
            self._tiles = None
