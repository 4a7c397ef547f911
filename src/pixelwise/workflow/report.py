"""Write a self-contained HTML report of a run."""

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
from pixelwise.workflow.reporting.page import try_section
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import task_of
from pixelwise.workflow.tasks.task import Section

CONFIDENCE = "Calibration of the probabilities"


def report(run: Path | str | Run, *, progress: Progress | None = None) -> Path:
    """Write report/index.html of a run: headline, cases, curves and scores; data, plan and environment collapsed.

    Parameters
    ----------
    run : path or Run
        The run folder.
    progress : Progress, optional

    Returns
    -------
    Path
        The page; it needs no other file and no network. Missing results are replaced by a sentence on how to get them,
        damaged records by an error message in their section.

    Raises
    ------
    BadRun
        The folder is not a run.
    OutputFailed
        The page cannot be written.
    """
    progress = progress or Console()
    opened = run if isinstance(run, Run) else Run.open(run)
    name = opened.folder.resolve().name
    content = ["<header>", f"<h1>{html.escape(name)}</h1>"]
    content += [*try_section("The summary of the run", lambda: facts(opened), progress), "</header>"]
    content += try_section("The outcome of the training", lambda: outcome_box(opened), progress)
    read: dict[str, Any] | None = None
    try:
        read = opened.read_json("scores.json") if opened.scores_path.is_file() else None
    except BadRun as error:
        content.append(html.paragraphs([f"The scores cannot be read: {error}"]))
    scores = read
    content += try_section("The headline", lambda: _headline(opened, scores), progress)
    for title, make in (
        *_case_sections(opened, scores, progress),
        ("Training curves", lambda: _curves(opened)),
        *_score_sections(scores),
        ("The folds", lambda: fold_table(opened)),
        ("Test-time augmentation", lambda: tta_table(opened)),
    ):
        section = try_section(title, make, progress)
        content += [html.section(title, section)] if section else []
    content.append(_details(opened, progress))
    atomic_write_text(opened.report_path, html.page(f"{name}: pixelwise report", content))
    return opened.report_path


def _headline(run: Run, scores: dict[str, Any] | None) -> list[str]:
    if scores is not None:
        return scored_headline(scores)
    return unscored_headline(run, draw.read_metrics(run.metrics_path), _score_name(run))


def _details(run: Run, progress: Progress) -> str:
    """Return the collapsed sections: snapshots, data, plan, environment."""
    sections: list[Section] = [
        ("Snapshots during training", lambda: _snapshots(run)),
        ("The data", lambda: _data(run)),
        ("The plan and its reasons", lambda: _plan(run)),
        ("Environment", lambda: _environment(run)),
    ]
    contents = [(title, try_section(title, make, progress)) for title, make in sections]
    folded = [html.fold(title, content) for title, content in contents if content]
    return "\n".join(['<section class="more">', html.heading("Details"), *folded, "</section>"])


def _data(run: Run) -> list[str]:
    record = run.understood
    counts = ", ".join(f"{count} {split}" for split, count in record["cases"].items())
    classes = ", ".join(record["classes"])
    facts = f"Task: {record['task']}. Classes: {classes}. Cases: {counts}. Channels: {record['channels']}."
    content = [html.paragraphs([facts, *record["messages"]])]
    if record["problems"]:
        rows = [(p["file"], p["kind"], p["text"]) for p in record["problems"][:20]]
        content.append(html.table(("file", "kind", "text"), rows, "Minor problems in the data"))
    return content


def _plan(run: Run) -> list[str]:
    config = run.config
    rows = [(key, str(value), config.reasons[key]) for key, value in values_of(config).items() if key in config.reasons]
    return [html.table(("setting", "value", "reason"), rows), *_thresholds(run)]


def _thresholds(run: Run) -> list[str]:
    """Describe the thresholds and the calibration that were chosen on validation images."""
    try:
        trained = read_model_card(run.model_path).trained
    except PixelwiseError:  # a run without a model has a report all the same
        return []
    kinds = {
        "weights": "Weights",
        "thresholds": "Object thresholds",
        "threshold": "Foreground threshold",
        "areas": "Small-object removal",
        "calibration": "Calibration",
        "quantities": "Counts and sizes",
        "appearance": "Images unlike those of the training",
    }
    return [html.paragraphs([f"{title}. {trained[key]}" for key, title in kinds.items() if key in trained])]


def _curves(run: Run) -> list[str]:
    curves = draw.draw_curves(draw.read_metrics(run.metrics_path), _score_name(run))
    return [html.charts(curves)] if curves else []


def _score_name(run: Run) -> str:
    """Return the name of the validation score; a run with damaged records has curves all the same."""
    try:
        return task_of(run.understood).validation_score(run.config.target.kind)
    except PixelwiseError:
        return "of the plan"


def _snapshots(run: Run) -> list[str]:
    frames, left_out = draw.snapshot_frames(run.snapshots)
    if not frames:
        return []
    caption = "One validation patch during training: image, prediction, ground truth."
    caption += f" {pluralise(left_out, 'frame')} could not be read." if left_out else ""
    return [html.picture(draw.snapshot_gif(frames), "gif", caption, "snapshots")]


def _environment(run: Run) -> list[str]:
    record = dict(run.environment)
    versions = record.pop("versions", {})
    rows = [(words(key), str(value)) for key, value in {**record, **versions}.items()]
    return [html.table(("name", "value"), rows)]


def _case_sections(run: Run, scores: dict[str, Any] | None, progress: Progress) -> list[Section]:
    """Return the sections with images of cases, depending on the task; empty without scores."""
    if scores is None:
        return []
    return task_of(scores).case_sections(run, scores, progress)


def _score_sections(scores: dict[str, Any] | None) -> list[Section]:
    """Return the sections of the scores; empty without scores."""
    if scores is None:
        return []
    task = task_of(scores)
    split = words(scores.get("split", "no split"))
    return [
        (f"Scores: {split} images", lambda: task.score_tables(scores)),
        (CONFIDENCE, lambda: confidence_section(scores, task.unit)),
    ]
