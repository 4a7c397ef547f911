"""Out of fold: every labelled image is scored by the network that did not see it, and all are scored together."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json
from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.errors import BadDataset
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.inference.load import open_model
from pixelwise.inference.segmentation_model import Model, Prediction
from pixelwise.labels.targets import IGNORE, TargetOptions, class_channels, encode
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.metrics.calibration import tempered
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.confidence import ConfidenceEvaluation, judge_confidence, unscaled
from pixelwise.workflow.evaluation.image_level import ImageLevel
from pixelwise.workflow.evaluation.mask_scores import CaseResult
from pixelwise.workflow.evaluation.masks import count_masks, join_masks
from pixelwise.workflow.evaluation.photos import join_photos, look_at_photos, true_classes
from pixelwise.workflow.run import Run

PART = "out_of_fold"
# what may be chosen after training
THRESHOLDS = ("seed_threshold", "foreground_threshold", "min_area", "split_threshold", "split_depth")
PIXELS = 200_000  # of all images together that are kept with their probabilities
Fold = tuple[int, list[Case]]


@dataclass
class CalibrationData:
    """What is kept beside the scores, for calibration; a row per pixel (or photo), and one per case.

    `probabilities` are those of the classes of the target, calibrated with the middle temperatures of the other folds
    (logits follow from them: `metrics.calibration.logits_of`), `truth` is the true one, `case` the number of the case.
    `expected_dice` is the Dice that the probabilities promise, sum 2 p [said] / sum (p + [said]), and `dice` the one
    that came of it; NaN where a class is in neither.
    """

    probabilities: list[np.ndarray] = field(default_factory=list[np.ndarray])
    truth: list[np.ndarray] = field(default_factory=list[np.ndarray])
    case: list[np.ndarray] = field(default_factory=list[np.ndarray])
    expected_dice: list[np.ndarray] = field(default_factory=list[np.ndarray])
    dice: list[np.ndarray] = field(default_factory=list[np.ndarray])

    def to_bytes(self, names: Sequence[str], folds: Sequence[int]) -> bytes:
        """Return the contents of an .npz file: plain arrays, readable with numpy alone."""
        arrays: dict[str, np.ndarray] = {"names": np.array(names), "folds": np.array(folds, np.int32)}
        for name in ("probabilities", "truth", "case"):
            arrays[name] = np.concatenate(getattr(self, name))
        if self.dice:
            arrays |= {"expected_dice": np.stack(self.expected_dice), "dice": np.stack(self.dice)}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()


def evaluate_out_of_fold(
    run: Run, dataset: Dataset, *, device: str, pages: int | None, progress: Progress
) -> dict[str, Any]:
    """Score a run with folds on its own images; write scores.json, out_of_fold.json (the same) and `CalibrationData`.

    Returns
    -------
    dict
        As `evaluate` does, with the part "out_of_fold", the `fold` of each case, and the headline of each fold.

    Raises
    ------
    BadDataset
        Images that the run was trained on are missing.
    BadModel
        A fold has no model.
    OutputFailed
        The files cannot be written.
    """
    folds = _cases_of(run, dataset)
    seed = run.config.training.seed
    kept = CalibrationData()
    judge = _judge_photos if dataset.labelling.task == "classification" else _judge_masks
    found, heads = judge(run, dataset, folds, kept, seed, device, pages, progress)
    numbers = [number for number, cases in folds for _ in cases]
    for row, number in zip(found["cases"], numbers, strict=True):
        row["fold"] = number
    each = [{"fold": number, "images": len(cases), **head} for (number, cases), head in zip(folds, heads, strict=True)]
    scores: dict[str, Any] = {"part": PART, "data": dataset.root.resolve().name, "folds": each, **found}
    scores |= {"warnings": messages} if (messages := run.warnings) else {}
    atomic_write_bytes(run.out_of_fold_path, kept.to_bytes([row["name"] for row in found["cases"]], numbers))
    atomic_write_json(run.out_of_fold_path.with_suffix(".json"), scores)
    atomic_write_json(run.scores_path, scores)
    return scores


def common_target(targets: Sequence[TargetOptions]) -> TargetOptions:
    """Return targets that differ in their thresholds as one: of each threshold the middle value, the lower of two."""
    values: dict[str, Any] = {name: median_low(getattr(target, name) for target in targets) for name in THRESHOLDS}
    classes = max(len(target.class_areas) for target in targets)
    areas = [(*target.class_areas, *[0] * (classes - len(target.class_areas))) for target in targets]
    return replace(targets[0], **values, class_areas=tuple(map(median_low, zip(*areas, strict=True))))


def common_temperatures(presets: Sequence[ModelCard]) -> Temperatures:
    """Return the temperatures of several models as those of one: of each the middle value, the lower of two."""
    each = [model_card.temperatures for model_card in presets]
    doubts = [one.sure if one.doubt is None else one.doubt for one in each]
    two = any(one.doubt is not None for one in each)
    return Temperatures(median_low(one.sure for one in each), median_low(doubts) if two else None)


def _with(model_card: ModelCard, temperatures: Temperatures) -> ModelCard:
    return replace(model_card, temperature=temperatures.sure, doubt_temperature=temperatures.doubt)


def _cases_of(run: Run, dataset: Dataset) -> list[Fold]:
    """Return the cases that each fold left out, in the order of the folds."""
    known = {case.name: case for case in dataset.cases if case.labelled}
    missing = [name for names in run.folds for name in names if name not in known]
    if missing:
        actual = f"{pluralise(len(missing), 'image')} less, such as {missing[0]}"
        hint = "Restore the data, or score a test part with --split test."
        raise BadDataset("the labelled images that the folds were made of", actual, hint, dataset.root)
    return [(number, [known[name] for name in names]) for number, names in enumerate(run.folds, 1)]


def _judge_masks(
    run: Run,
    dataset: Dataset,
    folds: Sequence[Fold],
    kept: CalibrationData,
    seed: int,
    device: str,
    pages: int | None,
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the scores of all cases together, and the headline of each fold."""
    each = max(1, PIXELS // sum(len(cases) for _, cases in folds))
    results: list[CaseResult] = []
    heads: list[dict[str, Any]] = []
    model_card: ModelCard | None = None

    observed, whole = ConfidenceEvaluation(), ImageLevel()
    presets = [read_model_card(run.fold(number).model_path) for number, _ in folds]
    for place, (number, cases) in enumerate(folds):
        model = open_model(run.fold(number).folder, device=device)
        if not isinstance(model, Model):
            raise TypeError("masks are predicted by a model of masks")
        # a fold may have chosen thresholds, and its temperature, on the very images it is scored on here: those of the
        # others are used
        others = [*presets[:place], *presets[place + 1 :]]
        target = common_target([other.target for other in others])
        model_card = known = _with(replace(model.model_card, target=target), common_temperatures(others))
        model = Model(unscaled(known), model.predictor)

        def look(case: Case, truth: np.ndarray, prediction: Prediction, model_card: ModelCard = known) -> None:
            scaled = observed.look(truth, prediction, model_card)
            whole.look(truth, scaled, model_card)
            _keep(kept, truth, scaled, model_card, each, seed)

        some = count_masks(model, dataset, cases, pages=pages, progress=progress, look=look)
        heads.append(join_masks(some, known, dataset, cases, seed=seed)["headline"])
        results += some
    if model_card is None:
        raise ValueError("no folds to score")
    together = [case for _, cases in folds for case in cases]
    scores = whole.judge(join_masks(results, model_card, dataset, together, seed=seed), model_card)
    scores = judge_confidence(scores, observed, _margins(folds, observed))
    scores["confidence"]["bound"]["margin"] = observed.margin(range(len(results)))  # that of the ensemble
    return scores, heads


def _margins(folds: Sequence[Fold], observed: ConfidenceEvaluation) -> list[float | None]:
    """Return the margin of each case, by the cases of the other folds."""
    numbers = [number for number, cases in folds for _ in cases]
    margins = {
        number: observed.margin([place for place, other in enumerate(numbers) if other != number])
        for number, _ in folds
    }
    return [margins[number] for number in numbers]


def _judge_photos(
    run: Run,
    dataset: Dataset,
    folds: Sequence[Fold],
    kept: CalibrationData,
    seed: int,
    device: str,
    pages: int | None,
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    heads: list[dict[str, Any]] = []
    classes: tuple[str, ...] = ()
    presets = [read_model_card(run.fold(number).model_path) for number, _ in folds]
    observed = ConfidenceEvaluation()
    for place, (number, cases) in enumerate(folds):
        model = open_model(run.fold(number).folder, device=device)
        if not isinstance(model, ClassificationModel):
            raise TypeError("classes are told by a model of photos")
        temperatures = common_temperatures([*presets[:place], *presets[place + 1 :]])
        model.model_card = unscaled(model.model_card)
        classes = model.model_card.classes
        truth = true_classes(classes, dataset, cases)
        before = look_at_photos(model, cases, pages=pages, progress=progress)
        observed.add(before, truth, temperatures)
        probabilities = tempered(before, temperatures).astype(np.float32)
        heads.append(join_photos(probabilities, truth, classes, cases, seed=seed)["headline"])
        first = sum(map(len, kept.truth))
        kept.probabilities.append(probabilities)
        kept.truth.append(truth)
        kept.case.append(np.arange(first, first + len(cases), dtype=np.int32))
    together = [case for _, cases in folds for case in cases]
    found = join_photos(np.concatenate(kept.probabilities), np.concatenate(kept.truth), classes, together, seed=seed)
    return found | {"confidence": observed.to_json()}, heads


def _keep(
    kept: CalibrationData, truth: np.ndarray, prediction: Prediction, model_card: ModelCard, most: int, seed: int
) -> None:
    """Keep some pixels of a case, drawn at random among those whose truth is known, and its two Dice per class."""
    if prediction.probabilities is None:
        raise ValueError("no probabilities to keep")
    classes = class_channels(model_card.target, len(prediction.probabilities))
    probabilities = prediction.probabilities[:classes].reshape(classes, -1)
    wanted = encode(truth, model_card.target).ravel()
    known = np.flatnonzero(wanted != IGNORE)
    number = len(kept.dice)
    drawn = np.random.default_rng((seed, number)).choice(known, min(most, len(known)), replace=False)
    kept.probabilities.append(probabilities[:, drawn].T)
    kept.truth.append(wanted[drawn])
    kept.case.append(np.full(len(drawn), number, np.int32))
    # halves that are equal may have been told apart before they were rounded
    said = prediction.labels.ravel() if model_card.target.kind == "classes" else probabilities.argmax(0)
    pairs = np.array([_two_dice(probabilities[c, known], said[known] == c, wanted[known] == c) for c in range(classes)])
    kept.expected_dice.append(pairs[:, 0])
    kept.dice.append(pairs[:, 1])


def _two_dice(chance: np.ndarray, said: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return the Dice of a class that its probabilities promise, and the one that came; NaN where it is not there."""
    size = float(said.sum())
    expected = float(chance.sum(dtype=np.float64)) + size
    actual = size + float(true.sum())
    return (
        2 * float(chance[said].sum(dtype=np.float64)) / expected if expected else float("nan"),
        2 * float((said & true).sum()) / actual if actual else float("nan"),
    )
