"""The report, of whole-image classes: accuracies, the confusion matrix, the most confident mistakes as pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pixelwise.errors import PixelwiseError
from pixelwise.io.read import png_bytes, read_image
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.headline import words
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting import pictures as draw

MISTAKES = 21
RIGHT = 7  # right images shown at each end
PAIRS = 10  # confusions that are listed, the most frequent first
NUMBERED, NAMED = 20, 60  # classes up to which the matrix shows numbers, and names
SMALL = 100  # pixels a side up to which a photo is shown with hard pixels


def photo_scores(scores: dict[str, Any]) -> list[str]:
    """Return accuracies with intervals, the table per class, the confusion matrix and its largest entries."""
    images, intervals = scores["scores"]["images"], scores["scores"]["intervals"]
    rows = [(words(name), images[name], *(intervals[name] or (None, None))) for name in intervals]
    rows.append(("mean over classes", images["mean_class_accuracy"], None, None))
    parts = [html.table(("score", "value", "low", "high"), rows, "Share of right images, with 95 % intervals")]
    names = [row["name"] for row in scores["classes"]]
    matrix = np.array(scores["confusion"], np.int64).reshape(len(names), len(names))
    parts.append(f'<div class="curves">{html.picture(draw_matrix(matrix, names), "svg+xml", _caption(names))}</div>')
    if pairs := _confused(matrix, names):
        parts.append(
            html.table(("true class", "predicted", "images", "% of the class"), pairs, "Most often confused", digits=1)
        )
    classes = [(r["name"], r["accuracy"], r["precision"], r["images"], r["said"]) for r in scores["classes"]]
    parts.append(html.table(("class", "accuracy", "precision", "images", "predicted"), classes, "Per class"))
    return [*parts, *html.empty_classes(scores.get("empty", {}))]


def photo_mistakes(scores: dict[str, Any], progress: Progress) -> list[str]:
    """Show the images whose wrong class was predicted with the most certainty, where their files are still there."""
    wrong = sorted((c for c in scores["cases"] if c["said"] != c["truth"]), key=lambda c: -c["probability"])
    if not wrong:
        return [html.paragraphs(["No mistakes."])]
    shown = [case for case in wrong if case.get("files")][:MISTAKES]
    figures: list[str] = []
    gone: list[str] = []
    for case in progress.track(shown, "drawing mistakes", len(shown)):
        try:
            figures.append(_figure(case))
        except PixelwiseError:
            gone.append(case["name"])
    all_ = pluralise(len(scores["cases"]), "image")
    messages = [f"Classified wrongly: {len(wrong)} of {all_}; the most confident mistakes come first."]
    if gone:
        messages.append(f"{len(gone)} of their pictures could not be read, such as {gone[0]}.")
    return [html.paragraphs(messages), f'<div class="photos">{"".join(figures)}</div>']


def photo_cases(scores: dict[str, Any]) -> list[str]:
    """Show the right images whose class was predicted with the most certainty, and those with the least.

    Images whose files are gone are left out.
    """
    right = sorted((c for c in scores["cases"] if c["said"] == c["truth"]), key=lambda c: -c["probability"])
    kept = [case for case in right if case.get("files") and Path(case["files"][0]).is_file()]
    parts: list[str] = []
    for kind, cases in (("Most certain", kept[:RIGHT]), ("Least certain", kept[RIGHT:][-RIGHT:])):
        if cases:
            figures = "".join(map(_figure, cases))
            parts += [f"<h3><b>{kind}</b></h3>", f'<div class="photos">{figures}</div>']
    return parts


def draw_matrix(matrix: np.ndarray, names: list[str]) -> bytes:
    """Draw a confusion matrix (truth, said) in percent of each true class, as the bytes of an SVG."""
    return draw.svg_bytes(_draw(matrix, names))


def _draw(matrix: np.ndarray, names: list[str]) -> Figure:
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    count = len(names)
    side = 2.2 + min(9.0, 0.42 * count)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    FigureCanvasAgg(figure)
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
    return f"Confusion matrix of {classes}: a row per true class, a column per predicted class."


def _confused(matrix: np.ndarray, names: list[str]) -> list[tuple[Any, ...]]:
    """List the most frequent confusions: truth, said, images, percent of the true class."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(flat), len(names)) for flat in order]
    return [
        (names[true], names[said], int(wrong[true, said]), 100 * float(wrong[true, said] / matrix[true].sum()))
        for true, said in places
        if wrong[true, said]
    ]


def _figure(case: dict[str, Any]) -> str:
    pixels = read_image(Path(case["files"][0])).pixels
    # photos of 8 bits are shown as they are; what else there is has no natural white
    view = np.moveaxis(pixels[:3], 0, -1) if _plain(pixels) else stretch(pixels)
    picture = png_bytes(np.moveaxis(draw.shrink(view), -1, 0))
    wrong = "" if case["said"] == case["truth"] else f", predicted {case['said']}"
    caption = f"{case['truth']}{wrong} ({case['probability']:.1%}): {case['name']}"
    return html.picture(picture, "png", caption, "small" if max(pixels.shape[1:]) <= SMALL else "")


def _plain(pixels: np.ndarray) -> bool:
    return pixels.dtype == np.uint8 and len(pixels) >= 3
