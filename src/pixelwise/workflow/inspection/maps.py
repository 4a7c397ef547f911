"""Figure of `inspect --image`: prediction, Grad-CAM and feature maps of every stage, arranged as a U."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pixelwise.explain.activations import Gating, Stage
from pixelwise.explain.grad_cam import Attribution
from pixelwise.workflow.inspection.sheet import ACCENT, QUIET, Sheet

WIDTH, MARGIN, GAP = 15.0, 0.35, 0.08  # inches
COLUMNS = 11  # thumbnails in a row: 4 of the encoder, 3 of the skip connection, 4 of the decoder
LEFT, MIDDLE, RIGHT = (0, 4), (4, 3), (7, 4)  # first thumbnail and number of thumbnails
TOP, HEAD, CAPTION, BETWEEN, BOTTOM = 0.78, 0.24, 0.17, 0.10, 0.66  # inches
MAX_EDGE_FRACTION = 0.08  # outlines of a more scattered region would hide the image
STRONGEST = 3  # channels listed above a Grad-CAM map
MAPS, HEAT = "viridis", "inferno"
U_NOTE = (
    "Below the line: the network as a U, finest stage on top; encoder left, skip connections in the middle, "
    "decoder right."
)
STAGES_NOTE = "Below the line: the stages of the network, finest on top."
NOTE = (
    " Each small picture is the feature map of one channel, those with the largest standard deviation first\n"
    "(# channel, σ standard deviation), from dark (minimum) to bright (maximum). Grad-CAM is the sum of the feature "
    "maps of a stage, weighted by the gradient of the class score (# channel, weight relative to the largest)."
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Content of the figure.

    Attributes
    ----------
    title, caption : str
        Title, and what is attributed.
    view : (height, width, 3) uint8
    panels : tuple of (name, remark, picture)
        Pictures of the size of `view`, or values in 0...1, next to it.
    legend : tuple of (class, colour)
        Of the first panel.
    region : (height, width) bool, or None
        The attributed pixels, drawn as an outline.
    pixel : (row, column) or None
        Marked, in `view`.
    stages, gates, attributions
        Of a `GradCam`.
    sensitivity : (rows, columns)
        Gradient magnitude at the network input.
    given, offset : (int, int)
        Size of the network input, and its origin in `view`.
    """

    title: str
    caption: str
    view: np.ndarray
    panels: tuple[tuple[str, str, np.ndarray], ...]
    legend: tuple[tuple[str, tuple[int, int, int]], ...]
    region: np.ndarray | None
    pixel: tuple[int, int] | None
    stages: tuple[Stage, ...]
    gates: tuple[Gating, ...]
    attributions: tuple[Attribution, ...]
    sensitivity: np.ndarray
    given: tuple[int, int]
    offset: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One row of the U."""

    encoder: Stage | None
    gate: Gating | None
    skip: Stage | None
    decoder: Stage | None


def rows_of(stages: Sequence[Stage], gates: Sequence[Gating]) -> list[Row]:
    """Arrange stages as a U, finest on top: each decoder block next to its skip connection and encoder stage."""
    rows: list[Row] = []
    for stride in sorted({stage.stride for stage in stages}):
        level = [stage for stage in stages if stage.stride == stride]
        encoder = next((stage for stage in level if stage.part == "encoder"), None)
        blocks = [stage for stage in level if stage.part == "decoder"]
        for block in blocks or [None]:
            name = block.name.removeprefix("decoder ") if block is not None else ""
            skip = next((stage for stage in level if stage.name == f"skip {name}"), None)
            gate = next((gate for gate in gates if gate.name == f"gate {name}"), None)
            rows.append(Row(encoder, gate, skip, block))
            encoder = None
    return rows


def draw_attributions(scene: Scene) -> bytes:
    """Return a PNG with input, prediction and Grad-CAM on top, and the feature maps of each stage below."""
    return _Drawing(scene).draw()


class _Drawing:
    """Layout of the figure, from top to bottom."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.rows = rows_of(scene.stages, scene.gates)
        height, width = scene.view.shape[:2]
        aspect = min(max(height / width, 0.4), 2.0)
        inner = WIDTH - 2 * MARGIN
        pictures = max(5, 2 + len(scene.panels) + len(scene.attributions))
        self.thumb, self.large = ((inner - (n - 1) * GAP) / n for n in (COLUMNS, pictures))
        self.thumb_height, self.large_height = self.thumb * aspect, self.large * aspect
        self.strip = HEAD + CAPTION + self.thumb_height + BETWEEN
        self.below = TOP + 2 * CAPTION + self.large_height  # end of the top row
        self.start = self.below + (0.36 if scene.legend else 0.16)  # start of the U
        whole = self.start + self.strip * len(self.rows) + BOTTOM
        self.sheet = Sheet(WIDTH, whole, (height, width), scene.given, scene.offset)

    def draw(self) -> bytes:
        sheet, y = self.sheet, self.start
        sheet.write(MARGIN, 0.38, self.scene.title, size=14, weight="bold")
        sheet.write(MARGIN, 0.62, self.scene.caption, size=9.5, color=QUIET)
        self.draw_top()
        self.draw_legend(self.below + 0.21)
        sheet.line(MARGIN, y, WIDTH - 2 * MARGIN)
        for row in self.rows:
            self.draw_row(row, y)
            y += self.strip
        shape = U_NOTE if any(row.decoder is not None for row in self.rows) else STAGES_NOTE
        sheet.write(MARGIN, y + 0.16, shape + NOTE, size=8.5, color=QUIET, va="top", linespacing=1.5)
        return sheet.png()

    def draw_top(self) -> None:
        """Draw the image, the prediction, and the Grad-CAM overlays."""
        scene = self.scene
        rows, columns = scene.view.shape[:2]
        self.sheet.show(self.large_panel(0, "image", f"{rows} x {columns}"), scene.view)
        for place, (name, remark, picture) in enumerate(scene.panels, 1):
            crisp = {"interpolation": "nearest"} if picture.ndim == 3 else {"cmap": MAPS, "vmin": 0, "vmax": 1}
            self.sheet.show(self.large_panel(place, name, remark), picture, **crisp)
        place = len(scene.panels) + 1
        for attribution in scene.attributions:
            axis = self.large_panel(place, f"Grad-CAM at {attribution.stage}", _strongest(attribution))
            self.overlay(axis, attribution.heat, attribution.stride)
            place += 1
        axis = self.large_panel(place, "sensitivity of the score", "square root of the pixel gradient")
        self.overlay(axis, np.sqrt(scene.sensitivity), 1)

    def large_panel(self, place: int, name: str, remark: str) -> Axes:
        """Return axes in the top row with two lines of text above, and the pixel marked."""
        x, y = MARGIN + place * (self.large + GAP), TOP + 2 * CAPTION
        self.sheet.write(x, y - 0.24, name, size=9.5, weight="bold")
        self.sheet.write(x, y - 0.07, remark, size=8, color=QUIET)
        axis = self.sheet.panel(x, y, self.large, self.large_height)
        if self.scene.pixel is not None:
            self.sheet.mark(axis, self.scene.pixel)
        return axis

    def overlay(self, axis: Axes, heat: np.ndarray, stride: int) -> None:
        """Overlay values on the dimmed image with matching opacity; outline the attributed region."""
        scene = self.scene
        self.sheet.show(axis, scene.view.mean(2) / 255 * 0.7, cmap="gray", vmin=0, vmax=1)
        top = max(float(np.percentile(heat, 99.8)), float(heat.max()) * 0.05, 1e-30)
        scaled = np.clip(heat / top, 0, 1)
        style = {"cmap": HEAT, "vmin": 0, "vmax": 1, "alpha": 0.85 * scaled, "interpolation": "bilinear"}
        self.sheet.show_map(axis, scaled, stride, **style)
        if scene.region is not None and scene.pixel is None and 0 < _edge_fraction(scene.region) < MAX_EDGE_FRACTION:
            rows, columns = scene.region.shape
            extent: dict[str, Any] = {"extent": (0, columns, rows, 0), "origin": "upper"}
            axis.contour(scene.region, [0.5], colors="white", linewidths=0.6, **extent)

    def draw_legend(self, y: float) -> None:
        """Draw the legend of the predicted classes."""
        x = MARGIN
        for name, tone in self.scene.legend:
            self.sheet.patch(x, y, tone)
            self.sheet.write(x + 0.17, y - 0.01, name, size=8.5, color=QUIET)
            x += 0.36 + 0.075 * len(name)

    def draw_row(self, row: Row, y: float) -> None:
        """Draw one row of the U."""
        if row.encoder is not None:
            self.draw_strip(row.encoder, y, LEFT if row.decoder is not None else (0, COLUMNS))
        if row.decoder is not None:
            self.draw_strip(row.decoder, y, RIGHT)
        x, middle = self.place(MIDDLE[0]), y + HEAD + CAPTION + self.thumb_height / 2
        width = MIDDLE[1] * (self.thumb + GAP) - GAP
        first, count = MIDDLE
        if row.skip is None:
            if row.encoder is None:
                text = "no skip connection at this size"
                self.sheet.write(x + width / 2, middle, text, size=8.5, color=QUIET, ha="center")
        elif row.gate is None and row.encoder is not None and _same(row.skip, row.encoder):
            text = f"{row.skip.name}: all {len(row.skip.maps)} channels, unchanged"
            self.sheet.write(x + width / 2, middle - 0.12, text, size=8.5, color=QUIET, ha="center")
            self.sheet.line(x + 0.15, middle, width - 0.3, arrow=True)
        elif row.gate is None:
            self.draw_strip(row.skip, y, MIDDLE)
        else:
            self.draw_gate(row.gate, y, first)
            self.draw_strip(row.skip, y, (first + 1, count - 1))

    def draw_gate(self, gate: Gating, y: float, column: int) -> None:
        """Draw the coefficients of an attention gate, from 0 (black) to 1 (white)."""
        low, high = gate.coefficients.min(), gate.coefficients.max()
        axis = self.thumb_panel(column, y, f"{gate.name}: {low:.2f} to {high:.2f}", ACCENT)
        self.sheet.show_map(axis, gate.coefficients, gate.stride, cmap="gray", vmin=0, vmax=1)

    def draw_strip(self, stage: Stage, y: float, columns: tuple[int, int]) -> None:
        """Draw the channels of a stage with the largest deviation; `columns` is the first one and their number."""
        first, count = columns
        deviations = stage.deviations()
        channels, height, width = stage.maps.shape
        dead = int((deviations == 0).sum())
        text = f"{channels} of {height} x {width}"
        text += f", stride {stage.stride}" if stage.stride > 1 and count > 2 else ""
        text += f", {dead} dead" if dead else ""
        x = self.place(first)
        self.sheet.write(x, y + HEAD - 0.07, stage.name, size=9.5, weight="bold")
        self.sheet.write(x + 0.083 * len(stage.name) + 0.1, y + HEAD - 0.07, text, size=8.5, color=QUIET)
        for place, channel in enumerate(stage.most_varied()[:count].tolist(), first):
            values = stage.maps[channel]
            low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
            axis = self.thumb_panel(place, y, f"#{channel}  σ {deviations[channel]:.2g}", QUIET)
            self.sheet.show_map(axis, values, stage.stride, cmap=MAPS, vmin=low, vmax=max(high, low + 1e-9))

    def thumb_panel(self, column: int, y: float, caption: str, tone: str) -> Axes:
        x, top = self.place(column), y + HEAD + CAPTION
        self.sheet.write(x, top - 0.05, caption, size=7.5, color=tone)
        return self.sheet.panel(x, top, self.thumb, self.thumb_height)

    def place(self, column: int) -> float:
        return MARGIN + column * (self.thumb + GAP)


def _strongest(attribution: Attribution) -> str:
    """Return the channels with the largest weights, relative to the largest."""
    if not attribution.heat.any():
        return "no positive attribution"
    order = np.argsort(-np.abs(attribution.weights), kind="stable")[:STRONGEST]
    weights = attribution.weights[order] / np.abs(attribution.weights[order[0]])
    return ", ".join(f"#{channel} {weight:+.2g}" for channel, weight in zip(order, weights, strict=True))


def _edge_fraction(region: np.ndarray) -> float:
    """Return the fraction of neighbouring pixel pairs that cross the edge of the region."""
    down, across = region[1:] != region[:-1], region[:, 1:] != region[:, :-1]
    return float(down.sum() + across.sum()) / max(1, down.size + across.size)


def _same(one: Stage, other: Stage) -> bool:
    return one.maps.shape == other.maps.shape and np.array_equal(one.maps, other.maps)
