"""Pictures of the report: curves, cases beside their truth, the film of the learning."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pixelwise.images.files import read_image
from pixelwise.labels.targets import IGNORE

# Okabe & Ito's colours, told apart by colour-blind readers too.
RIGHT, MISSED, FALSE, CONFUSED = (0, 158, 115), (86, 180, 233), (230, 159, 0), (204, 121, 167)
PANEL = 320  # pixels a side at most
FILM_FRAMES = 24


def draw_curves(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Draw loss, validation score and learning rate over the steps, as the bytes of an SVG."""
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    titles = {
        "train_loss": "training loss",
        "val_score": "validation score (mean Dice)",
        "learning_rate": "learning rate",
    }
    steps = [row["step"] for row in rows]
    for axis, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        values = [row.get(name, float("nan")) for row in rows]
        axis.plot(steps, values, color="#0072B2", linewidth=1.8, marker="o" if len(rows) < 4 else None)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", transparent=True)
    return buffer.getvalue()


def stretch(pixels: np.ndarray) -> np.ndarray:
    """Bring (channels, height, width) to an 8-bit picture (height, width, 3) between its percentiles 0.5 and 99.5."""
    view = pixels[:3].astype(np.float32) if len(pixels) >= 3 else np.repeat(pixels[:1], 3, 0).astype(np.float32)
    low, high = np.percentile(view, (0.5, 99.5))
    scaled = np.clip((view - low) / max(float(high - low), 1e-6), 0, 1) * 255
    return np.moveaxis(scaled, 0, -1).astype(np.uint8)


def colour(labels: np.ndarray, colours: Sequence[tuple[int, int, int]], *, objects: bool) -> np.ndarray:
    """Paint a class map in the class colours, or each object in its own; ignored pixels are mid-gray."""
    if objects:
        table = np.random.default_rng(7).integers(90, 256, (int(labels.max(initial=0)) + 1, 3))
        table[0] = 0
        return table[np.maximum(labels, 0)].astype(np.uint8)
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = np.array(colours, np.uint8)
    table[IGNORE] = 128
    return table[labels]


def errors(view: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, objects: bool) -> np.ndarray:
    """Paint what is right, missed, falsely marked, and taken for another class, over the dimmed image."""
    if objects:
        truth, predicted = np.where(truth < 0, IGNORE, truth > 0), (predicted > 0).astype(int)
    painted = (view * 0.35).astype(np.float32)
    valid = truth != IGNORE
    for where, tone in (
        ((truth == predicted) & (truth > 0), RIGHT),
        ((truth > 0) & (predicted == 0), MISSED),
        ((truth == 0) & (predicted > 0), FALSE),
        ((truth > 0) & (predicted > 0) & (truth != predicted), CONFUSED),
    ):
        painted[where & valid] = 0.35 * painted[where & valid] + 0.65 * np.array(tone)
    return painted.astype(np.uint8)


def shrink(picture: np.ndarray) -> np.ndarray:
    """Thin a picture out to at most `PANEL` pixels a side."""
    step = max(1, -(-max(picture.shape[:2]) // PANEL))
    return picture[::step, ::step]


def film_frames(folder: Path) -> list[np.ndarray]:
    """Return the frames of the film: image, prediction at a step, truth, side by side; at most 24."""
    steps = sorted(folder.glob("step-*.png"))
    if not steps or not (folder / "image.png").is_file() or not (folder / "truth.png").is_file():
        return []
    if len(steps) > FILM_FRAMES:
        steps = [steps[i * (len(steps) - 1) // (FILM_FRAMES - 1)] for i in range(FILM_FRAMES)]
    image, truth = stretch(read_image(folder / "image.png").pixels), _picture(folder / "truth.png")
    gap = np.full((image.shape[0], 6, 3), 255, np.uint8)
    return [np.concatenate([image, gap, _picture(path), gap, truth], axis=1) for path in steps]


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Read metrics.csv; empty fields are left out."""
    if not path.is_file():
        return []
    header, *lines = path.read_text("utf-8").splitlines()
    names = header.split(",")
    rows: list[dict[str, float]] = []
    for line in lines:
        pairs: list[tuple[str, Any]] = list(zip(names, line.split(","), strict=True))
        rows.append({name: float(text) for name, text in pairs if text})
    return rows


def _picture(path: Path) -> np.ndarray:
    return np.moveaxis(read_image(path).pixels[:3], 0, -1).astype(np.uint8)
