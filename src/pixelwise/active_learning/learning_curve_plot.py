"""Figures of a forecast: the learning curve with its interval, and a contact sheet of images to label next."""

from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixelwise.metrics.learning_curve import LEVEL, Projection, SubsetScores
from pixelwise.workflow.reporting.pictures import LINES

POINTS = 120  # of the line
DPI = 110
COLUMNS, PANEL, MAX_SHOWN = 4, 2.4, 8  # contact sheet: panels per row, inches per side, panels
DISAGREEMENT_COLOUR = (230 / 255, 159 / 255, 0.0)  # orange of Okabe & Ito
MIN_SCALE = 0.05  # bits: lower bound of the disagreement drawn in full colour


class CandidatePicture(NamedTuple):
    """A panel of the contact sheet: title, 8-bit picture (height, width, 3), disagreement in bits (height, width)."""

    title: str
    picture: np.ndarray
    mutual_information: np.ndarray


def draw_curve(subsets: SubsetScores, projection: Projection, more: Sequence[int], name: str, kind: str) -> bytes:
    """Return an SVG or PNG of the trainings, the fitted learning curve, its interval and the forecasts.

    The curve is dashed where it is extrapolated.
    """
    figure = Figure(figsize=(7.4, 4.0), layout="constrained", facecolor="white")
    axis = figure.subplots()
    _draw_band(axis, projection, subsets.sizes[0], projection.now + max(more))
    scores = subsets.scores()
    axis.scatter(subsets.masks, scores, s=26, color=LINES[0], zorder=3, label="training")
    masks = projection.now + np.array(more)
    forecasts = np.array([projection.score(float(count)) for count in masks])
    if np.isfinite(forecasts).all():
        bars = np.abs(forecasts[:, 1:] - forecasts[:, :1]).T
        axis.errorbar(masks, forecasts[:, 0], yerr=bars, fmt="none", color=LINES[1], capsize=4, linewidth=1.4)
    axis.plot(masks, forecasts[:, 0], "D", markersize=6, color=LINES[1], label="forecast")
    values = np.concatenate([scores, forecasts[np.isfinite(forecasts)]])
    padding = max(0.02, 0.12 * float(np.ptp(values)))
    axis.set_ylim(max(0.0, float(values.min()) - padding), min(1.0, float(values.max()) + padding))
    for x, count, (value, _, high) in zip(masks.tolist(), more, forecasts.tolist(), strict=True):
        top = high if np.isfinite(high) else value
        axis.annotate(f"+{count}: {value:.3f}", (x, top), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axis.axvline(projection.now, color="0.6", linewidth=1, linestyle=":")
    axis.annotate(
        f"now: {projection.now}", (projection.now, 0.02), (4, 0), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8, color="0.4",
    )  # fmt: skip
    axis.set_title(name, fontsize=10, loc="left")
    axis.set_xlabel("number of labelled images", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.06)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return _to_bytes(figure, kind)


def _draw_band(axis: Axes, projection: Projection, first: int, last: int) -> None:
    masks = np.linspace(first, last, POINTS)
    line = np.array([projection.score(float(count)) for count in masks])
    if np.isfinite(line).all():
        label = f"{100 * LEVEL:.0f} % interval"
        axis.fill_between(masks, line[:, 1], line[:, 2], color=LINES[0], alpha=0.15, linewidth=0, label=label)
    measured = masks <= projection.now
    axis.plot(masks[measured], line[measured, 0], color=LINES[0], linewidth=1.8, label="fitted curve")
    axis.plot(masks[~measured], line[~measured, 0], color=LINES[0], linewidth=1.8, linestyle="--")


def draw_candidates(shown: Sequence[CandidatePicture]) -> bytes:
    """Return a PNG of candidates with the committee's disagreement as an orange overlay."""
    rows, columns = -(-len(shown) // COLUMNS), min(COLUMNS, len(shown))
    figure = Figure(figsize=(PANEL * columns, (PANEL + 0.35) * rows), layout="constrained", facecolor="white")
    for axis in figure.subplots(rows, columns, squeeze=False).flat:
        axis.set_axis_off()
    # no math text: file names may contain $
    with rc_context({"text.parse_math": False}):
        scale = max(MIN_SCALE, *(float(np.quantile(candidate.mutual_information, 0.995)) for candidate in shown))
        for axis, candidate in zip(figure.axes, shown, strict=False):
            axis.imshow(_overlay(candidate, scale))
            axis.set_anchor("N")
            axis.set_title(candidate.title[:34], fontsize=8, loc="left")
        return _to_bytes(figure, "png")


def _overlay(candidate: CandidatePicture, scale: float) -> np.ndarray:
    opacity = np.clip(candidate.mutual_information / scale, 0, 1)[..., None]
    gray = candidate.picture.mean(axis=2, keepdims=True) / 255  # the overlay is the only colour
    return gray * (1 - opacity) + np.array(DISAGREEMENT_COLOUR) * opacity


def _to_bytes(figure: Figure, kind: str) -> bytes:
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "pixelwise"}):  # deterministic ids
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
