"""Evaluation of segmentation models: predicted and true masks are compared."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import files_of_annotation
from pixelwise.datasets.dataset import Case, Dataset, Labelling
from pixelwise.datasets.masks.class_list import UNNAMED
from pixelwise.datasets.records import first_class
from pixelwise.errors import BadDataset
from pixelwise.exporters.samples import Sample
from pixelwise.geometry.grid import millimetres_of
from pixelwise.inference.segmentation_model import Prediction, SegmentationModel
from pixelwise.labels.targets import encode
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.confidence import ConfidenceEvaluation, add_confidence, unscaled
from pixelwise.workflow.evaluation.image_level import ImageLevelEvaluation
from pixelwise.workflow.evaluation.mask_scores import CaseResult, score_case, summarise
from pixelwise.workflow.evaluation.quantity_scores import QuantityEvaluation
from pixelwise.workflow.evaluation.region_scores import add_regions, regions_of
from pixelwise.workflow.evaluation.splits import ScoreRequest
from pixelwise.workflow.evaluation.surface_scores import SurfaceEvaluation
from pixelwise.workflow.evaluation.volume_scores import VolumeEvaluation, read_grids

OBJECTS = ("background", "object")
PredictionCallback = Callable[[Case, np.ndarray, Prediction], None]


def score_masks(model: SegmentationModel, request: ScoreRequest) -> dict[str, Any]:
    """Return the scores of a segmentation model on labelled cases; see `evaluate`.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    """
    confidence, image_level = ConfidenceEvaluation(), ImageLevelEvaluation()
    dataset, cases = request.dataset, request.cases
    annotated = [case for case in cases if case.annotation is not None]
    names, kind, grids = class_names(model.model_card), model.model_card.task, read_grids(dataset, annotated)
    regions = regions_of(model.model_card.target)
    surfaces = SurfaceEvaluation(annotated, names, kind, grids, regions)
    volumes = VolumeEvaluation(grids, names, kind, regions)
    quantities = QuantityEvaluation(model.model_card, grids)

    def on_prediction(case: Case, truth: np.ndarray, prediction: Prediction) -> None:
        labels = scored_labels(prediction, model.model_card)
        surfaces.add(case, truth, labels)
        volumes.add(case, truth, labels)
        quantities.add(case, truth, labels)
        image_level.add(truth, confidence.add_image(truth, prediction, model.model_card), model.model_card)

    raw = SegmentationModel(unscaled(model.model_card), model.predictor)
    results = count_masks(raw, dataset, cases, progress=request.progress, on_prediction=on_prediction)
    scores = summarise_masks(results, model.model_card, dataset, cases, seed=request.seed)
    scores = surfaces.add_to(image_level.add_to(scores, model.model_card), request.seed)
    scores = quantities.add_to(volumes.add_to(scores, request.seed), request.seed)
    return add_confidence(scores, confidence, [model.model_card.conformal_margin] * len(results))


def count_masks(
    model: SegmentationModel,
    dataset: Dataset,
    cases: Sequence[Case],
    *,
    progress: Progress,
    on_prediction: PredictionCallback | None = None,
) -> list[CaseResult]:
    """Predict the cases that have masks, in order, and return their counts; see `score_masks`.

    `on_prediction` receives each prediction with its probabilities.
    """
    labelling = match_labelling(model.model_card, dataset.labelling, dataset.root)
    dataset = replace(dataset, labelling=labelling, channels=model.model_card.channels)
    annotated = [case for case in cases if case.annotation is not None]
    names = class_names(model.model_card)
    results: list[CaseResult] = []
    warnings: dict[str, int] = {}
    for case in progress.track(annotated, "evaluating", len(annotated)):
        pixels, truth = dataset.read_labelled(case)
        grid = dataset.read_grid(case) if dataset.spatial_dims == 3 else None
        spacing = millimetres_of(grid)
        prediction = model.predict_pixels(pixels, probabilities=on_prediction is not None, spacing=spacing)
        if on_prediction is not None:
            on_prediction(case, truth, prediction)
        for warning in prediction.warnings:
            warnings[warning] = warnings.get(warning, 0) + 1
        labels = scored_labels(prediction, model.model_card)
        results.append(score_case(case.name, truth, labels, labelling.task, len(names)))
    progress.message(*(f"{text} ({pluralise(count, 'image')})" for text, count in warnings.items()))
    return results


def scored_labels(prediction: Prediction, model_card: ModelCard) -> np.ndarray:
    """Return classes or objects, as the masks of the task have them."""
    labels = prediction.labels
    if model_card.task != "instance" and model_card.target.kind != "classes":
        return (labels > 0).astype(labels.dtype)  # a semantic mask with an object target
    return labels


def summarise_masks(
    results: Sequence[CaseResult], model_card: ModelCard, dataset: Dataset, cases: Sequence[Case], *, seed: int
) -> dict[str, Any]:
    """Return the scores for the results of `count_masks` on the cases."""
    labelling, names = match_labelling(model_card, dataset.labelling, dataset.root), class_names(model_card)
    annotated = [case for case in cases if case.annotation is not None]
    first = first_class(labelling.task, names)
    scores: dict[str, Any] = {"task": labelling.task, **summarise(results, names, first, seed)}
    scores = add_regions(scores, results, model_card.target, seed)
    for row, case in zip(scores["cases"], annotated, strict=True):
        files = (case.image, *(() if dataset.format else files_of_annotation(case.annotation)))
        row["files"] = [str(path.resolve()) for path in files]  # for the report
    scores["labelling"] = json.loads(json.dumps(asdict(labelling)))  # lists, as the file has them
    if dataset.format:
        scores |= {"format": dataset.format, "folder": str(dataset.root.resolve())}
    return scores


def class_names(model_card: ModelCard) -> tuple[str, ...]:
    """Return the names of the scored classes."""
    return OBJECTS if model_card.task == "instance" else model_card.classes


def match_labelling(model_card: ModelCard, labelling: Labelling, root: Path) -> Labelling:
    """Return the labelling of the masks with the model's classes; masks may contain fewer classes than the model.

    The foreground of binary masks is that of the model if one of them has no name.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    """
    if (labelling.task == "instance") != (model_card.task == "instance"):
        hint = f"Set the task with --task {model_card.task}, or use another run."
        raise BadDataset(f"{model_card.task} masks, as the model was trained on", labelling.task, hint, root)
    if labelling.task == "instance" or labelling.classes == model_card.classes:
        return labelling
    if len(labelling.classes) == len(model_card.classes) == 2 and UNNAMED in (labelling.classes, model_card.classes):
        return replace(labelling, classes=model_card.classes, colours=model_card.colours)
    task = "binary" if len(model_card.classes) <= 2 else "multiclass"
    if labelling.source_classes and set(labelling.classes) <= set(model_card.classes):
        # annotations that name their classes: their numbers in this folder do not matter
        numbers = dict(zip(labelling.classes, labelling.values, strict=True))
        values = tuple(numbers.get(name, -1 - index) for index, name in enumerate(model_card.classes))
        return replace(labelling, task=task, classes=model_card.classes, values=values, colours=model_card.colours)
    model_values = dict(zip(model_card.classes, model_card.values, strict=True))
    data_values = dict(zip(labelling.classes, labelling.values, strict=True))
    if not data_values.items() <= model_values.items():
        hint = "List the classes of the data with --classes in the model's order, or use another run."
        expected = f"the model's classes ({', '.join(model_card.classes)})"
        raise BadDataset(expected, ", ".join(labelling.classes), hint, root)
    return replace(
        labelling, task=task, classes=model_card.classes, values=model_card.values, colours=model_card.colours
    )


def read_mask_samples(model_card: ModelCard, dataset: Dataset, cases: Sequence[Case]) -> Iterator[Sample]:
    """Yield labelled images.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    BadImage
        A file cannot be read.
    """
    labelling = match_labelling(model_card, dataset.labelling, dataset.root)
    dataset = replace(dataset, labelling=labelling, channels=model_card.channels)
    for case in cases:
        if case.annotation is not None:
            pixels, truth = dataset.read_labelled(case)
            yield Sample(pixels, encode(truth, model_card.target))
