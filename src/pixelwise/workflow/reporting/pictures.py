"""Figures of the report: training curves, error maps, and the animation of training snapshots."""

import csv
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.errors import PixelwiseError
from pixelwise.io.read import gif_bytes, png_bytes, read_image
from pixelwise.labels.label_image import overlap_table, renumber
from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.reporting import page as html

# colour-blind safe palette of Okabe & Ito
CORRECT, MISSED, FALSE_POSITIVE, CONFUSED = (0, 158, 115), (86, 180, 233), (230, 159, 0), (204, 121, 167)
PANEL = 320  # maximum side in pixels
SNAPSHOT_FRAMES = 24
SNAPSHOT_BYTES = 2_000_000
FRAME_MILLISECONDS = 350
LINES = ("#0072B2", "#D55E00")
CHART = (4.0, 2.6)  # inches: the text is about as large as that of the page
TITLE_FONT, FONT = 9, 8.5


class Chart(NamedTuple):
    """A chart of metrics.csv: title, label of the y axis, and columns with their legend labels."""

    title: str
    axis: str
    lines: dict[str, str]


CHARTS = (
    Chart("Loss", "loss", {"train_loss": "training", "val_loss": "validation"}),
    Chart("Validation: {score}", "score", {"val_score": "validation"}),
    Chart("Learning rate", "learning rate", {"learning_rate": "learning rate"}),
    Chart("Speed", "images per second", {"images_per_second": "images per second"}),
)


def draw_curves(rows: Sequence[Mapping[str, float]], score: str = "mean Dice") -> list[tuple[str, bytes]]:
    """Draw the charts of `CHARTS` for which `rows` has values, over the steps.

    Parameters
    ----------
    rows : sequence of mappings
        Rows of metrics.csv.
    score : str
        Name of the validation score.

    Returns
    -------
    list of (str, bytes)
        Title and SVG of each chart; the output is deterministic.
    """
    available = {name for row in rows for name, value in row.items() if "step" in row and np.isfinite(value)}
    shown = [(chart, [name for name in chart.lines if name in available]) for chart in CHARTS]
    return [(chart.title.format(score=score), _draw_chart(rows, chart, names)) for chart, names in shown if names]


def new_chart(x_label: str, y_label: str, size: tuple[float, float] = CHART) -> tuple[Figure, Axes]:
    """Return an empty chart with labelled axes."""
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    axis.set_xlabel(x_label, fontsize=TITLE_FONT)
    axis.set_ylabel(y_label, fontsize=TITLE_FONT)
    axis.tick_params(labelsize=FONT)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def svg_bytes(figure: Figure) -> bytes:
    """Return a figure as a deterministic SVG."""
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "pixelwise", "text.parse_math": False}):  # names may contain $
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def _draw_chart(rows: Sequence[Mapping[str, float]], chart: Chart, names: Sequence[str]) -> bytes:
    figure, axis = new_chart("training step", chart.axis)
    for name, tone in zip(names, LINES, strict=False):
        points = [(row["step"], row[name]) for row in rows if "step" in row and name in row]
        marker = "o" if len(points) < 4 else None
        axis.plot(*zip(*points, strict=True), color=tone, linewidth=1.8, marker=marker, label=chart.lines[name])
    if "val_score" in names:
        _mark_best(axis, [(row["step"], row["val_score"]) for row in rows if "step" in row and "val_score" in row])
    if len(names) > 1:
        axis.legend(fontsize=FONT, frameon=False)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    return svg_bytes(figure)


