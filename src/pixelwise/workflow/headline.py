"""Headline of an evaluation: the main scores as sentences with 95 % intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pixelwise.datasets.records import first_class
from pixelwise.text import pluralise

Interval = tuple[float, float] | None
PLAIN_NAMES = ("object", "foreground", "1", "255", "true", "yes")  # shown as "foreground"
NOTES = {
    "val": "The weights were selected on the validation images: these scores are slightly optimistic.",
    "train": "These are the training images: the scores do not measure performance on new images.",
}
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
    "top_1": "top-1 accuracy",
    "top_5": "top-5 accuracy",
    "count_error_mean": "mean count error",
    "count_error_mean_absolute": "mean absolute count error",
    "precision_50": "precision at IoU 0.5",
    "recall_50": "recall at IoU 0.5",
    "objects_true": "objects in the ground truth",
    "objects_predicted": "objects predicted",
}


@dataclass(frozen=True)
class Claim:
    """A sentence with a measured value, such as "Finds ", "93 %", " of the objects".

    Parameters
    ----------
    before, value, after : str
        The words before the value, the formatted value, and the words after it.
    interval : str
        The formatted 95 % interval; empty if there is none.

    Examples
    --------
    >>> print(Claim("Finds ", "93 %", " of the objects", "90 to 95 %"))
    Finds 93 % of the objects (95 % interval: 90 to 95 %).
    """

    before: str
    value: str
    after: str
    interval: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.before}{self.value}{self.after}{self.aside}."

    @property
    def aside(self) -> str:
        """The interval in parentheses; empty if there is none."""
        return f" (95 % interval: {self.interval})" if self.interval else ""


@dataclass(frozen=True)
class KeyNumber:
    """A score between 0 and 1 that is shown with the claims, with its 95 % interval if there is one."""

    name: str
    value: float | None
    interval: Interval = None


@dataclass(frozen=True)
class Headline:
    """The summary of an evaluation: claims, key numbers, and notes on their interpretation."""

    claims: tuple[Claim, ...]
    numbers: tuple[KeyNumber, ...]
    notes: tuple[str, ...]


def headline(scores: dict[str, Any]) -> Headline:
    """Summarise the scores of `evaluate` in sentences.

    Parameters
    ----------
    scores : dict
        The result of `evaluate`. Scores from an earlier version may lack the counts for a claim: then there are no
        claims, and `by_name` describes the main score.
    """
    make = {"instance": _of_objects, "binary": _of_one_class, "classification": _of_images}
    claims, numbers, notes = make.get(scores["task"], _of_classes)(scores)
    split = scores["split"]
    basis = f"Measured on {pluralise(len(scores['cases']), f'{words(split)} image')} of {scores['data']}."
    few = ["Intervals need at least two images."] if len(scores["cases"]) < 2 else []
    optimistic = [NOTES[split]] if split in NOTES else []
    return Headline(tuple(claims), tuple(numbers), (basis, *notes, *few, *optimistic))


def by_name(scores: dict[str, Any]) -> Claim:
    """Return the main score of `evaluate` as a sentence with its name."""
    head = scores["headline"]
    name = words(head["name"])
    if head["value"] is None:
        return Claim(f"There is no {name}", "", ": neither ground truth nor prediction contains anything to score")
    interval = None if head["low"] is None else [head["low"], head["high"]]
    return Claim(f"The {name} is ", f"{head['value']:.2f}", "", _plain_interval(interval))


def percent(value: float) -> str:
    """Format a fraction in percent, with a decimal only near 0 and 1.

    Examples
    --------
    >>> percent(0.934), percent(0.996), percent(1.0)
    ('93 %', '99.6 %', '100 %')
    """
    return f"{_percentage(value)} %"


def _percentage(value: float) -> str:
    exact = 100 * value
    plain = exact in (0, 100) or 1 <= exact <= 99
    return f"{exact:.0f}" if plain else f"{exact:.1f}"


_Parts = tuple[list[Claim], list[KeyNumber], list[str]]


def _of_objects(scores: dict[str, Any]) -> _Parts:
    found, intervals = scores["scores"]["objects"], scores["scores"].get("intervals", {})
    keys = {"recall_50": "recall at IoU 0.5", "precision_50": "precision at IoU 0.5", "mean_ap": "mean AP", "pq": "PQ"}
    numbers = _numbers(found, intervals, keys)
    if "recall_50" not in found:
        return [], numbers, []
    claims = [
        *_share("Finds ", found["recall_50"], " of the objects", intervals.get("recall_50")),
        *_share("", found["precision_50"], " of what it finds is correct", intervals.get("precision_50")),
    ]
    notes = [
        f"They contain {pluralise(found['objects_true'], 'object')}; {found['objects_predicted']:,} were predicted.",
        "An object counts as found if it overlaps a predicted object with an IoU above 0.5.",
    ]
    return claims, numbers, notes


def _of_one_class(scores: dict[str, Any]) -> _Parts:
    row, intervals = scores["classes"][1], scores["scores"].get("intervals", {})
    name = "foreground" if row["name"].casefold() in PLAIN_NAMES else row["name"]
    keys = {"dice": "mean_dice", "recall": "recall", "precision": "precision"}
    numbers = [KeyNumber(words(key), row[key], _pair(intervals.get(name))) for key, name in keys.items()]
    numbers[0] = KeyNumber("Dice", numbers[0].value, numbers[0].interval)
    claims = [
        *_share("Finds ", row["recall"], f" of the {name} pixels", intervals.get("recall")),
        *_share("", row["precision"], " of the predicted pixels are correct", intervals.get("precision")),
    ]
    return claims, numbers, ["Dice is the harmonic mean of these two fractions (recall and precision)."]


def _of_classes(scores: dict[str, Any]) -> _Parts:
    pixels, intervals = scores["scores"]["pixels"], scores["scores"].get("intervals", {})
    keys = {"mean_iou": "mean IoU", "mean_dice": "mean Dice", "accuracy": "pixel accuracy"}
    names = [row["name"] for row in scores["classes"]]
    shown = scores["classes"][first_class(scores["task"], names) :]
    claims: list[Claim] = []
    if pixels["mean_iou"] is not None:
        classes = pluralise(pixels["classes_in_mean_iou"], "class")
        interval = _plain_interval(intervals.get("mean_iou"))
        claims.append(Claim(f"Over {classes} the mean IoU is ", f"{pixels['mean_iou']:.2f}", "", interval))
    claims += _extremes([(row["name"], row["iou"]) for row in shown], "IoU ", _two_digits)
    return claims, _numbers(pixels, intervals, keys), []


def _of_images(scores: dict[str, Any]) -> _Parts:
    images, intervals = scores["scores"]["images"], scores["scores"].get("intervals", {})
    numbers = _numbers(images, intervals, {"top_1": "top-1 accuracy", "top_5": "top-5 accuracy"})
    numbers.append(KeyNumber("mean class accuracy", images["mean_class_accuracy"]))
    claims = _share("Predicts the correct class for ", images["top_1"], " of the images", intervals.get("top_1"))
    rows = [(row["name"], row["accuracy"]) for row in scores["classes"]]
    return [*claims, *_extremes(rows, "", percent)], [number for number in numbers if number.value is not None], []


def _share(before: str, value: float | None, after: str, interval: Sequence[float] | None) -> list[Claim]:
    """Return the claim for a fraction in percent; nothing if it is undefined."""
    if value is None:
        return []
    range_ = f"{_percentage(interval[0])} to {percent(interval[1])}" if interval else ""
    return [Claim(before, percent(value), after, range_)]


def _extremes(rows: Sequence[tuple[str, float | None]], what: str, write: Any) -> list[Claim]:
    """Return a claim with the best and the worst class, if at least two have a score."""
    known = [(value, name) for name, value in rows if value is not None]
    if len(known) < 2:
        return []
    (high, best), (low, worst) = max(known), min(known)
    return [Claim("Best class: ", best, f" ({what}{write(high)}); worst: {worst} ({what}{write(low)})")]


def _numbers(found: dict[str, Any], intervals: dict[str, Any], keys: dict[str, str]) -> list[KeyNumber]:
    return [KeyNumber(name, found[key], _pair(intervals.get(key))) for key, name in keys.items() if key in found]


def _pair(interval: Sequence[float] | None) -> Interval:
    return (interval[0], interval[1]) if interval else None


def _plain_interval(interval: Sequence[float] | None) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else ""


def _two_digits(value: float) -> str:
    return f"{value:.2f}"


def words(key: str) -> str:
    """Return the display name of a score or a fact."""
    return WORDS.get(key, key.replace("_", " "))
