"""The report, of confidence: whether the probabilities mean what they say, and the bounds of the Dice hold."""

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting.pictures import LINES
from pixelwise.workflow.summary import describe_confidence

READING = (
    "Left, or alone: of all that is decided with a confidence, the share that is right; on the diagonal the two are "
    "equal, below it the model is too sure. Where a Dice is predicted, a dot per image stands beside it: the true Dice "
    "over the predicted one. The dashes are the lower bounds; a dot below its dash is an image that the bound does not "
    "hold for."
)


def confidence_section(scores: dict[str, Any]) -> list[str]:
    """Return in words and pictures whether the confidence holds; nothing for scores without it."""
    told = describe_confidence(scores)
    if not told:
        return []
    sentences = [f"{text[0].upper()}{text[1:]}." for text in told]
    drawn = draw_confidence(scores["confidence"]["reliability"], _points(scores["cases"]))
    figure = f'<div class="curves">{html.picture(drawn, "svg+xml")}</div>'
    return [html.paragraphs(sentences), figure, html.folded("How to read this", [READING])]


def draw_confidence(tables: dict[str, Any], points: np.ndarray) -> bytes:
    """Draw the reliability diagram, and beside it the predicted and the true Dice, as the bytes of an SVG.

    `tables` are those before and after scaling (see `scoring.calibration.reliability`); `points` (images, 3) hold the
    predicted Dice, its lower bound (NaN where there is none) and the true one of each image.
    """
    count = 1 + bool(len(points))
    figure = Figure(figsize=(3.7 * count, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, count, squeeze=False)[0]
    _draw_reliability(axes[0], tables)
    if len(points):
        _draw_points(axes[1], points)
    for axis in axes:
        axis.set_aspect("equal")
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False, loc="upper left")
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "pixelwise"}):  # the same run gives the same page
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def _draw_reliability(axis: Axes, tables: dict[str, Any]) -> None:
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for (name, rows), tone in zip(tables.items(), reversed(LINES), strict=True):
        table = np.array(rows, np.float64)
        table = table[table[:, 0] > 0]
        axis.plot(
            table[:, 1] / table[:, 0],
            table[:, 2] / table[:, 0],
            color=tone,
            linewidth=1.6,
            marker="o",
            markersize=3.5,
            label=f"{name} scaling",
        )
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title("share that is right", fontsize=10, loc="left")
    axis.set_xlabel("confidence", fontsize=8)


def _draw_points(axis: Axes, points: np.ndarray) -> None:
    promised, bound, came = points[np.argsort(points[:, 0])].T
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axis.scatter(promised, came, s=14, color=LINES[0], alpha=0.7, linewidths=0, label="image")
    if np.isfinite(bound).any():
        axis.scatter(promised, bound, s=30, color=LINES[1], marker="_", label="lower bound")
    low = max(0.0, float(np.nanmin(points)) - 0.05)
    axis.set(xlim=(low, 1.02), ylim=(low, 1.02))
    axis.set_title("true Dice", fontsize=10, loc="left")
    axis.set_xlabel("predicted Dice", fontsize=8)


def _points(cases: list[dict[str, Any]]) -> np.ndarray:
    """Return predicted Dice, lower bound and true Dice of the cases that have the first and the last."""
    names = ("predicted_dice", "dice_bound", "mean_dice")
    rows = [[case.get(name) for name in names] for case in cases]
    return np.array([row for row in rows if row[0] is not None and row[2] is not None], np.float64).reshape(-1, 3)
