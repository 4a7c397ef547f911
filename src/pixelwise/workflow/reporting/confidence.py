"""Calibration section of the report: reliability diagram, and true against predicted Dice."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting.pictures import FONT, LINES, new_chart, svg_bytes
from pixelwise.workflow.summary import describe_confidence

HELP = (
    "Calibration (reliability diagram): the accuracy of the predictions at each confidence. On the diagonal the model "
    "is calibrated, below it overconfident. True and predicted Dice: one dot per image. The dashes are lower bounds "
    "of the Dice; a dot below its dash is an image whose Dice is below the bound."
)
SIZE = (3.7, 3.5)  # inches of a square chart


def confidence_section(scores: dict[str, Any], unit: str) -> list[str]:
    """Return the section as HTML; empty for scores without calibration."""
    messages = describe_confidence(scores, unit)
    if not messages:
        return []
    sentences = [f"{text[0].upper()}{text[1:]}." for text in messages]
    drawn = draw_confidence(scores["confidence"]["reliability"], _points(scores["cases"]))
    return [html.paragraphs(sentences), html.charts(drawn), html.folded("How to read this", [HELP])]


def draw_confidence(tables: dict[str, Any], points: np.ndarray) -> list[tuple[str, bytes]]:
    """Draw the reliability diagram and, if there are points, the true against the predicted Dice.

    Parameters
    ----------
    tables : dict
        Reliability before and after temperature scaling; see `metrics.calibration.reliability`.
    points : float array (images, 3)
        Predicted Dice, its lower bound (NaN if undefined) and true Dice of each image.

    Returns
    -------
    list of (str, bytes)
        Title and SVG of each chart.
    """
    charts: list[tuple[str, bytes]] = []
    figure, axis = new_chart("confidence", "accuracy", SIZE)
    _draw_reliability(axis, tables)
    charts.append(("Calibration", _finish(figure, axis)))
    if len(points):
        figure, axis = new_chart("predicted Dice", "true Dice", SIZE)
        _draw_points(axis, points)
        charts.append(("True and predicted Dice", _finish(figure, axis)))
    return charts


def _finish(figure: Figure, axis: Axes) -> bytes:
    axis.set_aspect("equal")
    axis.legend(fontsize=FONT, frameon=False, loc="upper left")
    return svg_bytes(figure)


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
            label=f"{name} temperature scaling",
        )
    axis.set(xlim=(0, 1), ylim=(0, 1.02))


def _draw_points(axis: Axes, points: np.ndarray) -> None:
    expected, bound, actual = points[np.argsort(points[:, 0])].T
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axis.scatter(expected, actual, s=14, color=LINES[0], alpha=0.7, linewidths=0, label="image")
    if np.isfinite(bound).any():
        axis.scatter(expected, bound, s=30, color=LINES[1], marker="_", label="lower bound")
    low = max(0.0, float(np.nanmin(points)) - 0.05)
    axis.set(xlim=(low, 1.02), ylim=(low, 1.02))


def _points(cases: list[dict[str, Any]]) -> np.ndarray:
    """Return predicted Dice, lower bound and true Dice of the cases with both Dice values."""
    names = ("predicted_dice", "dice_lower_bound", "mean_dice")
    rows = [[case.get(name) for name in names] for case in cases]
    return np.array([row for row in rows if row[0] is not None and row[2] is not None], np.float64).reshape(-1, 3)
