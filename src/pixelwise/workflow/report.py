"""Report: one HTML file about a run, with everything inside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelwise.commit import commit_text
from pixelwise.engine.modelfile import read_recipe
from pixelwise.errors import BadRun, PixelwiseError
from pixelwise.progress import Console, Progress
from pixelwise.wording import counted
from pixelwise.workflow.config import settings
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting import pictures as draw
from pixelwise.workflow.reporting.confidence import confidence_section
from pixelwise.workflow.reporting.folds import averages_table, fold_table
from pixelwise.workflow.reporting.masks import mask_cases, mask_scores
from pixelwise.workflow.reporting.page import attempt
from pixelwise.workflow.reporting.photos import photo_mistakes, photo_scores
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_score, words

CONFIDENCE = "Do the probabilities hold?"
Section = tuple[str, Callable[[], list[str]]]


def report(run: Path | str | Run, *, progress: Progress | None = None) -> Path:
    """Write report/index.html of a run: data, plan, curves, scores, cases, film, environment.

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
    parts = [f"<h1>{html.escape(name)}</h1>"]
    scores: dict[str, Any] | None = None
    try:
        scores = opened.read_json("scores.json") if opened.scores_path.is_file() else None
    except BadRun as error:
        parts.append(html.paragraphs([f"The scores cannot be read: {error}"]))
    found = scores
    sections: list[Section] = [
        ("", lambda: _headline(found)),
        ("What was understood of the data", lambda: _data(opened)),
        ("The plan, and why", lambda: _plan(opened)),
        ("The learning", lambda: _curves(opened)),
        ("The film of the learning", lambda: _film(opened)),
        ("The folds", lambda: fold_table(opened)),
        *_of_scores(opened, found, progress),
        ("Averaging over turned inputs", lambda: averages_table(opened)),
        ("Made with", lambda: _environment(opened)),
    ]
    for title, make in sections:
        section = attempt(title or "The headline", make, progress)
        parts += [html.heading(title), *section] if section and title else section
    commit_text(opened.report_path, html.page(f"{name}: pixelwise report", parts))
    return opened.report_path


def _headline(scores: dict[str, Any] | None) -> list[str]:
    if scores is None:
        return [
            html.paragraphs(["No scores yet: run `pixelwise evaluate RUN DATA`, then `pixelwise report RUN` again."])
        ]
    head = scores["headline"]
    interval = "" if head["low"] is None else f", 95 % interval {html.show(head['low'])} to {html.show(head['high'])}"
    images = counted(len(scores["cases"]), f"{words(scores['part'])} image")
    what = html.escape(f"{words(head['name'])} on {images} of {scores['data']}{interval}")
    return [f'<p class="headline"><b>{html.escape(html.show(head["value"]))}</b> {what}</p>']


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
    chosen = [(key, value) for key, value in settings(config).items() if key in config.reasons]
    rows = [(*key.split(".", 1), str(value), config.reasons[key]) for key, value in chosen]
    return [html.table(("section", "setting", "value", "why"), rows), *_thresholds(run)]


def _thresholds(run: Run) -> list[str]:
    """Say what was chosen on validation images after training, and what calibration found."""
    try:
        trained = read_recipe(run.model_path).trained
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
    return [f'<div class="curves">{html.picture(drawn, "svg+xml")}</div>'] if drawn else []


def _score_name(run: Run) -> str:
    """Name what the validations measured; a run whose records are damaged has curves all the same."""
    try:
        return validation_score(str(run.understood.get("task")), run.config.target.kind)
    except PixelwiseError:
        return "of the plan"


def _film(run: Run) -> list[str]:
    frames, left_out = draw.film_frames(run.film)
    if not frames:
        return []
    caption = "One validation patch along the training: image, prediction, target."
    caption += f" {counted(left_out, 'frame')} could not be read." if left_out else ""
    return [html.picture(draw.film_bytes(frames), "gif", caption, "film")]


def _environment(run: Run) -> list[str]:
    found = dict(run.environment)
    versions = found.pop("versions", {})
    rows = [(words(key), str(value)) for key, value in {**found, **versions}.items()]
    return [html.table(("what", "value"), rows)]


def _of_scores(run: Run, scores: dict[str, Any] | None, progress: Progress) -> list[Section]:
    """Return the sections that only a scored run has; they differ with the task."""
    if scores is None:
        return []
    title = f"Scores on {words(scores.get('part', 'no part'))}"
    if scores.get("task") == "classification":
        return [
            (title, lambda: photo_scores(scores)),
            (CONFIDENCE, lambda: confidence_section(scores)),
            ("The most confident mistakes", lambda: photo_mistakes(scores, progress)),
        ]
    return [
        (title, lambda: mask_scores(scores)),
        (CONFIDENCE, lambda: confidence_section(scores)),
        ("Best, middle and worst cases", lambda: mask_cases(run, scores, progress)),
    ]
