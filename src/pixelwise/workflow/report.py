"""Report: one HTML file about a run, with everything inside it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.commit import commit_text
from pixelwise.engine.model import Model, load_model_for_prediction
from pixelwise.errors import BadRun, PixelwiseError
from pixelwise.images.cases import Labelling, read_labels, read_pixels
from pixelwise.images.files import png_bytes
from pixelwise.images.records import has_background
from pixelwise.progress import Console, Progress
from pixelwise.workflow import report_page as html
from pixelwise.workflow import report_pictures as draw
from pixelwise.workflow.config import settings
from pixelwise.workflow.run import Run

BEST, MEDIAN, WORST = 2, 1, 3  # cases shown of each
WORDS = {
    "mean_ap": "mean AP",
    "mean_ap_pooled": "mean AP, all objects",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "seg": "SEG",
    "mean_dice": "mean Dice",
    "v_rand": "V_rand",
    "v_info": "V_info",
}


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
    sections: list[tuple[str, Callable[[], list[str]]]] = [
        ("", lambda: _headline(found)),
        ("What was understood of the data", lambda: _data(opened)),
        ("The plan, and why", lambda: _plan(opened)),
        ("The learning", lambda: _curves(opened)),
        ("The film of the learning", lambda: _film(opened)),
        (f"Scores on {found.get('part', 'no part')}" if found else "", lambda: _scores(found)),
        ("Best, middle and worst cases", lambda: _cases(opened, found, progress)),
        ("Made with", lambda: _environment(opened)),
    ]
    for title, make in sections:
        section = _attempt(title or "The headline", make, progress)
        parts += [html.heading(title), *section] if section and title else section
    commit_text(opened.report_path, html.page(f"{name}: pixelwise report", parts))
    return opened.report_path


def _attempt(what: str, make: Callable[[], list[str]], progress: Progress) -> list[str]:
    """Return the parts that `make` returns.

    Whatever is wrong with the records of a run, the rest of the page is worth having: so any error is caught here,
    and told on the page and to the user.
    """
    try:
        return make()
    except Exception as error:
        ours = isinstance(error, PixelwiseError)
        reason = str(error) if ours else f"a record is damaged ({type(error).__name__}: {error})"
        told = f"{what} could not be shown: {reason}"
        progress.tell(told)
        return [html.paragraphs([told])]


def _headline(scores: dict[str, Any] | None) -> list[str]:
    if scores is None:
        return [
            html.paragraphs(["No scores yet: run `pixelwise evaluate RUN DATA`, then `pixelwise report RUN` again."])
        ]
    head = scores["headline"]
    interval = "" if head["low"] is None else f", 95 % interval {html.show(head['low'])} to {html.show(head['high'])}"
    what = html.escape(
        f"{_name(head['name'])} on {len(scores['cases'])} {scores['part']} images of {scores['data']}{interval}"
    )
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
    return [html.table(("section", "setting", "value", "why"), rows)]


def _curves(run: Run) -> list[str]:
    drawn = draw.draw_curves(draw.read_metrics(run.metrics_path))
    return [f'<div class="curves">{html.picture(drawn, "svg+xml")}</div>'] if drawn else []


def _film(run: Run) -> list[str]:
    frames, left_out = draw.film_frames(run.film)
    if not frames:
        return []
    caption = "One validation patch along the training: image, prediction, target."
    caption += f" {left_out} frames could not be read." if left_out else ""
    return [html.picture(draw.film_bytes(frames), "gif", caption, "film")]


def _scores(scores: dict[str, Any] | None) -> list[str]:
    if scores is None:
        return []
    names = ("class", "Dice", "IoU", "precision", "recall", "pixels")
    rows = [(r["name"], r["dice"], r["iou"], r["precision"], r["recall"], r["pixels"]) for r in scores["classes"]]
    parts = [html.table(names, rows, "Over all pixels of the set")]
    found = scores["scores"]
    if objects := found.get("objects"):
        ap = [(threshold, value["mean"], value["pooled"]) for threshold, value in objects["ap"].items()]
        parts.append(html.table(("IoU above", "AP, mean over images", "AP, all objects"), ap, "Objects"))
        others = [(_name(k), v) for k, v in objects.items() if k != "ap"]
        parts.append(html.table(("score", "value"), others))
    if boundaries := found.get("boundaries"):
        parts.append(html.table(("score", "value"), [(_name(k), v) for k, v in boundaries.items()], "Boundaries"))
    if len(scores["classes"]) > 2:
        names = [r["name"] for r in scores["classes"]]
        shares = [_shares(name, line) for name, line in zip(names, scores["confusion"], strict=True)]
        caption = "Confusion, in percent of the true pixels"
        parts.append(html.table(("truth \\ predicted", *names), shares, caption, digits=1))
    return [*parts, *_empty(scores.get("empty", {}))]


def _empty(found: dict[str, Any]) -> list[str]:
    """Say which classes have no score, and how what is empty was counted."""
    nowhere = found.get("classes_nowhere")
    told = [f"In neither truth nor prediction, so without a score: {', '.join(nowhere)}."] if nowhere else []
    policy = found.get("policy")
    return [html.paragraphs(told), html.folded("How empty classes and images were counted", policy)] if policy else []


def _shares(name: str, line: list[int]) -> tuple[Any, ...]:
    total = sum(line)
    return (name, *(None if not total else 100 * count / total for count in line))


def _cases(run: Run, scores: dict[str, Any] | None, progress: Progress) -> list[str]:
    """Show the best, middle and worst cases, where their files are still there."""
    if scores is None:
        return []
    field = "mean_ap" if "objects" in scores["scores"] else "mean_dice"
    ranked = sorted((c for c in scores["cases"] if c.get(field) is not None), key=lambda c: c[field], reverse=True)
    ranked = [case for case in ranked if case.get("files")]
    if not ranked or not run.model_path.is_file():
        lacks = "the run has no model" if ranked else "no case has both a score and the names of its files"
        return [html.paragraphs([f"No pictures: {lacks}. Run `pixelwise evaluate RUN DATA` on a finished run again."])]
    model = load_model_for_prediction(run.folder, device="cpu")
    recipe = model.recipe
    other = "another object" if recipe.task == "instance" else "another class"
    tones = (draw.RIGHT, draw.MISSED, draw.FALSE, draw.CONFUSED)
    parts = [html.key(list(zip(("right", "missed", "false alarm", f"taken for {other}"), tones, strict=True)))]
    if recipe.task != "instance":
        parts.append(html.key(list(zip(recipe.classes, recipe.colours, strict=False))))
    for kind, case in progress.track(_choose(ranked), "drawing cases", len(_choose(ranked))):
        caption = f"{kind}: {case['name']}, {_name(field)} {html.show(case[field])}"
        parts.append(f"<p><b>{html.escape(caption)}</b></p>")
        parts += _attempt("This case", partial(_panels, run, model, case["files"]), progress)
    return parts


def _choose(ranked: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Pick cases without showing one twice."""
    middle = len(ranked) // 2
    picks = [("best", i) for i in range(BEST)] + [("middle", middle + i) for i in range(MEDIAN)]
    picks += [("worst", len(ranked) - WORST + i) for i in range(WORST)]
    chosen: dict[int, str] = {}
    for kind, index in picks:
        if 0 <= index < len(ranked):
            chosen.setdefault(index, kind)
    return [(kind, ranked[index]) for index, kind in sorted(chosen.items())]


