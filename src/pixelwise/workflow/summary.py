"""Scores in words: the summary that people read on the terminal."""

from typing import Any


def describe_scores(scores: dict[str, Any]) -> str:
    """Return a few lines of text for what `evaluate` returned."""
    head = scores["headline"]
    lines = [
        f"{scores['data']}, part {scores['part']}, {len(scores['cases'])} images: "
        f"{head['name'].replace('_', ' ')} {_number(head['value'])}{_interval(head)}"
    ]
    describe = _describe_photos if scores["task"] == "classification" else _describe_masks
    return "\n".join([*lines, *describe(scores)])


def _describe_photos(scores: dict[str, Any]) -> list[str]:
    width = max(5, *(len(row["name"]) for row in scores["classes"]))
    lines = [f"  {'class':<{width}}  accuracy  precision  images"]
    for row in scores["classes"]:
        numbers = f"{_number(row['accuracy']):>8}  {_number(row['precision']):>9}"
        lines.append(f"  {row['name']:<{width}}  {numbers}  {row['images']:>6}")
    images, intervals = scores["scores"]["images"], scores["scores"]["intervals"]
    five = f"top 5 {_number(images['top_5'])}{_between(intervals.get('top_5'))}, " if "top_5" in intervals else ""
    mean = f"mean over {images['classes_in_mean']} classes {_number(images['mean_class_accuracy'])}"
    return [*lines, f"  images: top 1 {_number(images['top_1'])}{_between(intervals['top_1'])}, {five}{mean}"]


def _describe_masks(scores: dict[str, Any]) -> list[str]:
    found = scores["scores"]
    lines: list[str] = []
    width = max(5, *(len(row["name"]) for row in scores["classes"]))
    lines.append(f"  {'class':<{width}}    Dice     IoU  precision  recall")
    for row in scores["classes"]:
        numbers = f"{_number(row['dice']):>6}  {_number(row['iou']):>6}  {_number(row['precision']):>9}"
        lines.append(f"  {row['name']:<{width}}  {numbers}  {_number(row['recall']):>6}")
    pixels = found["pixels"]
    lines.append(
        f"  pixels: mean Dice {_number(pixels['mean_dice'])} over {pixels['classes_in_mean_dice']} classes, "
        f"mean IoU {_number(pixels['mean_iou'])} over {pixels['classes_in_mean_iou']}, "
        f"accuracy {_number(pixels['accuracy'])}"
    )
    if objects := found.get("objects"):
        lines.append("  objects: " + ", ".join(f"{k} {_number(v)}" for k, v in objects.items() if _is_number(v)))
    if boundaries := found.get("boundaries"):
        lines.append("  boundaries: " + ", ".join(f"{k} {_number(v)}" for k, v in boundaries.items()))
    return lines


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
