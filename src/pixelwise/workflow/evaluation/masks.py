"""Evaluate, of masks: each image is predicted and compared with its mask."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.dataset import Case, Dataset, Labelling, read_labels, read_pixels
from pixelwise.datasets.records import has_background
from pixelwise.errors import BadDataset
from pixelwise.exporters.samples import Sample
from pixelwise.inference.segmentation_model import Model, Prediction
from pixelwise.labels.targets import encode
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.confidence import ConfidenceEvaluation, judge_confidence, unscaled
from pixelwise.workflow.evaluation.image_level import ImageLevel
from pixelwise.workflow.evaluation.mask_scores import CaseResult, score_case, summarise

OBJECTS = ("background", "object")
Look = Callable[[Case, np.ndarray, Prediction], None]


def score_masks(
    model: Model, dataset: Dataset, cases: Sequence[Case], *, pages: int | None, seed: int, progress: Progress
) -> dict[str, Any]:
    """Return the scores of a model of masks on cases with masks; see `evaluate`.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    """
    observed, whole = ConfidenceEvaluation(), ImageLevel()

    def look(_: Case, truth: np.ndarray, prediction: Prediction) -> None:
        whole.look(truth, observed.look(truth, prediction, model.model_card), model.model_card)

    raw = Model(unscaled(model.model_card), model.predictor)
    results = count_masks(raw, dataset, cases, pages=pages, progress=progress, look=look)
    scores = whole.judge(join_masks(results, model.model_card, dataset, cases, seed=seed), model.model_card)
    return judge_confidence(scores, observed, [model.model_card.conformal_margin] * len(results))


def count_masks(
    model: Model,
    dataset: Dataset,
    cases: Sequence[Case],
    *,
    pages: int | None,
    progress: Progress,
    look: Look | None = None,
) -> list[CaseResult]:
    """Predict the cases that have masks, in order, and count what is right in each; see `score_masks`.

    `look` is shown each prediction, with its probabilities.
    """
    labelling = agree(model.model_card, dataset.labelling, dataset.root)
    masked = [(case, case.mask) for case in cases if case.mask is not None]
    instances = labelling.task == "instance"
    names = class_names(model.model_card)
    results: list[CaseResult] = []
    warnings: dict[str, int] = {}
    for case, mask in progress.track(masked, "evaluating", len(masked)):
        truth = read_labels(mask, labelling)
        pixels = read_pixels(case.image, model.model_card.channels, pages).pixels
        prediction = model.predict_pixels(pixels, probabilities=look is not None)
        if look is not None:
            look(case, truth, prediction)
        for warning in prediction.warnings:
            warnings[warning] = warnings.get(warning, 0) + 1
        labels = prediction.labels
        if not instances and model.model_card.target.kind != "classes":
            labels = (labels > 0).astype(labels.dtype)  # a mask that was learned as objects
        results.append(score_case(case.name, truth, labels, labelling.task, len(names)))
    progress.message(*(f"{text} ({pluralise(count, 'image')})" for text, count in warnings.items()))
    return results


def join_masks(
    results: Sequence[CaseResult], model_card: ModelCard, dataset: Dataset, cases: Sequence[Case], *, seed: int
) -> dict[str, Any]:
    """Return the scores of what `count_masks` counted on the cases, in their order."""
    labelling, names = agree(model_card, dataset.labelling, dataset.root), class_names(model_card)
    masked = [(case, case.mask) for case in cases if case.mask is not None]
    first = int(has_background(labelling.task, names))
    scores: dict[str, Any] = {"task": labelling.task, **summarise(results, names, first, seed)}
    for row, (case, mask) in zip(scores["cases"], masked, strict=True):
        row["files"] = [str(case.image.resolve()), str(mask.resolve())]  # the report shows some of them
    return scores


def class_names(model_card: ModelCard) -> tuple[str, ...]:
    """Name the classes that masks are scored in."""
    return OBJECTS if model_card.task == "instance" else model_card.classes


def agree(model_card: ModelCard, labelling: Labelling, root: Path) -> Labelling:
    """Return how to read the masks in the model's classes; refuse another task or other classes.

    Masks that do not show every class of the model are understood with fewer; they are read with all of them.
    """
    if labelling.task == "classification":
        expected = f"images with masks, for the task {model_card.task} that the model learned"
        raise BadDataset(expected, "a folder per class", "Give such a folder, or use another run.", root)
    if (labelling.task == "instance") != (model_card.task == "instance"):
        hint = f"Say what the masks are with --task {model_card.task}, or use another run."
        raise BadDataset(f"masks for the task {model_card.task}, as the model learned", labelling.task, hint, root)
    if labelling.task == "instance" or labelling.classes == model_card.classes:
        return labelling
    known = dict(zip(model_card.classes, model_card.values, strict=True))
    here = dict(zip(labelling.classes, labelling.values, strict=True))
    if not here.items() <= known.items():
        hint = "Name the classes of the data with --classes in the model's order, or use another run."
        expected = f"the model's classes ({', '.join(model_card.classes)})"
        raise BadDataset(expected, ", ".join(labelling.classes), hint, root)
    task = "binary" if len(model_card.classes) <= 2 else "multiclass"
    return replace(
        labelling, task=task, classes=model_card.classes, values=model_card.values, colours=model_card.colours
    )


def read_mask_samples(
    model_card: ModelCard, dataset: Dataset, cases: Sequence[Case], pages: int | None
) -> Iterator[Sample]:
    """Read labelled images one by one.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    BadImage
        A file cannot be read.
    """
    labelling = agree(model_card, dataset.labelling, dataset.root)
    for case in cases:
        if case.mask is not None:
            truth = encode(read_labels(case.mask, labelling), model_card.target)
            yield Sample(read_pixels(case.image, model_card.channels, pages).pixels, truth)
