"""Pictures of the report: curves, cases beside their truth, the film of the learning."""

import csv
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pixelwise.errors import PixelwiseError
from pixelwise.images.files import gif_bytes, read_image
from pixelwise.labels.objects import overlap_table, renumber
from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.painting import stretch

# Okabe & Ito's colours, told apart by colour-blind readers too.
RIGHT, MISSED, FALSE, CONFUSED = (0, 158, 115), (86, 180, 233), (230, 159, 0), (204, 121, 167)
PANEL = 320  # pixels a side at most
FILM_FRAMES = 24
FILM_BYTES = 2_000_000
FRAME_MILLISECONDS = 350
# A panel per entry: its title, and the columns of metrics.csv that it shows, each with the name of its line.
CURVES = {
    "loss": {"train_loss": "training", "val_loss": "validation"},
    "validation score ({score})": {"val_score": "validation"},
    "learning rate": {"learning_rate": "learning rate"},
    "images per second": {"images_per_second": "images per second"},
}
LINES = ("#0072B2", "#D55E00")


def draw_curves(rows: Sequence[Mapping[str, float]], score: str = "mean Dice") -> bytes | None:
    """Draw what `rows` hold of `CURVES` over the steps, as the bytes of an SVG; None when they hold nothing of it.

    `score` names what the validation score is.
    """
    held = {name for row in rows for name, value in row.items() if "step" in row and np.isfinite(value)}
    panels = {title: [n for n in names if n in held] for title, names in CURVES.items()}
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        return None
    figure = Figure(figsize=(3.7 * len(panels), 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name, tone in zip(names, LINES, strict=False):
            points = [(row["step"], row[name]) for row in rows if "step" in row and name in row]
            marker = "o" if len(points) < 4 else None
            axis.plot(*zip(*points, strict=True), color=tone, linewidth=1.8, marker=marker, label=CURVES[title][name])
        if len(names) > 1:
            axis.legend(fontsize=8, frameon=False)
        axis.set_title(title.format(score=score), fontsize=10, loc="left")
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    with rc_context({"svg.hashsalt": "pixelwise"}):  # the same run gives the same page
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def class_errors(view: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, background: bool) -> np.ndarray:
    """Paint what is right, missed, falsely marked, and taken for another class, over the dimmed image.

    Without a background every class is a thing of its own: nothing is missed or false, only taken for another.
    """
    valid = truth != IGNORE
    marked = truth > 0 if background else np.ones_like(valid)
    found = predicted > 0 if background else np.ones_like(valid)
    return _paint(view, marked & valid, found & valid, truth == predicted)


def object_errors(view: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Paint objects the same way: right is what an object shares with the one it overlaps with an IoU above 0.5.

    What lies in objects on both sides but not in such a pair was merged, split or shifted: taken for another object.
    """
    predicted = np.where(truth < 0, 0, predicted)
    table = overlap_table(truth, predicted)
    pairs = table.ious > 0.5
    partner = np.zeros(len(table.truth_areas) + 1, np.int64)  # above 0.5 there is at most one
    partner[table.truth[pairs] + 1] = table.predicted[pairs] + 1
    same = partner[renumber(truth)] == renumber(predicted)
    return _paint(view, truth > 0, predicted > 0, same)


def _paint(view: np.ndarray, marked: np.ndarray, found: np.ndarray, same: np.ndarray) -> np.ndarray:
    painted = (view * 0.35).astype(np.float32)
    for where, tone in (
        (marked & found & same, RIGHT),
        (marked & ~found, MISSED),
        (~marked & found, FALSE),
        (marked & found & ~same, CONFUSED),
    ):
        painted[where] = 0.35 * painted[where] + 0.65 * np.array(tone)
    return painted.astype(np.uint8)


def shrink(picture: np.ndarray) -> np.ndarray:
    """Average blocks of a picture (height, width, 3), so that it has at most `PANEL` pixels a side."""
    step = -(-max(picture.shape[:2]) // PANEL)
    if step <= 1:
        return picture
    # the last blocks are filled by repeating the edge
    filled = np.pad(picture, ((0, -picture.shape[0] % step), (0, -picture.shape[1] % step), (0, 0)), "edge")
    height, width = filled.shape[0] // step, filled.shape[1] // step
    return filled.reshape(height, step, width, step, 3).mean((1, 3)).astype(np.uint8)


def film_frames(folder: Path) -> tuple[list[np.ndarray], int]:
    """Return the frames of the film (image, prediction at a step, truth, side by side) and how many were unreadable."""
    steps = sorted(folder.glob("step-*.png"))
    if not steps or not (folder / "image.png").is_file() or not (folder / "truth.png").is_file():
        return [], 0
    if len(steps) > FILM_FRAMES:
        steps = [steps[i * (len(steps) - 1) // (FILM_FRAMES - 1)] for i in range(FILM_FRAMES)]
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


def film_bytes(frames: Sequence[np.ndarray], most: int = FILM_BYTES) -> bytes:
    """Return the frames as a GIF of at most `most` bytes.

    Every second frame is left out until it fits, never the last; a single frame may be larger.
    """
    frames = list(frames)
    content = gif_bytes(frames, FRAME_MILLISECONDS)
    while len(content) > most and len(frames) > 1:
        frames = frames[::-2][::-1]
        content = gif_bytes(frames, FRAME_MILLISECONDS)
    return content


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read metrics.csv; fields that are empty or no numbers are left out."""
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
