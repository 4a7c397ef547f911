"""Report of segmentation runs: score tables, and example cases with their ground truth."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.dataset import Case, Dataset, Example, Labelling, find_case
from pixelwise.geometry.grid import millimetres_of
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.io.read import probe
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.headline import words
from pixelwise.workflow.painting import colour, stretch
from pixelwise.workflow.planes import choose_planes
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting import pictures as draw
from pixelwise.workflow.reporting.film import volume_film
from pixelwise.workflow.reporting.page import empty_classes, try_section
from pixelwise.workflow.run import Run

BEST, WORST = 2, 2  # number of cases shown, in addition to the median


def mask_scores(scores: dict[str, Any]) -> list[str]:
    """Return the score tables: per class, objects, boundaries, confusion matrix, and empty classes."""
    volumes = scores["scores"].get("volumes")
    names = ("class", "Dice", "IoU", "precision", "recall", "voxels" if volumes else "pixels")
    rows = [(r["name"], r["dice"], r["iou"], r["precision"], r["recall"], r["pixels"]) for r in scores["classes"]]
    parts = [html.table(names, rows, "Over all pixels of the data set")]
    values = scores["scores"]
    if regions := values.get("regions"):
        heads = ("name", "dice", "iou", "precision", "recall", "dice_per_image")
        rows = [tuple(row[key] for key in heads) for row in regions["classes"]]
        names = ("region", "Dice", "IoU", "precision", "recall", "Dice per image")
        parts.append(html.table(names, rows, "Regions"))
    if volumes:
        rows = [
            tuple(row[key] for key in ("name", "true", "predicted", "difference", "error"))
            for row in volumes["classes"]
        ]
        heads = ("class", "true", "predicted", "difference", "mean error")
        parts.append(html.table(heads, rows, f"Volumes in {volumes['unit']}, means over cases"))
    if objects := values.get("objects"):
        others = [(words(k), v) for k, v in objects.items() if k != "ap"]
        parts.append(html.table(("score", "value"), others, "Objects"))
        ap = [(threshold, value["mean"], value["pooled"]) for threshold, value in objects["ap"].items()]
        names = ("IoU threshold", "mean over images", "all objects")
        parts.append(html.table(names, ap, "Average precision (AP) of objects"))
    if quantities := scores.get("quantities"):
        parts.append(_quantity_table(quantities))
    if images := scores.get("images"):
        parts.append(_detection_table(images))
    if boundaries := values.get("boundaries"):
        parts.append(html.table(("score", "value"), [(words(k), v) for k, v in boundaries.items()], "Boundaries"))
    if len(scores["classes"]) > 2:
        names = [r["name"] for r in scores["classes"]]
        shares = [_shares(name, line) for name, line in zip(names, scores["confusion"], strict=True)]
        caption = "Confusion matrix, in percent of the true pixels"
        parts.append(html.table(("true \\ predicted", *names), shares, caption, digits=1))
    return [*parts, *empty_classes(scores.get("empty", {}))]


def _quantity_table(quantities: dict[str, Any]) -> str:
    """Return the table of counts and sizes, with the coverage of their intervals in percent."""
    heads = ("class", "", "predicted", "from", "to", "true", "mean error per image", "intervals", "covering, %")
    keys = ("predicted", "low", "high", "true", "error", "intervals")
    rows = [
        (row["name"], unit, *(row[kind].get(key) for key in keys), _percent(row[kind]["share"]))
        for row in quantities["classes"]
        for kind, unit in (("objects", "objects"), ("size", quantities["unit"]))
    ]
    return html.table(heads, rows, "Counts and sizes, sums over the images", digits=1)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _detection_table(images: dict[str, Any]) -> str:
    """Return the table of image-level detection scores, for any foreground and per class."""
    names = ("class", "images with it", "missed", "images without it", "false alarms", "AUROC", "average precision")
    keys = ("name", "positive", "missed", "empty", "false_alarms", "auroc", "average_precision")
    rows = [{"name": "any foreground", **images["any"]}, *images["classes"]]
    return html.table(names, [tuple(row[key] for key in keys) for row in rows], "Detection per image")


def _shares(name: str, line: list[int]) -> tuple[Any, ...]:
    total = sum(line)
    return (name, *(None if not total else 100 * count / total for count in line))


def mask_cases(run: Run, scores: dict[str, Any], progress: Progress) -> list[str]:
    """Return panels of the best, median and worst cases whose files still exist."""
    field = "mean_ap" if "objects" in scores["scores"] else "mean_dice"
    ranked = sorted((c for c in scores["cases"] if c.get(field) is not None), key=lambda c: c[field], reverse=True)
    ranked = [case for case in ranked if case.get("files")]
    if not ranked or not run.model_path.is_file():
        reason = "the run has no model" if ranked else "no case has a score and file names"
        hint = "Run `pixelwise evaluate RUN DATA` again on a finished run."
        return [html.paragraphs([f"No pictures: {reason}. {hint}"])]
    model_of = _Models(run)
    model_card = model_of(ranked[0]).model_card
    parts = _legends(model_card)
    chosen = _choose(ranked)
    for kind, case in progress.track(chosen, "drawing cases", len(chosen)):
        name, score = html.escape(case["name"]), html.escape(_describe_score(case, field))
        parts.append(f"<h3><b>{kind}</b> <i>{score}</i> · {name}</h3>")
        parts += try_section("This case", partial(_panels, run, model_of(case), scores, case), progress)
    return parts


def _legends(model_card: ModelCard) -> list[str]:
    """Return the legend of the errors, and that of the classes if there are several."""
    names = [("correct", draw.CORRECT), ("missed", draw.MISSED), ("false positive", draw.FALSE_POSITIVE)]
    if model_card.task == "instance" or len(model_card.classes) > 2:
        other = "object" if model_card.task == "instance" else "class"
        names.append((f"assigned to a different {other}", draw.CONFUSED))
    errors = [html.key(names)]
    several = model_card.task != "instance" and len(model_card.classes) > 2
    return [*errors, html.key(list(zip(model_card.classes, model_card.colours, strict=False)))] if several else errors


def _describe_score(case: dict[str, Any], field: str) -> str:
    """Return the score of a case, and its object counts if any."""
    binary = field == "mean_dice" and len(case["classes"]) == 2  # one foreground class: no mean
    score = f"{'Dice' if binary else words(field)} {html.show(case[field], 3)}"
    if "objects_matched" not in case:
        return score
    wrong = pluralise(case["objects_predicted"] - case["objects_matched"], "false positive")
    return f"{score}, {case['objects_matched']} of {pluralise(case['objects_true'], 'object')} found, {wrong}"


class _Models:
    """The model that a case was scored with: that of the run, or of the fold that held the case out."""

    def __init__(self, run: Run) -> None:
        self._run, self._known = run, dict[int, SegmentationModel]()

    def __call__(self, case: dict[str, Any]) -> SegmentationModel:
        number = int(case.get("fold", 0))
        if number not in self._known:
            folder = self._run.fold(number).folder if number else self._run.folder
            self._known[number] = load_model_for_prediction(folder, device="cpu")
        return self._known[number]


def _choose(ranked: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the best, median and worst cases without duplicates."""
    median = (len(ranked) - 1) // 2
    candidates = [("Best", 0), ("Worst", len(ranked) - 1), ("Median", median)]
    candidates += [("Best", i) for i in range(1, BEST)] + [("Worst", len(ranked) - 1 - i) for i in range(1, WORST)]
    chosen: dict[int, str] = {}
    for kind, index in candidates:
        if 0 <= index < len(ranked):
            chosen.setdefault(index, kind)
    return [(kind, ranked[index]) for index, kind in sorted(chosen.items())]


