"""Out-of-fold evaluation: each labelled image is predicted by the network that was trained without it."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json
from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.errors import BadDataset
from pixelwise.inference.load import AnyModel, as_classification_model, as_segmentation_model, open_model
from pixelwise.inference.segmentation_model import Prediction, SegmentationModel
from pixelwise.labels.targets import IGNORE, TargetOptions, class_channels, encode
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.metrics.calibration import scale_probabilities
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.classification import predict_probabilities, summarise_images, true_classes
from pixelwise.workflow.evaluation.confidence import ConfidenceEvaluation, add_confidence, unscaled
from pixelwise.workflow.evaluation.image_level import ImageLevelEvaluation
from pixelwise.workflow.evaluation.mask_scores import CaseResult
from pixelwise.workflow.evaluation.masks import class_names, count_masks, scored_labels, summarise_masks
from pixelwise.workflow.evaluation.quantity_scores import QuantityEvaluation
from pixelwise.workflow.evaluation.surface_scores import SurfaceEvaluation
from pixelwise.workflow.evaluation.volume_scores import VolumeEvaluation, read_grids
from pixelwise.workflow.run import Run

OUT_OF_FOLD = "out_of_fold"
# post-processing parameters tuned after training
THRESHOLDS = ("seed_threshold", "foreground_threshold", "min_area", "split_threshold", "split_depth")
PIXELS = 200_000  # of all images together, sampled for calibration
Fold = tuple[int, list[Case]]
FoldScores = tuple[dict[str, Any], list[dict[str, Any]]]  # of all cases together, and the headline of each fold


@dataclass
class CalibrationData:
    """Out-of-fold probabilities for calibration: a row per sampled pixel (or image), and Dice values per case.

    `probabilities` are those of the classes of the target, calibrated with the median temperatures of the other folds
    (`metrics.calibration.logits_of` recovers the logits), `truth` is the true class, `case` the index of the case.
    `expected_dice` is computed from the probabilities, sum 2 p [predicted] / sum (p + [predicted]), and `dice` from the
    ground truth; NaN for a class that is in neither.
    """

    probabilities: list[np.ndarray] = field(default_factory=list[np.ndarray])
    truth: list[np.ndarray] = field(default_factory=list[np.ndarray])
    case: list[np.ndarray] = field(default_factory=list[np.ndarray])
    expected_dice: list[np.ndarray] = field(default_factory=list[np.ndarray])
    dice: list[np.ndarray] = field(default_factory=list[np.ndarray])

    def to_bytes(self, names: Sequence[str], folds: Sequence[int]) -> bytes:
        """Return the contents of an .npz file of plain arrays."""
        arrays: dict[str, np.ndarray] = {"names": np.array(names), "folds": np.array(folds, np.int32)}
        for name in ("probabilities", "truth", "case"):
            arrays[name] = np.concatenate(getattr(self, name))
        if self.dice:
            arrays |= {"expected_dice": np.stack(self.expected_dice), "dice": np.stack(self.dice)}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """What is scored out of fold: the held-out cases of each fold, and where the sampled probabilities go."""

    run: Run
    dataset: Dataset
    folds: Sequence[Fold]
    device: str
    progress: Progress
    data: CalibrationData = field(default_factory=CalibrationData)

    @property
    def seed(self) -> int:
        """The random seed of the run."""
        return self.run.config.training.seed

    @property
    def cases(self) -> list[Case]:
        """The cases of all folds."""
        return [case for _, cases in self.folds for case in cases]

    def model_cards(self) -> list[ModelCard]:
        """Return the model card of each fold."""
        return [read_model_card(self.run.fold(number).model_path) for number, _ in self.folds]

    def open_model(self, number: int) -> AnyModel:
        """Load the model of a fold."""
        return open_model(self.run.fold(number).folder, device=self.device)


def evaluate_out_of_fold(
    run: Run, dataset: Dataset, score_folds: Callable[[OutOfFold], FoldScores], *, device: str, progress: Progress
) -> dict[str, Any]:
    """Score a run with folds on its own images; write scores.json, out_of_fold.json (the same) and `CalibrationData`.

    Parameters
    ----------
    score_folds : callable
        `score_mask_folds` or `score_image_folds`.

    Returns
    -------
    dict
        As from `evaluate`, for the split "out_of_fold", with the `fold` of each case and the headline of each fold.

    Raises
    ------
    BadDataset
        Training images of the run are missing.
    BadModel
        A fold has no model.
    OutputFailed
        The files cannot be written.
    """
    folds = _cases_of(run, dataset)
    request = OutOfFold(run=run, dataset=dataset, folds=folds, device=device, progress=progress)
    result, headlines = score_folds(request)
    numbers = [number for number, cases in folds for _ in cases]
    for row, number in zip(result["cases"], numbers, strict=True):
        row["fold"] = number
    each = [
        {"fold": number, "images": len(cases), **headline}
        for (number, cases), headline in zip(folds, headlines, strict=True)
    ]
    scores: dict[str, Any] = {"split": OUT_OF_FOLD, "data": dataset.root.resolve().name, "folds": each, **result}
    scores |= {"warnings": messages} if (messages := run.warnings) else {}
    atomic_write_bytes(run.out_of_fold_path, request.data.to_bytes([row["name"] for row in result["cases"]], numbers))
    atomic_write_json(run.out_of_fold_path.with_suffix(".json"), scores)
    atomic_write_json(run.scores_path, scores)
    return scores


def common_target(targets: Sequence[TargetOptions]) -> TargetOptions:
    """Merge targets that differ in thresholds: each becomes the median, the lower of two middle values."""
    values: dict[str, Any] = {name: median_low(getattr(target, name) for target in targets) for name in THRESHOLDS}
    classes = max(len(target.class_areas) for target in targets)
    areas = [(*target.class_areas, *[0] * (classes - len(target.class_areas))) for target in targets]
    return replace(targets[0], **values, class_areas=tuple(map(median_low, zip(*areas, strict=True))))


def common_temperatures(model_cards: Sequence[ModelCard]) -> Temperatures:
    """Merge the temperatures of several models: each becomes the median, the lower of two middle values."""
    each = [model_card.temperatures for model_card in model_cards]
    low_confidence = [one.sure if one.doubt is None else one.doubt for one in each]
    two = any(one.doubt is not None for one in each)
    return Temperatures(median_low(one.sure for one in each), median_low(low_confidence) if two else None)


def held_out_card(model_cards: Sequence[ModelCard], index: int) -> ModelCard:
    """Return the model card of a fold, for predicting the images held out of it.

    Its thresholds and temperatures were chosen on these images, so those of the other folds take their place.
    """
    others = [*model_cards[:index], *model_cards[index + 1 :]]
    target, temperatures = common_target([other.target for other in others]), common_temperatures(others)
    return replace(
        model_cards[index], target=target, temperature=temperatures.sure, doubt_temperature=temperatures.doubt
    )


def _cases_of(run: Run, dataset: Dataset) -> list[Fold]:
    """Return the held-out cases of each fold, in the order of the folds."""
    known = {case.name: case for case in dataset.cases if case.labelled}
    missing = [name for names in run.folds for name in names if name not in known]
    if missing:
        got = f"{pluralise(len(missing), 'missing image')}, such as {missing[0]}"
        hint = "Restore the data, or evaluate a test split with --split test."
        raise BadDataset("all labelled images of the folds", got, hint, dataset.root)
    return [(number, [known[name] for name in names]) for number, names in enumerate(run.folds, 1)]


def score_mask_folds(request: OutOfFold) -> FoldScores:
    """Return the scores of the masks of all cases together, and the headline of each fold."""
    folds, seed, dataset = request.folds, request.seed, request.dataset
    each = max(1, PIXELS // len(request.cases))
    results: list[CaseResult] = []
    headlines: list[dict[str, Any]] = []
    model_card: ModelCard | None = None

    confidence, image_level = ConfidenceEvaluation(), ImageLevelEvaluation()
    model_cards = request.model_cards()
    names, kind, grids = class_names(model_cards[0]), model_cards[0].task, read_grids(dataset, request.cases)
    surfaces, volumes = SurfaceEvaluation(request.cases, names, kind, grids), VolumeEvaluation(grids, names, kind)
    quantities = QuantityEvaluation(model_cards[0], grids)
    for index, (number, cases) in enumerate(folds):
        model = as_segmentation_model(request.open_model(number))
        model_card = known = held_out_card(model_cards, index)
        model = SegmentationModel(unscaled(known), model.predictor)

        def on_prediction(case: Case, truth: np.ndarray, prediction: Prediction, model_card: ModelCard = known) -> None:
            labels = scored_labels(prediction, model_card)
            surfaces.add(case, truth, labels)
            volumes.add(case, truth, labels)
            quantities.add(case, truth, labels)
            scaled = confidence.add_image(truth, prediction, model_card)
            image_level.add(truth, scaled, model_card)
            _sample_pixels(request.data, truth, scaled, model_card, each, seed)

        fold_results = count_masks(model, dataset, cases, progress=request.progress, on_prediction=on_prediction)
        headlines.append(summarise_masks(fold_results, known, dataset, cases, seed=seed)["headline"])
        results += fold_results
    if model_card is None:
        raise ValueError("no folds to score")
    scores = image_level.add_to(summarise_masks(results, model_card, dataset, request.cases, seed=seed), model_card)
    scores = volumes.add_to(surfaces.add_to(scores, seed), seed)
    numbers = {case.name: number for number, cases in folds for case in cases}
    scores = quantities.add_to_folds(scores, numbers)
    scores = add_confidence(scores, confidence, _margins(folds, confidence))
    scores["confidence"]["bound"]["margin"] = confidence.margin(range(len(results)))  # of the ensemble
    return scores, headlines


def _margins(folds: Sequence[Fold], confidence: ConfidenceEvaluation) -> list[float | None]:
    """Return the conformal margin of each case, from the cases of the other folds."""
    numbers = [number for number, cases in folds for _ in cases]
    margins = {
        number: confidence.margin([index for index, other in enumerate(numbers) if other != number])
        for number, _ in folds
    }
    return [margins[number] for number in numbers]


def score_image_folds(request: OutOfFold) -> FoldScores:
    """Return the scores of the classes of all cases together, and the headline of each fold."""
    data, seed = request.data, request.seed
    headlines: list[dict[str, Any]] = []
    classes: tuple[str, ...] = ()
    model_cards = request.model_cards()
    confidence = ConfidenceEvaluation()
    for index, (number, cases) in enumerate(request.folds):
        model = as_classification_model(request.open_model(number))
        temperatures = common_temperatures([*model_cards[:index], *model_cards[index + 1 :]])
        model.model_card = unscaled(model.model_card)
        classes = model.model_card.classes
        truth = true_classes(classes, request.dataset, cases)
        before = predict_probabilities(model, request.dataset, cases, progress=request.progress)
        confidence.add(before, truth, temperatures)
        probabilities = scale_probabilities(before, temperatures).astype(np.float32)
        headlines.append(summarise_images(probabilities, truth, classes, cases, seed=seed)["headline"])
        first = sum(map(len, data.truth))
        data.probabilities.append(probabilities)
        data.truth.append(truth)
        data.case.append(np.arange(first, first + len(cases), dtype=np.int32))
    probabilities, truth = np.concatenate(data.probabilities), np.concatenate(data.truth)
    result = summarise_images(probabilities, truth, classes, request.cases, seed=seed)
    return result | {"confidence": confidence.to_json()}, headlines


def _sample_pixels(
    data: CalibrationData, truth: np.ndarray, prediction: Prediction, model_card: ModelCard, limit: int, seed: int
) -> None:
    """Sample labelled pixels of a case at random, and compute its expected and true Dice per class."""
    if prediction.probabilities is None:
        raise ValueError("no probabilities to sample")
    classes = class_channels(model_card.target, len(prediction.probabilities))
    probabilities = prediction.probabilities[:classes].reshape(classes, -1)
    target = encode(truth, model_card.target).ravel()
    known = np.flatnonzero(target != IGNORE)
    number = len(data.dice)
    drawn = np.random.default_rng((seed, number)).choice(known, min(limit, len(known)), replace=False)
    data.probabilities.append(probabilities[:, drawn].T)
    data.truth.append(target[drawn])
    data.case.append(np.full(len(drawn), number, np.int32))
    # probabilities that are equal after rounding may have had a different argmax before
    predicted = prediction.labels.ravel() if model_card.target.kind == "classes" else probabilities.argmax(0)
    pairs = np.array(
        [_dice_pair(probabilities[c, known], predicted[known] == c, target[known] == c) for c in range(classes)]
    )
    data.expected_dice.append(pairs[:, 0])
    data.dice.append(pairs[:, 1])


def _dice_pair(probabilities: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return the expected and the true Dice of a class; NaN if undefined."""
    size = float(predicted.sum())
    expected = float(probabilities.sum(dtype=np.float64)) + size
    actual = size + float(true.sum())
    return (
        2 * float(probabilities[predicted].sum(dtype=np.float64)) / expected if expected else float("nan"),
        2 * float((predicted & true).sum()) / actual if actual else float("nan"),
    )
