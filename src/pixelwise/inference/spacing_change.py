"""Between the spacing of a volume and that of the model: the image on the way in, the logits on the way out.

Labels are decided on the grid of the volume, from resampled logits: a resampled mask would lose structures of a voxel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Num

from pixelwise.errors import BadImage, BadOption
from pixelwise.geometry.layer_graph import Span
from pixelwise.inference.blending import LogitsWindow
from pixelwise.sampling.resample import (
    coarse_axis,
    resample_image,
    resample_logits,
    resample_logits_window,
    resampled_shape,
    spans_to_read,
)

TOLERANCE = 1e-3  # relative difference of two spacings below which a volume is not resampled
MAX_GROWTH = 1000  # voxels at the spacing of the model per voxel, above which the unit must be wrong

Spacing = tuple[float, ...]


@dataclass(frozen=True)
class SpacingChange:
    """A change of the grid of a volume.

    Attributes
    ----------
    size : tuple of int
        Of the volume.
    model_size : tuple of int
        Of the volume at the spacing of the model.
    coarse : int or None
        Axis of the volume along which the nearest slice is taken (`resample.coarse_axis`).
    model_coarse : int or None
        The same at the spacing of the model.
    """

    size: tuple[int, ...]
    model_size: tuple[int, ...]
    coarse: int | None
    model_coarse: int | None

    def to_model(self, pixels: Num[np.ndarray, " channels *size"]) -> Float32[np.ndarray, " channels *model_size"]:
        """Resample an image to the spacing of the model."""
        return resample_image(pixels, self.model_size, self.coarse)

    def from_model(self, logits: Float[np.ndarray, " classes *model_size"]) -> Float[np.ndarray, " classes *size"]:
        """Resample logits to the grid of the volume."""
        return resample_logits(logits, self.size, self.model_coarse)

    def logits_spans(self, window: Sequence[Span]) -> tuple[Span, ...]:
        """Return the part of the logits of the model that determines a window of the volume."""
        return spans_to_read(self.model_size, self.size, window, self.model_coarse, cubic=False)

    def from_model_window(
        self, logits: Float[np.ndarray, " classes *part"], window: Sequence[Span]
    ) -> Float[np.ndarray, " classes *window"]:
        """Resample the logits at `logits_spans(window)` to a window of the volume."""
        spans = self.logits_spans(window)
        return resample_logits_window(logits, spans, self.model_size, self.size, window, self.model_coarse)

    def window(self, logits: Float[np.ndarray, " classes *model_size"]) -> LogitsWindow:
        """Return logits, resampled to the grid of the volume, as one window."""
        return LogitsWindow(tuple((0, side) for side in self.size), self.from_model(logits))


def find_spacing_change(
    size: tuple[int, ...], spacing: Sequence[float] | None, target: Sequence[float] | None
) -> SpacingChange | None:
    """Return how a volume of `size` and `spacing` is resampled to the spacing `target`; None if it is not.

    It is not resampled if a spacing is unknown, or if they are equal along each axis.

    Raises
    ------
    BadOption
        The spacing is not one positive number per axis.
    BadImage
        The resampled volume would be empty or too large for any memory.

    Examples
    --------
    >>> find_spacing_change((20, 64, 64), (3.0, 1.0, 1.0), (3.0, 2.0, 2.0)).model_size
    (20, 32, 32)
    >>> find_spacing_change((20, 64, 64), (3.0, 1.0, 1.0), (3.0, 1.0, 1.0)) is None
    True
    """
    if spacing is not None and (len(spacing) != len(size) or not all(0 < side < np.inf for side in spacing)):
        expected = f"a spacing of {len(size)} positive numbers"
        raise BadOption(expected, f"{tuple(spacing)}", "Give the distance between voxels along z, y and x.")
    if spacing is None or target is None:
        return None
    if all(abs(own - wanted) <= TOLERANCE * wanted for own, wanted in zip(spacing, target, strict=True)):
        return None
    model_size = resampled_shape(size, spacing, target)
    if np.prod(model_size, dtype=np.float64) > MAX_GROWTH * np.prod(size, dtype=np.float64):
        got = f"{' x '.join(map(str, size))} voxels of {tuple(spacing)}"
        hint = "Check the unit of the spacing: it is millimetres."
        raise BadImage(f"a volume near the spacing of the model, {tuple(target)}", got, hint)
    return SpacingChange(size, model_size, coarse_axis(spacing), coarse_axis(target))
