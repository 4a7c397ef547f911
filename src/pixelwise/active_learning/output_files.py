"""Output files of a forecast: tables, learning curve, contact sheet and HTML report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelwise.active_learning.candidates import committee_votes, read_candidate
from pixelwise.active_learning.learning_curve_plot import MAX_SHOWN, CandidatePicture, draw_candidates, draw_curve
from pixelwise.active_learning.results import Forecast
from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json, atomic_write_text
from pixelwise.csv_table import atomic_write_csv
from pixelwise.geometry.grid import Grid
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.planes import PlaneViews, choose_planes
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.summary import words

MAX_ROWS = 30  # candidates in the report; the CSV file has all
CURVE_HELP = (
    "Each dot is a training on a subset of the images. All trainings have the same number of steps and are scored on "
    "the same validation images. The line is the fitted learning curve, a power law; it is dashed where extrapolated. "
    "The shaded band is an 80 % interval of the curve, assuming a typical exponent. The interval of a gain is narrower "
    "than that of the score, because the same images are used for both."
)
SELECTION_HELP = (
    "Query by committee (BALD) with core-set selection. The committee is the networks trained on the two largest "
    "subsets. Disagreement (mutual information in bits per pixel; orange above) is high where a label would resolve "
    "it, and low where all networks are equally uncertain. It is weighted by the distance to images that are labelled "
    "or ranked higher, to avoid selecting many similar images."
)
COLUMNS = ("rank", "image", "mutual_information", "uncertainty", "distance", "why")


def write_forecast(result: Forecast, committee: Sequence[SegmentationModel], pages: int | None) -> None:
    """Write all files of a forecast, forecast.json last."""
    folder, name = result.folder, words(result.score)
    rows = [(masks, repeat, f"{score:.6f}") for masks, repeat, score in result.rows()]
    atomic_write_csv(folder / "forecast.csv", ("masks", "repeat", "score"), rows)
    curve = (result.trials, result.projection, result.more, name)
    atomic_write_bytes(folder / "learning_curve.png", draw_curve(*curve, "png"))
    sheet = _contact_sheet(result, committee, pages)
    ranking = [tuple(candidate.to_json()[column] for column in COLUMNS) for candidate in result.ranking.candidates]
    if sheet is not None:
        atomic_write_csv(folder / "label_next.csv", COLUMNS, ranking)
        atomic_write_bytes(folder / "label_next.png", sheet)
    atomic_write_text(folder / "report.html", _page(result, draw_curve(*curve, "svg"), sheet, ranking))
    atomic_write_json(folder / "forecast.json", result.to_json())


def _contact_sheet(result: Forecast, committee: Sequence[SegmentationModel], pages: int | None) -> bytes | None:
    shown: list[CandidatePicture] = []
    for candidate in result.ranking.candidates[:MAX_SHOWN]:
        view = read_candidate(candidate.image, committee[0].model_card, pages)
        pixels, disagreement = view.crop, committee_votes(committee, view).mutual_information()
        if disagreement.ndim == 3:
            planes = planes_of_disagreement(disagreement, view.grid)
            pixels, disagreement = planes.draw(pixels), planes.draw(disagreement)
        title = f"{candidate.rank}  {candidate.image.name}"
        shown.append(CandidatePicture(title, stretch(pixels), disagreement))
    return draw_candidates(shown) if shown else None


def planes_of_disagreement(disagreement: np.ndarray, grid: Grid | None) -> PlaneViews:
    """Return the planes of a volume in which the networks disagree most.

    Examples
    --------
    >>> planes_of_disagreement(np.eye(3)[:, :, None] * np.array([0.0, 0.0, 1.0]), None).at
    (0, 0, 2)
    """
    disputed = disagreement > disagreement.mean()
    return choose_planes(disputed.astype(np.uint8), grid)


def _page(result: Forecast, curve: bytes, sheet: bytes | None, ranking: Sequence[tuple[Any, ...]]) -> str:
    sections = [
        f"<h1>{html.escape(result.data)}: learning curve and images to label next</h1>",
        html.paragraphs(result.sentences()),
        f'<div class="curves">{html.picture(curve, "svg+xml")}</div>',
        html.folded("How to read this", [CURVE_HELP]),
        html.table(("masks", "repeat", words(result.score)), result.rows(), "Trainings"),
        html.heading("Images to label next"),
        html.paragraphs([result.describe_next()]),
    ]
    if sheet is not None:
        sections += [html.picture(sheet, "png"), html.folded("How the images are ranked", [SELECTION_HELP])]
        sections.append(html.table(COLUMNS, ranking[:MAX_ROWS]))
    return html.page(f"{result.data}: pixelwise forecast", sections)
