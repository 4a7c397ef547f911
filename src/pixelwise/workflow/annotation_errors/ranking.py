"""Rank the likely annotation errors of a data set by what a run predicts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pixelwise.datasets.annotations import files_of_annotation
from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.problem_report import path_below
from pixelwise.datasets.records import first_class, has_background
from pixelwise.geometry.grid import millimetres_of
from pixelwise.inference.load import as_segmentation_model, find_model_card
from pixelwise.inference.segmentation_model import Prediction
from pixelwise.labels.regions import class_probabilities
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors.evidence import EvidenceStore
from pixelwise.workflow.annotation_errors.held_out import CaseGroup, describe_groups, group_cases
from pixelwise.workflow.annotation_errors.image_classes import rank_image_classes
from pixelwise.workflow.annotation_errors.records import AnnotationError
from pixelwise.workflow.annotation_errors.regions import (
    Candidate,
    Comparison,
    compare_classes,
    compare_objects,
    find_candidates,
)
from pixelwise.workflow.annotation_errors.result import LIKELY, AnnotationErrors, Gain
from pixelwise.workflow.evaluation.masks import class_names, match_labelling
from pixelwise.workflow.run import Run

MASKS = 3  # files of one annotation that are named
FIRST = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # lengths of the ranking for which the gain is computed


def rank_annotation_errors(
    run: Run, dataset: Dataset, *, device: str = "auto", progress: Progress, pictures: bool = False
) -> AnnotationErrors:
    """Rank the regions of all labelled images, but those of the test split, by how likely their annotation is wrong.

    Regions of volumes have three axes, on the standard axes of volumes (`geometry.grid`).

    Of a run that classifies whole images, the images are ranked (`image_classes`).

    Parameters
    ----------
    run : Run
        A finished run; with folds every image is predicted by a model that was not trained on it.
    pictures : bool
        Keep pictures of the first errors of each kind.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    BadModel
        The run has no model.
    """
    card = find_model_card(run.folder)
    if card.view is not None:
        return rank_image_classes(run, card, dataset, device=device, progress=progress, pictures=pictures)
    labelling = match_labelling(card, dataset.labelling, dataset.root)
    groups = group_cases(run, dataset, device)
    matched = replace(dataset, labelling=labelling, channels=card.channels)
    return rank_predictions(matched, card, groups, describe_groups(run, dataset, groups), progress, pictures=pictures)


def rank_predictions(
    dataset: Dataset,
    card: ModelCard,
    groups: Sequence[CaseGroup],
    messages: Sequence[str],
    progress: Progress,
    *,
    pictures: bool,
) -> AnnotationErrors:
    """Predict the cases of each group, compare and rank; see `rank_annotation_errors`."""
    names, store = class_names(card), EvidenceStore()
    ranked: list[tuple[AnnotationError, Candidate]] = []
    matrix = np.zeros((len(names), len(names)), np.int64)
    unseen = any(not group.seen for group in groups)
    agreeing = images = 0
    for case, pixels, comparison, seen in progress.track(
        _compare_cases(dataset, card, groups), "Looking for annotation errors", sum(len(g.cases) for g in groups)
    ):
        found, images = find_candidates(comparison), images + 1
        agreeing += found.agreeing
        if seen is not unseen:
            matrix += confusion(comparison.given, comparison.predicted, len(names))
        files = _files(dataset, case)
        errors = [_error(candidate, case.name, files, names, seen=seen) for candidate in found.candidates]
        ranked += zip(errors, found.candidates, strict=True)
        if pictures:
            store.add(pixels, comparison, errors)
    ranked.sort(key=lambda pair: (-pair[0].score, pair[0].case, pair[1].box))
    first = first_class(card.task, names)
    counted = [candidate for error, candidate in ranked if error.seen is not unseen and error.score >= LIKELY]
    return AnnotationErrors(
        ranked=tuple(error for error, _ in ranked),
        agreeing=agreeing,
        images=images,
        dice=_dice(matrix, first),
        gains=tuple(_gains(matrix, counted, first)),
        messages=tuple(messages),
        evidence=store.evidence(),
    )


def _compare_cases(
    dataset: Dataset, card: ModelCard, groups: Sequence[CaseGroup]
) -> Iterator[tuple[Case, np.ndarray, Comparison, bool]]:
    for group in groups:
        model = as_segmentation_model(group.open_model())
        for case in group.cases:
            pixels, truth = dataset.read_labelled(case)
            grid = dataset.read_grid(case) if model.dimensions == 3 else None
            prediction = model.predict_pixels(pixels, probabilities=True, spacing=millimetres_of(grid))
            yield case, pixels, _compare(card, truth, prediction), group.seen


def _compare(card: ModelCard, truth: np.ndarray, prediction: Prediction) -> Comparison:
    if prediction.probabilities is None:
        raise ValueError("no probabilities to compare")
    if card.task == "instance":
        return compare_objects(truth, prediction.labels, prediction.probabilities[0])
    probabilities, labels = prediction.probabilities, prediction.labels
    if card.target.kind != "classes":  # a mask of two classes that is predicted as objects
        labels = (labels > 0).astype(labels.dtype)
        probabilities = np.stack([probabilities[0], 1 - probabilities[0]])
    else:
        probabilities = class_probabilities(probabilities, card.target)
    return compare_classes(truth, labels, probabilities, background=has_background(card.task, card.classes))


def _files(dataset: Dataset, case: Case) -> tuple[str, ...]:
    """Return the image and its mask, relative to the data folder; many masks of one image are not listed."""
    masks = files_of_annotation(case.annotation)
    paths = (case.image, *(masks if len(masks) <= MASKS else ()))
    return tuple(path_below(dataset.root, path) for path in paths)


def _error(
    candidate: Candidate, case: str, files: tuple[str, ...], names: Sequence[str], *, seen: bool
) -> AnnotationError:
    return AnnotationError(
        kind=candidate.kind,
        score=candidate.score,
        case=case,
        files=files,
        box=candidate.box,
        annotated=names[candidate.given],
        predicted=names[candidate.predicted],
        pixels=sum(count for _, _, count in candidate.pixels),
        seen=seen,
    )


def _dice(matrix: np.ndarray, first: int) -> float | None:
    return mean_of(class_scores(matrix).dice[first:])


def _gains(matrix: np.ndarray, candidates: Sequence[Candidate], first: int) -> Iterator[Gain]:
    """Yield the gains of the first candidates: their pixels get the predicted class in the ground truth too."""
    corrected = matrix.copy()
    steps = {count for count in FIRST if count < len(candidates)} | {len(candidates)}
    for count, candidate in enumerate(candidates, 1):
        for given, predicted, pixels in candidate.pixels:
            corrected[given, predicted] -= pixels
            corrected[predicted, predicted] += pixels
        dice = _dice(corrected, first) if count in steps else None
        if dice is not None:
            yield Gain(errors=count, dice=dice)
