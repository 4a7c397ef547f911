"""Report of classification runs: accuracies, confusion matrix, and example images."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pixelwise.errors import PixelwiseError
from pixelwise.io.read import read_image
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.headline import words
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting import pictures as draw

MISTAKES = 21
RIGHT = 7  # correct images shown, of the most and of the least confident
PAIRS = 10  # most frequent confusions in the table
NUMBERED, NAMED = 20, 60  # maximum number of classes for numbers and names in the matrix
SMALL = 100  # maximum side in pixels of images that are enlarged without interpolation


def classification_scores(scores: dict[str, Any]) -> list[str]:
    """Return accuracies with intervals, the confusion matrix, the most frequent confusions, and scores per class."""
    images, intervals = scores["scores"]["images"], scores["scores"]["intervals"]
    rows = [(words(name), images[name], *(intervals[name] or (None, None))) for name in intervals]
    rows.append(("mean over classes", images["mean_class_accuracy"], None, None))
    parts = [html.table(("score", "value", "low", "high"), rows, "Accuracy, with 95 % intervals")]
    names = [row["name"] for row in scores["classes"]]
    matrix = np.array(scores["confusion"], np.int64).reshape(len(names), len(names))
    parts.append(f'<div class="curves">{html.picture(draw_matrix(matrix, names), "svg+xml", _caption(names))}</div>')
    if pairs := _confused(matrix, names):
        parts.append(
            html.table(
                ("true class", "predicted", "images", "% of the class"), pairs, "Most frequent confusions", digits=1
            )
        )
    classes = [(r["name"], r["accuracy"], r["precision"], r["images"], r["predicted"]) for r in scores["classes"]]
    parts.append(html.table(("class", "accuracy", "precision", "images", "predicted"), classes, "Per class"))
    return [*parts, *html.empty_classes(scores.get("empty", {}))]


def misclassified_images(scores: dict[str, Any], progress: Progress) -> list[str]:
    """Return the most confident misclassifications whose files still exist."""
    wrong = sorted((c for c in scores["cases"] if c["predicted"] != c["truth"]), key=lambda c: -c["probability"])
    if not wrong:
        return [html.paragraphs(["No image is misclassified."])]
    shown = [case for case in wrong if case.get("files")][:MISTAKES]
    figures: list[str] = []
    unreadable: list[str] = []
    for case in progress.track(shown, "drawing misclassified images", len(shown)):
        try:
            figures.append(_figure(case))
        except PixelwiseError:
            unreadable.append(case["name"])
    total = pluralise(len(scores["cases"]), "image")
    sentences = [f"Misclassified: {len(wrong)} of {total}, the most confident first."]
    if unreadable:
        sentences.append(f"{pluralise(len(unreadable), 'image')} could not be read, such as {unreadable[0]}.")
    return [html.paragraphs(sentences), f'<div class="gallery">{"".join(figures)}</div>']


def example_images(scores: dict[str, Any]) -> list[str]:
    """Return the correct images with the highest and the lowest confidence whose files still exist."""
    correct = sorted((c for c in scores["cases"] if c["predicted"] == c["truth"]), key=lambda c: -c["probability"])
    shown = [case for case in correct if case.get("files") and Path(case["files"][0]).is_file()]
    parts: list[str] = []
    for kind, cases in (("Most confident", shown[:RIGHT]), ("Least confident", shown[RIGHT:][-RIGHT:])):
        if cases:
            figures = "".join(map(_figure, cases))
            parts += [f"<h3><b>{kind}</b></h3>", f'<div class="gallery">{figures}</div>']
    return parts


def draw_matrix(matrix: np.ndarray, names: list[str]) -> bytes:
    """Return an SVG of a confusion matrix (true, predicted) in percent of each true class."""
    return draw.svg_bytes(_draw(matrix, names))


def _draw(matrix: np.ndarray, names: list[str]) -> Figure:
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    count = len(names)
    side = 2.2 + min(9.0, 0.42 * count)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axis = figure.subplots()
    shade = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    ticks = (range(count), [name[:24] for name in names]) if count <= NAMED else ([], [])
    axis.set_xticks(*ticks, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(*ticks)
    axis.tick_params(labelsize=8, length=0)
    axis.set_xlabel("predicted class", fontsize=9)
    axis.set_ylabel("true class", fontsize=9)
    for row, column in np.argwhere(shares >= 0.5).tolist() if count <= NUMBERED else ():
        tone = "white" if shares[row, column] > 55 else "#333"
        axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=tone)
    figure.colorbar(shade, ax=axis, shrink=0.8, label="% of the true class").ax.tick_params(labelsize=8)
    return figure


def _caption(names: list[str]) -> str:
    classes = pluralise(len(names), "class")
    return f"Confusion matrix of {classes}: rows are true classes, columns predicted classes."


def _confused(matrix: np.ndarray, names: list[str]) -> list[tuple[Any, ...]]:
    """Return the most frequent confusions: true class, predicted class, images, percent of the true class."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(flat), len(names)) for flat in order]
    return [
        (names[true], names[other], int(wrong[true, other]), 100 * float(wrong[true, other] / matrix[true].sum()))
        for true, other in pairs
        if wrong[true, other]
    ]


def _figure(case: dict[str, Any]) -> str:
    pixels = read_image(Path(case["files"][0])).pixels
    view = np.moveaxis(pixels[:3], 0, -1) if _is_8bit_rgb(pixels) else stretch(pixels)
    wrong = "" if case["predicted"] == case["truth"] else f", predicted {case['predicted']}"
    caption = f"{case['truth']}{wrong} ({case['probability']:.1%}): {case['name']}"
    return draw.panel(view, caption, "small" if max(pixels.shape[1:]) <= SMALL else "")


def _is_8bit_rgb(pixels: np.ndarray) -> bool:
    return pixels.dtype == np.uint8 and len(pixels) >= 3