def _mark_best(axis: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Mark the highest finite point with its value."""
    step, best = max((point for point in points if np.isfinite(point[1])), key=lambda point: point[1])
    axis.plot([step], [best], "o", color=LINES[0], markersize=5)
    axis.annotate(f"{best:.3f}", (step, best), (0, 6), textcoords="offset points", ha="center", fontsize=FONT)
    axis.margins(y=0.16)


def class_errors(view: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, background: bool) -> np.ndarray:
    """Return an error map over the dimmed image: correct, missed, false positive, and assigned to another class.

    Without a background there are no missed or false positive pixels.
    """
    valid = truth != IGNORE
    true = truth > 0 if background else np.ones_like(valid)
    positive = predicted > 0 if background else np.ones_like(valid)
    return _paint_errors(view, true & valid, positive & valid, truth == predicted)


def object_errors(view: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the same error map for objects: correct is the intersection of objects matched with an IoU above 0.5.

    Pixels of a true and a predicted object that are not matched (merged, split or shifted) belong to another object.
    """
    predicted = np.where(truth < 0, 0, predicted)
    table = overlap_table(truth, predicted)
    pairs = table.ious > 0.5
    match = np.zeros(len(table.truth_areas) + 1, np.int64)  # at most one match above 0.5
    match[table.truth[pairs] + 1] = table.predicted[pairs] + 1
    same = match[renumber(truth)] == renumber(predicted)
    return _paint_errors(view, truth > 0, predicted > 0, same)


def _paint_errors(view: np.ndarray, true: np.ndarray, positive: np.ndarray, same: np.ndarray) -> np.ndarray:
    result = (view * 0.35).astype(np.float32)
    for mask, tone in (
        (true & positive & same, CORRECT),
        (true & ~positive, MISSED),
        (~true & positive, FALSE_POSITIVE),
        (true & positive & ~same, CONFUSED),
    ):
        result[mask] = 0.35 * result[mask] + 0.65 * np.array(tone)
    return result.astype(np.uint8)


def shrink(picture: np.ndarray) -> np.ndarray:
    """Downscale a picture (height, width, 3) by block averages to at most `PANEL` pixels per side."""
    block = -(-max(picture.shape[:2]) // PANEL)
    if block <= 1:
        return picture
    padded = np.pad(picture, ((0, -picture.shape[0] % block), (0, -picture.shape[1] % block), (0, 0)), "edge")
    height, width = padded.shape[0] // block, padded.shape[1] // block
    return padded.reshape(height, block, width, block, 3).mean((1, 3)).astype(np.uint8)


def panel(view: np.ndarray, caption: str, css: str = "") -> str:
    """Return a picture (height, width, 3) as HTML, shrunk."""
    return html.picture(png_bytes(np.moveaxis(shrink(view), -1, 0)), "png", caption, css)


def case_row(panels: Mapping[str, np.ndarray], *more: str) -> str:
    """Return the pictures of a case side by side, by their captions, and more figures."""
    return f'<div class="case">{"".join((*(panel(view, caption) for caption, view in panels.items()), *more))}</div>'


def snapshot_frames(folder: Path) -> tuple[list[np.ndarray], int]:
    """Return the training snapshots (image, prediction, ground truth side by side), and the number of skipped ones."""
    steps = sorted(folder.glob("step-*.png"))
    if not steps or not (folder / "image.png").is_file() or not (folder / "truth.png").is_file():
        return [], 0
    steps = [*evenly_spaced(steps[:-1], SNAPSHOT_FRAMES - 1), steps[-1]]
    image, truth = stretch(read_image(folder / "image.png").pixels), _picture(folder / "truth.png")
    gap = np.full((image.shape[0], 6, 3), 255, np.uint8)
    frames: list[np.ndarray] = []
    for path in steps:
        try:
            frame = _picture(path)
        except PixelwiseError:
            continue
        if frame.shape == image.shape:
            frames.append(np.concatenate([image, gap, frame, gap, truth], axis=1))
    return frames, len(steps) - len(frames)


def snapshot_gif(frames: Sequence[np.ndarray], most: int = SNAPSHOT_BYTES) -> bytes:
    """Return the frames as a GIF of at most `most` bytes.

    Every second frame is dropped until it fits, except for the last; a single frame may be larger.
    """
    frames = list(frames)
    content = gif_bytes(frames, FRAME_MILLISECONDS)
    while len(content) > most and len(frames) > 1:
        frames = frames[::-2][::-1]
        content = gif_bytes(frames, FRAME_MILLISECONDS)
    return content


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read metrics.csv without empty and non-numeric fields."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: number for name, text in row.items() if (number := _number(text)) is not None}
            for row in csv.DictReader(file)
        ]


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _picture(path: Path) -> np.ndarray:
    return np.moveaxis(read_image(path).pixels[:3], 0, -1).astype(np.uint8)
