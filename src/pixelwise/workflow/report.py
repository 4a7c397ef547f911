"""Report: one HTML file about a run, with everything inside it."""

from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.commit import commit_text
from pixelwise.engine.model import Model, load_model_for_prediction
from pixelwise.errors import PixelwiseError
from pixelwise.images.cases import Labelling, read_labels, read_pixels
from pixelwise.images.files import gif_bytes, png_bytes
from pixelwise.progress import Console, Progress
from pixelwise.workflow import report_page as html
from pixelwise.workflow import report_pictures as draw
from pixelwise.workflow.config import settings
from pixelwise.workflow.run import Run

BEST, MEDIAN, WORST = 2, 1, 3  # cases shown of each
FRAME_MILLISECONDS = 350


def report(run: Path | str, *, progress: Progress | None = None) -> Path:
    """Write report/index.html of a run: data, plan, curves, scores, cases, film, environment.

    Parameters
    ----------
    run : path
        The run folder.
    progress : Progress, optional

    Returns
    -------
    Path
        The page; it needs no other file and no network. What the run does not have yet is left out, with a
        sentence on how to get it.

    Raises
    ------
    BadRun
        The folder is no run.
    """
    progress = progress or Console()
    opened = Run.open(run)
    scores = opened.read_json("scores.json") if opened.scores_path.is_file() else None
    name = opened.folder.resolve().name
    parts = [f"<h1>{html.escape(name)}</h1>", *_headline(scores), *_data(opened), *_plan(opened), *_learning(opened)]
    parts += _scores(scores) if scores else []
    parts += _cases(opened, scores, progress) if scores else []
    parts += _environment(opened)
    commit_text(opened.report_path, html.page(f"{name}: pixelwise report", parts))
    return opened.report_path


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
    parts = [html.heading("What was understood of the data"), html.paragraphs([facts, *found["told"]])]
    if found["problems"]:
        rows = [(p["file"], p["kind"], p["text"]) for p in found["problems"][:20]]
        parts.append(html.table(("file", "kind", "text"), rows, "Noticed, and not in the way"))
    return parts


def _plan(run: Run) -> list[str]:
    config = run.config
    rows = [(key, str(value), config.reasons[key]) for key, value in settings(config).items() if key in config.reasons]
    return [html.heading("The plan, and why"), html.table(("setting", "value", "why"), rows)]


def _learning(run: Run) -> list[str]:
    rows = draw.read_metrics(run.metrics_path)
    if not rows:
        return []
    curves = f'<div class="curves">{html.picture(draw.draw_curves(rows), "svg+xml")}</div>'
    parts = [html.heading("The learning"), curves]
    frames = draw.film_frames(run.film)
    if frames:
        content = gif_bytes(frames, FRAME_MILLISECONDS)
        caption = "One validation patch along the training: image, prediction, target."
        parts.append(html.picture(content, "gif", caption, "film"))
    return parts


def _scores(scores: dict[str, Any]) -> list[str]:
    names = ("class", "Dice", "IoU", "precision", "recall", "pixels")
    rows = [(r["name"], r["dice"], r["iou"], r["precision"], r["recall"], r["pixels"]) for r in scores["classes"]]
    parts = [html.heading(f"Scores on {scores['part']}"), html.table(names, rows, "Over all pixels of the set")]
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
        parts.append(html.table(("truth \\ predicted", *names), shares, "Confusion, in percent of the true pixels"))
    return parts


def _shares(name: str, line: list[int]) -> tuple[Any, ...]:
    total = sum(line)
    return (name, *(None if not total else round(100 * count / total, 1) for count in line))


def _cases(run: Run, scores: dict[str, Any], progress: Progress) -> list[str]:
    """Show the best, middle and worst cases, where their files are still there."""
    field = "mean_ap" if "objects" in scores["scores"] else "mean_dice"
    ranked = sorted((c for c in scores["cases"] if c.get(field) is not None), key=lambda c: c[field], reverse=True)
    ranked = [case for case in ranked if case.get("files")]
    if not ranked or not run.model_path.is_file():
        return []
    model = load_model_for_prediction(run.folder, device="cpu")
    recipe = model.recipe
    legend = [
        ("right", draw.RIGHT),
        ("missed", draw.MISSED),
        ("false alarm", draw.FALSE),
        ("other class", draw.CONFUSED),
    ]
    parts = [html.heading("Best, middle and worst cases"), html.key(legend)]
    if recipe.task != "instance":
        parts.append(html.key(list(zip(recipe.classes, recipe.colours, strict=False))))
    for kind, case in progress.track(_choose(ranked), "drawing cases", len(_choose(ranked))):
        caption = f"{kind}: {case['name']}, {_name(field)} {html.show(case[field])}"
        parts.append(f"<p><b>{html.escape(caption)}</b></p>")
        parts.append(_panels(run, model, case["files"]))
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


def _panels(run: Run, model: Model, files: list[str]) -> str:
    recipe, objects = model.recipe, model.recipe.task == "instance"
    labelling = Labelling(
        task=run.understood["task"],
        classes=recipe.classes,
        values=recipe.values,
        colours=recipe.colours,
        coded_by_colour=bool(run.understood.get("coded_by_colour")),
        ignore_value=run.understood["ignore_index"],
    )
    try:
        pixels = read_pixels(Path(files[0]), recipe.channels, run.config.data.pages).pixels
        truth = read_labels(Path(files[1]), labelling)
    except PixelwiseError as error:
        return html.paragraphs([f"The files are not where they were: {error}"])
    predicted = model.predict_pixels(pixels).labels.astype(np.int32)
    view = draw.stretch(pixels)
    panels = {
        "image": view,
        "truth": draw.colour(truth, recipe.colours, objects=objects),
        "prediction": draw.colour(predicted, recipe.colours, objects=objects),
        "errors": draw.errors(view, truth, predicted, objects=objects),
    }
    figures = [
        html.picture(png_bytes(np.moveaxis(draw.shrink(panel), -1, 0)), "png", caption)
        for caption, panel in panels.items()
    ]
    return f'<div class="case">{"".join(figures)}</div>'


def _environment(run: Run) -> list[str]:
    found = dict(run.environment)
    versions = found.pop("versions", {})
    rows = [(_name(key), str(value)) for key, value in {**found, **versions}.items()]
    return [html.heading("Made with"), html.table(("what", "value"), rows)]


def _name(key: str) -> str:
    return key.replace("_", " ")