def _panels(run: Run, model: Model, files: list[str]) -> list[str]:
    recipe, objects = model.recipe, model.recipe.task == "instance"
    labelling = Labelling(
        task=run.understood["task"],
        classes=recipe.classes,
        values=recipe.values,
        colours=recipe.colours,
        coded_by_colour=bool(run.understood.get("coded_by_colour")),
        ignore_value=run.understood["ignore_index"],
    )
    pixels = read_pixels(Path(files[0]), recipe.channels, run.config.data.pages).pixels
    truth = read_labels(Path(files[1]), labelling)
    predicted = model.predict_pixels(pixels).labels.astype(np.int32)
    if not objects and recipe.target.kind != "classes":
        predicted = (predicted > 0).astype(np.int32)  # a mask that was learned as objects
    view = draw.stretch(pixels)
    background = has_background(recipe.task, recipe.classes)
    panels = {
        "image": view,
        "truth": draw.colour(truth, recipe.colours, objects=objects),
        "prediction": draw.colour(predicted, recipe.colours, objects=objects),
        "errors": draw.object_errors(view, truth, predicted)
        if objects
        else draw.class_errors(view, truth, predicted, background=background),
    }
    figures = [
        html.picture(png_bytes(np.moveaxis(draw.shrink(panel), -1, 0)), "png", caption)
        for caption, panel in panels.items()
    ]
    return [f'<div class="case">{"".join(figures)}</div>']


def _environment(run: Run) -> list[str]:
    found = dict(run.environment)
    versions = found.pop("versions", {})
    rows = [(_name(key), str(value)) for key, value in {**found, **versions}.items()]
    return [html.table(("what", "value"), rows)]


def _name(key: str) -> str:
    return WORDS.get(key, key.replace("_", " "))
