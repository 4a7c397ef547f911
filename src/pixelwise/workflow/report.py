"""Report: one HTML file about a run, with everything inside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_text
from pixelwise.errors import BadRun, PixelwiseError
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Console, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.config import values_of
from pixelwise.workflow.headline import words
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting import pictures as draw
from pixelwise.workflow.reporting.confidence import confidence_section
from pixelwise.workflow.reporting.folds import fold_table, tta_table
from pixelwise.workflow.reporting.headline import facts, outcome_box, scored_headline, unscored_headline
from pixelwise.workflow.reporting.masks import mask_cases, mask_scores
from pixelwise.workflow.reporting.page import attempt
from pixelwise.workflow.reporting.photos import photo_cases, photo_mistakes, photo_scores
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_score

CONFIDENCE = "Do the probabilities hold?"
Section = tuple[str, Callable[[], list[str]]]


def report(run: Path | str | Run, *, progress: Progress | None = None) -> Path:
    """Write report/index.html of a run: headline, cases, curves and scores; data, plan and environment folded away.

    Parameters
    ----------
    run : path or Run
        The run folder.
    progress : Progress, optional

    Returns
    -------
    Path
        The page; it needs no other file and no network. What the run does not have yet is left out, with a
        sentence on how to get it; a damaged record costs its own section, where the reason is told.

    Raises
    ------
    BadRun
        The folder is no run.
    OutputFailed
        The page cannot be written.
    """
    progress = progress or Console()
    opened = run if isinstance(run, Run) else Run.open(run)
    name = opened.folder.resolve().name
    parts = ["<header>", f"<h1>{html.escape(name)}</h1>"]
    parts += [*attempt("The summary of the run", lambda: facts(opened), progress), "</header>"]
    parts += attempt("The outcome of the training", lambda: outcome_box(opened), progress)
    scores: dict[str, Any] | None = None
    try:
        scores = opened.read_json("scores.json") if opened.scores_path.is_file() else None
    except BadRun as error:
        parts.append(html.paragraphs([f"The scores cannot be read: {error}"]))
    found = scores
    parts += attempt("The headline", lambda: _headline(opened, found), progress)
    for title, make in (
        *_of_cases(opened, found, progress),
        ("Training curves", lambda: _curves(opened)),
        *_of_scores(found),
        ("The folds", lambda: fold_table(opened)),
        ("Test-time augmentation", lambda: tta_table(opened)),
    ):
        content = attempt(title, make, progress)
        parts += [html.section(title, content)] if content else []
    parts.append(_details(opened, progress))
    atomic_write_text(opened.report_path, html.page(f"{name}: pixelwise report", parts))
    return opened.report_path


def _headline(run: Run, scores: dict[str, Any] | None) -> list[str]:
    if scores is not None:
        return scored_headline(scores)
    return unscored_headline(run, draw.read_metrics(run.metrics_path), _score_name(run))


def _details(run: Run, progress: Progress) -> str:
    """Return what is looked up rather than read, folded away: snapshots, data, plan, environment."""
    sections: list[Section] = [
        ("Snapshots during training", lambda: _snapshots(run)),
        ("The data", lambda: _data(run)),
        ("The plan, and why", lambda: _plan(run)),
        ("Made with", lambda: _environment(run)),
    ]
    contents = [(title, attempt(title, make, progress)) for title, make in sections]
    folded = [html.fold(title, content) for title, content in contents if content]
    return "\n".join(['<section class="more">', html.heading("Details"), *folded, "</section>"])


def _data(run: Run) -> list[str]:
    found = run.understood
    counts = ", ".join(f"{count} {part}" for part, count in found["cases"].items())
    classes = ", ".join(found["classes"])
    facts = f"Task: {found['task']}. Classes: {classes}. Cases: {counts}. Channels: {found['channels']}."
    parts = [html.paragraphs([facts, *found["told"]])]
    if found["problems"]:
        rows = [(p["file"], p["kind"], p["text"]) for p in found["problems"][:20]]
        parts.append(html.table(("file", "kind", "text"), rows, "Noticed, and not in the way"))
    return parts


def _plan(run: Run) -> list[str]:
    config = run.config
    chosen = [(key, value) for key, value in values_of(config).items() if key in config.reasons]
    rows = [(key, str(value), config.reasons[key]) for key, value in chosen]
    return [html.table(("setting", "value", "why"), rows), *_thresholds(run)]


def _thresholds(run: Run) -> list[str]:
    """Say what was chosen on validation images after training, and what calibration found."""
    try:
        trained = read_model_card(run.model_path).trained
    except PixelwiseError:  # a report of a run without a model shows the rest
        return []
    kinds = {
        "thresholds": "Thresholds of objects",
        "threshold": "Areas that lines part",
        "areas": "Small areas",
        "calibration": "Calibration",
    }
    return [html.paragraphs([f"{title}. {trained[key]}" for key, title in kinds.items() if key in trained])]


def _curves(run: Run) -> list[str]:
    drawn = draw.draw_curves(draw.read_metrics(run.metrics_path), _score_name(run))
    return [html.charts(drawn)] if drawn else []


def _score_name(run: Run) -> str:
    """Name what the validations measured; a run whose records are damaged has curves all the same."""
    try:
        return validation_score(str(run.understood.get("task")), run.config.target.kind)
    except PixelwiseError:
        return "of the plan"


def _snapshots(run: Run) -> list[str]:
    frames, left_out = draw.film_frames(run.film)
    if not frames:
        return []
    caption = "One validation patch during training: image, prediction, truth."
    caption += f" {pluralise(left_out, 'frame')} could not be read." if left_out else ""
    return [html.picture(draw.film_bytes(frames), "gif", caption, "film")]


def _environment(run: Run) -> list[str]:
    found = dict(run.environment)
    versions = found.pop("versions", {})
    rows = [(words(key), str(value)) for key, value in {**found, **versions}.items()]
    return [html.table(("what", "value"), rows)]


def _of_cases(run: Run, scores: dict[str, Any] | None, progress: Progress) -> list[Section]:
    """Return the sections that show cases as pictures; only a scored run has them, and they differ with the task."""
    if scores is None:
        return []
    if scores.get("task") == "classification":
        return [
            ("The most confident mistakes", lambda: photo_mistakes(scores, progress)),
            ("Right, and how sure", lambda: photo_cases(scores)),
        ]
    return [("Best, median and worst cases", lambda: mask_cases(run, scores, progress))]


def _of_scores(scores: dict[str, Any] | None) -> list[Section]:
    """Return the sections of the scores, which only a scored run has."""
    if scores is None:
        return []
    tables = photo_scores if scores.get("task") == "classification" else mask_scores
    split = words(scores.get("part", "no part"))
    return [
        (f"Scores: {split} images", lambda: tables(scores)),
        (CONFIDENCE, lambda: confidence_section(scores)),
    ]
