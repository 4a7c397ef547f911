"""Rank the images that are likely in the folder of the wrong class.

An image is a likely error if the prediction of another class reaches what is usual for images of that class: confident
learning (Northcutt, Jiang and Chuang 2021, Journal of Artificial Intelligence Research 70). They are ranked by the
normalised margin: the probability of the predicted class minus that of the given one.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.problem_report import path_below
from pixelwise.errors import BadDataset
from pixelwise.inference.load import as_classification_model
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors.evidence import PICTURES, Evidence
from pixelwise.workflow.annotation_errors.held_out import describe_groups, group_cases
from pixelwise.workflow.annotation_errors.records import WRONG_CLASS, AnnotationError
from pixelwise.workflow.annotation_errors.result import LIKELY, AnnotationErrors
from pixelwise.workflow.evaluation.classification import predict_probabilities, true_classes
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.run import Run

_UNSURE = LIKELY - 0.01


def rank_image_classes(
    run: Run, card: ModelCard, dataset: Dataset, *, device: str = "auto", progress: Progress, pictures: bool = False
) -> AnnotationErrors:
    """Rank all labelled images, but those of the test split, by how likely their class is wrong.

    Parameters
    ----------
    run : Run
        A finished run of classification; with folds every image is predicted by a model that was not trained on it.
    card : ModelCard
        Of the run.
    pictures : bool
        Keep the pictures of the first errors.

    Raises
    ------
    BadDataset
        The data set has masks, or classes that the model does not know.
    BadImage
        An image cannot be read.
    """
    if dataset.task != "classification":
        hint = "Give the folder of class folders that the run was trained on, or another --run."
        raise BadDataset("a folder of images for each class, as the run was trained on", "masks", hint, dataset.root)
    groups = group_cases(run, dataset, device)
    read, cases = dataset.with_channels(card.channels), [case for group in groups for case in group.cases]
    predicted = [
        predict_probabilities(as_classification_model(group.open_model()), dataset, group.cases, progress=progress)
        for group in groups
    ]
    probabilities, given = np.concatenate(predicted), true_classes(card.classes, dataset, cases)
    scores, others = wrong_class_scores(probabilities, given)
    seen = [group.seen for group in groups for _ in group.cases]
    differing = np.flatnonzero(probabilities.argmax(1) != given)
    order = sorted(differing.tolist(), key=lambda index: (-scores[index], cases[index].name))
    ranked = [
        _error(dataset, cases[i], float(scores[i]), card.classes[given[i]], card.classes[others[i]], seen=seen[i])
        for i in order
    ]
    shown = [index for index, error in zip(order, ranked, strict=True) if error.score >= LIKELY][:PICTURES]
    evidence = [_picture(read, cases[i], error) for i, error in zip(shown, ranked, strict=False)] if pictures else []
    agreeing = len(cases) - len(differing)
    agree = f"The predictions agree with the classes of {agreeing} of {len(cases)} images."
    return AnnotationErrors(
        ranked=tuple(ranked),
        agreeing=agreeing,
        images=len(cases),
        dice=None,
        gains=(),
        messages=(*describe_groups(run, dataset, groups), agree),
        evidence=tuple(evidence),
    )


def wrong_class_scores(
    probabilities: Float32[np.ndarray, "images classes"], given: Int64[np.ndarray, " images"]
) -> tuple[Float64[np.ndarray, " images"], Int64[np.ndarray, " images"]]:
    """Return how likely the class of each image is wrong, 0 ... 1, and the most probable other class.

    The score is (1 + margin) / 2, below `LIKELY` if the other class is less probable than it is on average for the
    images of that class.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.7, 0.3]], np.float32)
    >>> scores, others = wrong_class_scores(probabilities, np.array([0, 0, 1, 1]))
    >>> scores.round(2).tolist(), others.tolist()
    ([0.1, 0.2, 0.1, 0.49], [1, 1, 0, 0])
    """
    images = np.arange(len(given))
    own = probabilities[images, given].astype(np.float64)
    rest = probabilities.astype(np.float64)
    rest[images, given] = -1
    others = rest.argmax(1)
    best = rest[images, others]
    usual = np.array(
        [own[given == index].mean() if (given == index).any() else 1.0 for index in range(probabilities.shape[1])]
    )
    score = (1 + best - own) / 2
    return np.where(best >= usual[others], score, np.minimum(score, _UNSURE)), others.astype(np.int64)


def _error(
    dataset: Dataset, case: Case, score: float, annotated: str, predicted: str, *, seen: bool
) -> AnnotationError:
    return AnnotationError(
        kind=WRONG_CLASS,
        score=score,
        case=case.name,
        files=(path_below(dataset.root, case.image),),
        box=None,
        annotated=annotated,
        predicted=predicted,
        pixels=0,
        seen=seen,
    )


def _picture(dataset: Dataset, case: Case, error: AnnotationError) -> Evidence:
    return Evidence(error=error, image=stretch(dataset.read_image(case).pixels), annotation=None, prediction=None)
