"""The headline of an evaluation in plain words: what is found, what of it is right, each with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pixelwise.datasets.records import has_background
from pixelwise.text import pluralise

Interval = tuple[float, float] | None
PLAIN_NAMES = ("object", "foreground", "1", "255", "true", "yes")  # say no more than "foreground" does
NOTES = {
    "val": "The validation images also chose the weights, so these numbers are a little too high. A test split is not.",
    "train": "These are the training images: how the model does on new ones is not known from them.",
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
    "count_error_mean": "mean error of the count",
    "count_error_mean_absolute": "mean absolute error of the count",
    "precision_50": "precision at IoU 0.5",
    "recall_50": "recall at IoU 0.5",
    "objects_true": "objects in the truth",
    "objects_predicted": "objects predicted",
}


@dataclass(frozen=True)
class Claim:
    """One measured value inside its words, such as "Finds ", "93 %", " of the objects".

    Parameters
    ----------
    before, value, after : str
        The words before the value, the value as it is written, and the words after it.
    interval : str
        The 95 % interval as it is written; empty where there is none.

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
        """Return the claim as one sentence."""
        return f"{self.before}{self.value}{self.after}{self.aside}."

    @property
    def aside(self) -> str:
        """The interval in parentheses; empty where there is none."""
        return f" (95 % interval: {self.interval})" if self.interval else ""


@dataclass(frozen=True)
class KeyNumber:
    """A score between 0 and 1 that is shown beside the claims, with its 95 % interval where there is one."""

    name: str
    value: float | None
    interval: Interval = None


@dataclass(frozen=True)
class Headline:
    """What is said first about a run: claims, the key numbers behind them, and notes on how to read both."""

    claims: tuple[Claim, ...]
    numbers: tuple[KeyNumber, ...]
    notes: tuple[str, ...]


def headline(scores: dict[str, Any]) -> Headline:
    """Say in words what the scores of `evaluate` mean.

    Parameters
    ----------
    scores : dict
        What `evaluate` returned. Scores that an earlier version wrote may lack the counts that a claim needs: then
        there is none, and `by_name` says what there is.
    """
    make = {"instance": _of_objects, "binary": _of_one_class, "classification": _of_images}
    claims, numbers, notes = make.get(scores["task"], _of_classes)(scores)
    part = scores["part"]
    basis = f"Measured on {pluralise(len(scores['cases']), f'{words(part)} image')} of {scores['data']}."
    few = ["An interval takes two images or more."] if len(scores["cases"]) < 2 else []
    own = [NOTES[part]] if part in NOTES else []
    return Headline(tuple(claims), tuple(numbers), (basis, *notes, *few, *own))


def by_name(scores: dict[str, Any]) -> Claim:
    """Say the one number that `evaluate` quotes, by its name."""
    head = scores["headline"]
    name = words(head["name"])
    if head["value"] is None:
        return Claim(f"There is no {name}", "", ": neither truth nor prediction holds anything to score")
    interval = None if head["low"] is None else [head["low"], head["high"]]
    return Claim(f"The {name} is ", f"{head['value']:.2f}", "", _plain_interval(interval))


def percent(value: float) -> str:
    """Write a share in percent, with a decimal only near 0 and 1.

    Examples
    --------
    >>> percent(0.934), percent(0.996), percent(1.0)
    ('93 %', '99.6 %', '100 %')
    """
    return f"{_in_hundred(value)} %"


def _in_hundred(value: float) -> str:
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
        *_share("", found["precision_50"], " of what it finds is right", intervals.get("precision_50")),
    ]
    notes = [
        f"They hold {pluralise(found['objects_true'], 'object')}, and {found['objects_predicted']:,} were predicted.",
        "An object counts as found where it and its prediction overlap with an IoU above 0.5.",
    ]
    return claims, numbers, notes


def _of_one_class(scores: dict[str, Any]) -> _Parts:
    row, intervals = scores["classes"][1], scores["scores"].get("intervals", {})
    name = "foreground" if row["name"].casefold() in PLAIN_NAMES else row["name"]
    marked = {"dice": "mean_dice", "recall": "recall", "precision": "precision"}
    numbers = [KeyNumber(words(key), row[key], _pair(intervals.get(other))) for key, other in marked.items()]
    numbers[0] = KeyNumber("Dice", numbers[0].value, numbers[0].interval)
    claims = [
        *_share("Finds ", row["recall"], f" of the {name} pixels", intervals.get("recall")),
        *_share("", row["precision"], " of the pixels it marks are right", intervals.get("precision")),
    ]
    return claims, numbers, ["Dice is the harmonic mean of these two shares."]


def _of_classes(scores: dict[str, Any]) -> _Parts:
    pixels, intervals = scores["scores"]["pixels"], scores["scores"].get("intervals", {})
    keys = {"mean_iou": "mean IoU", "mean_dice": "mean Dice", "accuracy": "pixel accuracy"}
    names = [row["name"] for row in scores["classes"]]
    shown = scores["classes"][int(has_background(scores["task"], names)) :]
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
    claims = _share("Names the right class for ", images["top_1"], " of the images", intervals.get("top_1"))
    rows = [(row["name"], row["accuracy"]) for row in scores["classes"]]
    return [*claims, *_extremes(rows, "", percent)], [one for one in numbers if one.value is not None], []


def _share(before: str, value: float | None, after: str, interval: Sequence[float] | None) -> list[Claim]:
    """Return the claim of a share in percent; nothing for one that is not defined."""
    if value is None:
        return []
    between = f"{_in_hundred(interval[0])} to {percent(interval[1])}" if interval else ""
    return [Claim(before, percent(value), after, between)]


def _extremes(rows: Sequence[tuple[str, float | None]], what: str, write: Any) -> list[Claim]:
    """Name the best and the worst class, where there are two with a score."""
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
    """Write the name of a score or a fact for people."""
    return WORDS.get(key, key.replace("_", " "))
