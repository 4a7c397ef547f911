"""The report, of a forecast: the learning curve with its band, and the images to label next."""

from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pixelwise.metrics.learning_curve import LEVEL, Projection, SubsetScores
from pixelwise.workflow.reporting.pictures import LINES

POINTS = 120  # of the line
DOTS = 110  # per inch
COLUMNS, PANEL, MOST_SHOWN = 4, 2.4, 8  # of the sheet: panels a row, inches a side, panels
UNSURE = (230 / 255, 159 / 255, 0.0)  # Okabe & Ito's orange
FAINT = 0.05  # bits of disagreement: where no pixel of the sheet has more, nothing is painted fully


class CandidatePicture(NamedTuple):
    """A candidate on the sheet: its title, picture (height, width, 3) of 8 bits, and disagreement in bits."""

    title: str
    picture: np.ndarray
    disagreement: np.ndarray


def draw_curve(trials: SubsetScores, outlook: Projection, more: Sequence[int], name: str, kind: str) -> bytes:
    """Draw trainings, fitted curve, its band and the forecasts, as the bytes of an SVG or a PNG.

    The curve is dashed beyond the masks that there are, where nothing was tried.
    """
    figure = Figure(figsize=(7.4, 4.0), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    _draw_band(axis, outlook, trials.sizes[0], outlook.now + max(more))
    scores = trials.scores()
    axis.scatter(trials.masks, scores, s=26, color=LINES[0], zorder=3, label="a training")
    places = outlook.now + np.array(more)
    found = np.array([outlook.score(float(place)) for place in places])
    if np.isfinite(found).all():
        bars = np.abs(found[:, 1:] - found[:, :1]).T
        axis.errorbar(places, found[:, 0], yerr=bars, fmt="none", color=LINES[1], capsize=4, linewidth=1.4)
    axis.plot(places, found[:, 0], "D", markersize=6, color=LINES[1], label="forecast")
    seen = np.concatenate([scores, found[np.isfinite(found)]])
    room = max(0.02, 0.12 * float(np.ptp(seen)))
    axis.set_ylim(max(0.0, float(seen.min()) - room), min(1.0, float(seen.max()) + room))
    for place, count, (value, _, high) in zip(places.tolist(), more, found.tolist(), strict=True):
        top = high if np.isfinite(high) else value
        axis.annotate(
            f"+{count}: {value:.3f}", (place, top), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    axis.axvline(outlook.now, color="0.6", linewidth=1, linestyle=":")
    axis.annotate(
        f"now: {outlook.now}", (outlook.now, 0.02), (4, 0), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8, color="0.4",
    )  # fmt: skip
    axis.set_title(name, fontsize=10, loc="left")
    axis.set_xlabel("images with masks", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.06)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return _bytes(figure, kind)


def _draw_band(axis: Axes, outlook: Projection, first: int, last: int) -> None:
    masks = np.linspace(first, last, POINTS)
    line = np.array([outlook.score(float(count)) for count in masks])
    if np.isfinite(line).all():
        label = f"{100 * LEVEL:.0f} % interval"
        axis.fill_between(masks, line[:, 1], line[:, 2], color=LINES[0], alpha=0.15, linewidth=0, label=label)
    tried = masks <= outlook.now
    axis.plot(masks[tried], line[tried, 0], color=LINES[0], linewidth=1.8, label="fitted curve")
    axis.plot(masks[~tried], line[~tried, 0], color=LINES[0], linewidth=1.8, linestyle="--")


def draw_candidates(shown: Sequence[CandidatePicture]) -> bytes:
    """Draw candidates with the pixels that trainings disagree on painted over, as the bytes of a PNG."""
    rows, columns = -(-len(shown) // COLUMNS), min(COLUMNS, len(shown))
    figure = Figure(figsize=(PANEL * columns, (PANEL + 0.35) * rows), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    for axis in figure.subplots(rows, columns, squeeze=False).flat:
        axis.set_axis_off()
    # a $ in a file name is a $
    with rc_context({"text.parse_math": False}):
        bright = max(FAINT, *(float(np.quantile(one.disagreement, 0.995)) for one in shown))
        for axis, one in zip(figure.axes, shown, strict=False):
            axis.imshow(_painted(one, bright))
            axis.set_anchor("N")
            axis.set_title(one.title[:34], fontsize=8, loc="left")
        return _bytes(figure, "png")


def _painted(one: CandidatePicture, bright: float) -> np.ndarray:
    strength = np.clip(one.disagreement / bright, 0, 1)[..., None]
    gray = one.picture.mean(axis=2, keepdims=True) / 255  # the paint is the only colour
    return gray * (1 - strength) + np.array(UNSURE) * strength


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "pixelwise"}):  # the same forecast gives the same page
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=DOTS, metadata=metadata)
    return buffer.getvalue()