def _read_case(run: Run, model_card: ModelCard, scores: dict[str, Any], row: dict[str, Any]) -> Example:
    """Read the image and the ground truth of a scored case.

    Raises
    ------
    BadDataset
        The data set no longer contains it.
    """
    image, *masks = (Path(file) for file in row["files"])
    if "format" in scores:
        case = find_case(Path(scores["folder"]), image, run.config.data)
    else:
        case = Case(name=row["name"], image=image, annotation=MaskFile(path=masks[0]), split="test")
    dataset = Dataset(
        root=image.parent,
        cases=(case,),
        labelling=TypeAdapter(Labelling).validate_python(scores["labelling"]),
        channels=model_card.channels,
        pages=run.config.data.pages,
        reading=model_card.reading,
        spatial_dims=model_card.network.dimensions,
    )
    return dataset.read(case)


def _panels(run: Run, model: SegmentationModel, scores: dict[str, Any], row: dict[str, Any]) -> list[str]:
    model_card, objects = model.model_card, model.model_card.task == "instance"
    pixels, labels = _read_case(run, model_card, scores, row)
    truth = np.asarray(labels, np.int32)
    reading, image = model_card.reading, Path(row["files"][0])
    grid = reading.placed(probe(image, volumes=reading.volumes).grid) if pixels.ndim == 4 else None
    spacing = millimetres_of(grid)
    predicted = model.predict_pixels(pixels, spacing=spacing).labels.astype(np.int32)
    if not objects and model_card.target.kind != "classes":
        predicted = (predicted > 0).astype(np.int32)  # a semantic mask with an object target
    film = b""
    if pixels.ndim == 4:
        film = volume_film(pixels, truth, predicted)
        views = choose_planes(truth, grid)
        pixels, truth, predicted = views.draw(pixels), views.draw(truth), views.draw(predicted)
    view = stretch(pixels)
    panels = {
        "image": view,
        "ground truth": colour(truth, model_card.colours, objects=objects),
        "prediction": colour(predicted, model_card.colours, objects=objects),
        "errors": draw.object_errors(view, truth, predicted)
        if objects
        else draw.class_errors(view, truth, predicted, background=bool(model_card.first_class)),
    }
    slices = "slices from below: ground truth blue, prediction orange"
    return [draw.case_row(panels, *([html.picture(film, "gif", slices)] if film else []))]
