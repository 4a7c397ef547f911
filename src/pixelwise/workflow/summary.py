"""Scores in words: the summary that people read on the terminal."""

from typing import Any


def describe_scores(scores: dict[str, Any]) -> str:
    """Return a few lines of text for what `evaluate` returned."""
    head, found = scores["headline"], scores["scores"]
    lines = [
        f"{scores['data']}, part {scores['part']}, {len(scores['cases'])} images: "
        f"{head['name'].replace('_', ' ')} {_number(head['value'])}{_interval(head)}"
    ]
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
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or value is None


def _number(value: float | int | None) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _interval(head: dict[str, Any]) -> str:
    if head.get("low") is None:
        return ""
    return f" (95 % interval {head['low']:.4f} to {head['high']:.4f})"
