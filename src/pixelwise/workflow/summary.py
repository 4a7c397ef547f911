"""Scores in words: their names, and the summary that people read on the terminal."""

from typing import Any

from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.text import pluralise
from pixelwise.workflow.headline import headline, words

ECE_GOOD = 0.02  # probabilities that are off by no more, on average, are said to hold
BOUND_SLACK = 0.05  # of the share of images that a bound is meant for: so far a set of some hundred moves by chance
# What a validation measures on the classes of the target, which for objects are not those that `evaluate` scores.
LEARNED = {
    "boundary": "mean Dice of interior and boundary",
    "distance": "mean Dice of interior and boundary",
    "components": "Dice of object pixels",
}


def validation_score(task: str, kind: str) -> str:
    """Name what the validations of a training measure; `kind` is that of the target."""
    return "accuracy" if task == "classification" else LEARNED.get(kind, "mean Dice")


def describe_scores(scores: dict[str, Any]) -> str:
    """Return a few lines of text for what `evaluate` returned; warnings about the training come first."""
    head = scores["headline"]
    lines = [
        *(f"Warning: {text}" for text in scores.get("warnings", [])),
        f"{scores['data']}, part {words(scores['part'])}, {pluralise(len(scores['cases']), 'image')}: "
        f"{words(head['name'])} {_number(head['value'])}{_interval(head)}",
        *(f"  {claim}" for claim in headline(scores).claims),
    ]
    describe = _describe_photos if scores["task"] == "classification" else _describe_masks
    more = [*describe_images(scores), *describe_confidence(scores)]
    return "\n".join([*lines, *describe(scores), *(f"  {text}" for text in more)])


def describe_confidence(scores: dict[str, Any]) -> list[str]:
    """Say in plain words whether probabilities and bounds of the Dice hold; nothing where none were looked at."""
    found = scores.get("confidence")
    if not found or found["ece_after"] is None:
        return []
    what = "photos" if scores["task"] == "classification" else "pixels"
    after, bound = found["ece_after"], found.get("bound")
    verdict = "they hold" if after <= ECE_GOOD else "they do not hold: be careful with them"
    messages = [
        f"probabilities of {what}: calibration error (ECE) {_number(found['ece_before'])} before scaling, "
        f"{_number(after)} after ({_temperatures(found)}); {verdict}"
    ]
    if bound and bound["images"]:
        level, share = 100 * bound["level"], 100 * bound["share"]
        verdict = "it holds" if bound["share"] >= bound["level"] - BOUND_SLACK else "it does not hold here"
        messages.append(
            f"lower bound of the predicted Dice, meant for {level:.0f} % of images: right for {bound['held']} of "
            f"{pluralise(bound['images'], 'image')} ({share:.1f} %); {verdict}"
        )
    elif bound:
        messages.append("lower bound of the predicted Dice: none, too few images were left out of training to say so")
    return messages


def describe_images(scores: dict[str, Any]) -> list[str]:
    """Say how images that show something are told from empty ones; nothing where there are none of either."""
    found = scores.get("images")
    if not found:
        return []
    row = found["any"]
    return [
        f"whole images: something is found in {row['false_alarms']} of {row['empty']} empty ones "
        f"({100 * row['false_alarm_rate']:.1f} % false alarms), nothing in {row['missed']} of {row['showing']} that "
        f"show something ({100 * row['miss_rate']:.1f} % missed); AUROC {_number(row['auroc'])}, "
        f"average precision {_number(row['average_precision'])}"
    ]


def _temperatures(found: dict[str, Any]) -> Temperatures:
    return Temperatures(found["temperature"], found.get("doubt_temperature"))


def _describe_photos(scores: dict[str, Any]) -> list[str]:
    width = max(5, *(len(row["name"]) for row in scores["classes"]))
    lines = [f"  {'class':<{width}}  accuracy  precision  images"]
    for row in scores["classes"]:
        numbers = f"{_number(row['accuracy']):>8}  {_number(row['precision']):>9}"
        lines.append(f"  {row['name']:<{width}}  {numbers}  {row['images']:>6}")
    images, intervals = scores["scores"]["images"], scores["scores"]["intervals"]
    shares = [f"{words(name)} {_number(images[name])}{_between(intervals[name])}" for name in intervals]
    mean = f"mean over {pluralise(images['classes_in_mean'], 'class')} {_number(images['mean_class_accuracy'])}"
    return [*lines, f"  images: {', '.join([*shares, mean])}"]


def _describe_masks(scores: dict[str, Any]) -> list[str]:
    found = scores["scores"]
    lines: list[str] = []
    width = max(5, *(len(row["name"]) for row in scores["classes"]))
    lines.append(f"  {'class':<{width}}    Dice     IoU  precision  recall")
    for row in scores["classes"]:
        numbers = f"{_number(row['dice']):>6}  {_number(row['iou']):>6}  {_number(row['precision']):>9}"
        lines.append(f"  {row['name']:<{width}}  {numbers}  {_number(row['recall']):>6}")
    pixels = found["pixels"]
    classes = pluralise(pixels["classes_in_mean_dice"], "class")
    lines.append(
        f"  pixels: mean Dice {_number(pixels['mean_dice'])} over {classes}, "
        f"mean IoU {_number(pixels['mean_iou'])} over {pixels['classes_in_mean_iou']}, "
        f"accuracy {_number(pixels['accuracy'])}"
    )
    if objects := found.get("objects"):
        lines += ["  objects", *_list({key: value for key, value in objects.items() if _is_number(value)})]
    if boundaries := found.get("boundaries"):
        lines += ["  boundaries", *_list(boundaries)]
    return lines


def _list(scores: dict[str, Any]) -> list[str]:
    """Return a line per score, the values below each other."""
    width = max(len(words(key)) for key in scores)
    return [f"    {words(key):<{width}}  {_number(value):>8}" for key, value in scores.items()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or value is None


def _number(value: float | int | None) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _interval(head: dict[str, Any]) -> str:
    return "" if head.get("low") is None else _between([head["low"], head["high"]])


def _between(interval: list[float] | None) -> str:
    return f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
