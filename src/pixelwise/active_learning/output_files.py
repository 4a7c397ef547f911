"""The files of a forecast: numbers, pictures, and a page with both."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from pixelwise.active_learning.candidates import ask, middle
from pixelwise.active_learning.learning_curve_plot import MOST_SHOWN, CandidatePicture, draw_candidates, draw_curve
from pixelwise.active_learning.results import Forecast
from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json, atomic_write_text
from pixelwise.datasets.dataset import read_pixels
from pixelwise.inference.segmentation_model import Model
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.summary import words

ON_PAGE = 30  # candidates in the page's table; the file has all
READING = (
    "A dot is a training on so many of the images, for the same number of steps, scored on the same validation images. "
    "The line is the curve that fits them best; beyond the images there are it is dashed, because nothing was tried "
    "there. The shade holds the true curve in four of five worlds that look like this one, if curves bend as they "
    "usually do. The interval of a gain is narrower than that of the score: the same images score both."
)
CHOOSING = (
    "The networks of the two largest parts say what they see in each image. Where they disagree (in bits a pixel; "
    "painted orange above), more masks would settle it; where all are equally unsure, they would not. Each image "
    "counts less, the more it looks like one that is labelled or ranks higher: the list is not twenty of a kind."
)
COLUMNS = ("rank", "image", "disagreement", "uncertainty", "distance", "why")


def write_forecast(found: Forecast, committee: Sequence[Model], pages: int | None) -> None:
    """Write all files of a forecast; forecast.json comes last."""
    folder, name = found.folder, words(found.score)
    rows = [(masks, time, f"{score:.6f}") for masks, time, score in found.rows()]
    atomic_write_text(folder / "forecast.csv", _csv(("masks", "repeat", "score"), rows))
    curve = (found.trials, found.outlook, found.more, name)
    atomic_write_bytes(folder / "learning_curve.png", draw_curve(*curve, "png"))
    sheet = _sheet(found, committee, pages)
    listed = [tuple(candidate.to_json()[column] for column in COLUMNS) for candidate in found.ranking.candidates]
    if sheet is not None:
        atomic_write_text(folder / "label_next.csv", _csv(COLUMNS, listed))
        atomic_write_bytes(folder / "label_next.png", sheet)
    atomic_write_text(folder / "report.html", _page(found, draw_curve(*curve, "svg"), sheet, listed))
    atomic_write_json(folder / "forecast.json", found.to_json())


def _sheet(found: Forecast, committee: Sequence[Model], pages: int | None) -> bytes | None:
    shown: list[CandidatePicture] = []
    for candidate in found.ranking.candidates[:MOST_SHOWN]:
        pixels = middle(read_pixels(candidate.image, committee[0].model_card.channels, pages).pixels)
        title = f"{candidate.rank}  {candidate.image.name}"
        shown.append(CandidatePicture(title, stretch(pixels), ask(committee, pixels).disagreement()))
    return draw_candidates(shown) if shown else None


def _page(found: Forecast, curve: bytes, sheet: bytes | None, listed: Sequence[tuple[Any, ...]]) -> str:
    name = words(found.score)
    parts = [
        f"<h1>{html.escape(found.data)}: what more masks would bring</h1>",
        html.paragraphs(found.sentences()),
        f'<div class="curves">{html.picture(curve, "svg+xml")}</div>',
        html.folded("How to read this", [READING]),
        html.table(("masks", "time", name), found.rows(), "The trainings"),
        html.heading("What to label next"),
        html.paragraphs([found.describe_next()]),
    ]
    if sheet is not None:
        parts += [html.picture(sheet, "png"), html.folded("How they were chosen", [CHOOSING])]
        parts.append(html.table(COLUMNS, listed[:ON_PAGE]))
    return html.page(f"{found.data}: pixelwise forecast", parts)


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return buffer.getvalue()
