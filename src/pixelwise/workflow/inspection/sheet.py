"""A figure with positions in inches from the top left, and panels that share the area of one image."""

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

INK, QUIET, ACCENT = "#1a1a1a", "#6b6b6b", "#D55E00"
LETTERS = 0x500  # the font covers Latin, Greek and Cyrillic


def drawable(text: str) -> str:
    """Return text with question marks for the characters that the font lacks.

    >>> drawable("é and \N{SLIGHTLY SMILING FACE}")
    'é and ?'
    """
    return "".join(c if ord(c) < LETTERS else "?" for c in text)


def figure_png(figure: Figure) -> bytes:
    """Return a figure as a PNG; its texts are no formulas: names may contain $."""
    buffer = BytesIO()
    with rc_context({"text.parse_math": False}):
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


class Sheet:
    """A white figure of `width` x `height` inches.

    Parameters
    ----------
    view : (int, int)
        Size of the image in pixels; every panel shows this area.
    given, offset : (int, int)
        Size of the network input, and its origin in the image.
    """

    def __init__(
        self, width: float, height: float, view: tuple[int, int], given: tuple[int, int], offset: tuple[int, int]
    ) -> None:
        self._width, self._height, self._view, self._given, self._offset = width, height, view, given, offset
        self._figure = Figure(figsize=(width, height), facecolor="white")

    def png(self) -> bytes:
        """Return the figure as a PNG."""
        return figure_png(self._figure)

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write a line of text."""
        style = {"color": INK, "parse_math": False, **style}
        self._figure.text(x / self._width, 1 - y / self._height, drawable(text), **style)

    def patch(self, x: float, y: float, tone: tuple[int, int, int]) -> None:
        """Draw a small square with its lower left corner at x, y."""
        position = x / self._width, 1 - y / self._height
        size = 0.12 / self._width, 0.12 / self._height
        fill = tuple(value / 255 for value in tone)
        self._figure.add_artist(Rectangle(position, *size, facecolor=fill, edgecolor="#999999", linewidth=0.6))

    def line(self, x: float, y: float, length: float, *, arrow: bool = False) -> None:
        """Draw a horizontal line or arrow."""
        axis = self._figure.add_axes(
            (x / self._width, 1 - (y + 0.1) / self._height, length / self._width, 0.2 / self._height)
        )
        axis.set_axis_off()
        style = {"arrowstyle": "->" if arrow else "-", "color": QUIET if arrow else "#cccccc", "linewidth": 1.1}
        axis.annotate("", (1, 0.5), (0, 0.5), arrowprops={**style, "shrinkA": 0, "shrinkB": 0})

    def panel(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return empty axes with the extent of the image."""
        position = (x / self._width, 1 - (y + height) / self._height, width / self._width, height / self._height)
        axis = self._figure.add_axes(position, facecolor="#eeeeee")
        axis.set_xlim(0, self._view[1])
        axis.set_ylim(self._view[0], 0)
        axis.set_autoscale_on(False)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        return axis

    def show(self, axis: Axes, picture: np.ndarray, **style: Any) -> None:
        """Show a picture with the extent of the image: RGB colours or values."""
        if picture.ndim == 2:
            style = {"interpolation_stage": "data", **style}  # interpolate values, not colours
        axis.imshow(picture, extent=(0, picture.shape[1], picture.shape[0], 0), aspect="auto", **style)

    def show_map(self, axis: Axes, values: np.ndarray, stride: int, **style: Any) -> None:
        """Show a feature map centred on the network input."""
        first = [
            offset + (given - side * stride) / 2
            for offset, given, side in zip(self._offset, self._given, values.shape, strict=True)
        ]
        extent = (first[1], first[1] + values.shape[1] * stride, first[0] + values.shape[0] * stride, first[0])
        style = {"interpolation_stage": "data", **style}
        axis.imshow(values, extent=extent, aspect="auto", **style)

    def mark(self, axis: Axes, pixel: tuple[int, int]) -> None:
        """Mark a pixel, (row, column), with a cross."""
        for tone, width in (("white", 3.0), (ACCENT, 1.4)):
            axis.plot([pixel[1] + 0.5], [pixel[0] + 0.5], marker="+", markersize=10, color=tone, markeredgewidth=width)
