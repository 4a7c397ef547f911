"""Text summary of scores for the terminal."""

from collections.abc import Callable, Sequence
from typing import Any

from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.text import pluralise
from pixelwise.workflow.headline import headline, words

ECE_GOOD = 0.02  # probabilities with a smaller calibration error count as calibrated
BOUND_SLACK = 0.05  # tolerated shortfall of the coverage of a bound: random variation with some hundred images
# The validation score by kind of target: for objects it differs from the score of `evaluate`.
VALIDATION_SCORES = {
    "boundary": "mean Dice of interior and boundary",
    "distance": "mean Dice of interior and boundary",
    "components": "Dice of object pixels",
}


def validation_dice(kind: str) -> str:
    """Return the name of the validation score of a segmentation; `kind` is that of the target."""
    return VALIDATION_SCORES.get(kind, "mean Dice")


def describe_mask_scores(scores: dict[str, Any]) -> str:
    """Return the scores of a segmentation as text; warnings about the training come first."""
    return _describe(scores, _list_mask_scores(scores), "pixels")


def describe_image_scores(scores: dict[str, Any]) -> str:
    """Return the scores of a classification as text; warnings about the training come first."""
    return _describe(scores, _list_image_scores(scores), "images")


def _describe(scores: dict[str, Any], table: Sequence[str], unit: str) -> str:
    head = scores["headline"]
    lines = [
        *(f"Warning: {text}" for text in scores.get("warnings", [])),
        f"{scores['data']}, {words(scores['split'])} split, {pluralise(len(scores['cases']), 'image')}: "
        f"{words(head['name'])} {_number(head['value'])}{_interval(head)}",
        *(f"  {claim}" for claim in headline(scores).claims),
    ]
    more = [*describe_images(scores), *describe_confidence(scores, unit)]
    return "\n".join([*lines, *table, *(f"  {text}" for text in more)])


def describe_confidence(scores: dict[str, Any], unit: str) -> list[str]:
    """Describe the calibration of the probabilities of each `unit`, and Dice bounds; empty if not evaluated."""
    record = scores.get("confidence")
    if not record or record["ece_after"] is None:
        return []
    after, bound = record["ece_after"], record.get("bound")
    verdict = "well calibrated" if after <= ECE_GOOD else "not calibrated: interpret with care"
    messages = [
        f"probabilities of {unit}: calibration error (ECE) {_number(record['ece_before'])} before temperature scaling, "
        f"{_number(after)} after ({_temperatures(record)}); {verdict}"
    ]
    if bound and bound["images"]:
        level, share = 100 * bound["level"], 100 * bound["share"]
        verdict = "valid" if bound["share"] >= bound["level"] - BOUND_SLACK else "not valid here"
        messages.append(
            f"lower bound of the expected Dice for {level:.0f} % of images: holds for {bound['held']} of "
            f"{pluralise(bound['images'], 'image')} ({share:.1f} %); {verdict}"
        )
    elif bound:
        messages.append("lower bound of the expected Dice: none, because too few images were held out of training")
    return messages


def describe_images(scores: dict[str, Any]) -> list[str]:
    """Describe the detection of empty images; empty unless there are images with and without foreground."""
    record = scores.get("images")
    if not record:
        return []
    row = record["any"]
    return [
        f"whole images: false alarms in {row['false_alarms']} of {row['empty']} empty images "
        f"({100 * row['false_alarm_rate']:.1f} %), nothing found in {row['missed']} of {row['positive']} others "
        f"({100 * row['miss_rate']:.1f} % missed); AUROC {_number(row['auroc'])}, "
        f"average precision {_number(row['average_precision'])}"
    ]


def _temperatures(record: dict[str, Any]) -> Temperatures:
    return Temperatures(record["temperature"], record.get("doubt_temperature"))


def _list_image_scores(scores: dict[str, Any]) -> list[str]:
    width = max(5, *(len(row["name"]) for row in scores["classes"]))
    lines = [f"  {'class':<{width}}  accuracy  precision  images"]
    for row in scores["classes"]:
        numbers = f"{_number(row['accuracy']):>8}  {_number(row['precision']):>9}"
        lines.append(f"  {row['name']:<{width}}  {numbers}  {row['images']:>6}")
    images, intervals = scores["scores"]["images"], scores["scores"]["intervals"]
    accuracies = [f"{words(name)} {_number(images[name])}{_format_interval(intervals[name])}" for name in intervals]
    mean = f"mean over {pluralise(images['classes_in_mean'], 'class')} {_number(images['mean_class_accuracy'])}"
    return [*lines, f"  images: {', '.join([*accuracies, mean])}"]


def _list_mask_scores(scores: dict[str, Any]) -> list[str]:
    values = scores["scores"]
    lines: list[str] = []
    width = max(5, *(len(row["name"]) for row in scores["classes"]))
    lines.append(f"  {'class':<{width}}    Dice     IoU  precision  recall")
    for row in scores["classes"]:
        numbers = f"{_number(row['dice']):>6}  {_number(row['iou']):>6}  {_number(row['precision']):>9}"
        lines.append(f"  {row['name']:<{width}}  {numbers}  {_number(row['recall']):>6}")
    lines += _list_regions(values.get("regions"))
    pixels = values["pixels"]
    classes = pluralise(pixels["classes_in_mean_dice"], "class")
    lines.append(
        f"  pixels: mean Dice {_number(pixels['mean_dice'])} over {classes}, "
        f"mean IoU {_number(pixels['mean_iou'])} over {pixels['classes_in_mean_iou']}, "
        f"accuracy {_number(pixels['accuracy'])}"
    )
    if objects := values.get("objects"):
        lines += ["  objects", *_list({key: value for key, value in objects.items() if _is_number(value)})]
    if boundaries := values.get("boundaries"):
        lines += ["  boundaries", *_list(boundaries)]
    lines += [*_list_surfaces(values.get("surfaces")), *_list_volumes(values.get("volumes"))]
    return [*lines, *list_quantities(scores.get("quantities"))]


def _list_regions(regions: dict[str, Any] | None) -> list[str]:
    """Return a line per region with its scores; none for records without them."""
    if not regions:
        return []
    return _list_rows(
        f"regions (mean Dice {_number(regions['mean_dice'])})",
        regions["classes"],
        lambda row: (
            f"Dice {_number(row['dice'])}{_format_interval(row['dice_interval'])}, IoU {_number(row['iou'])}, "
            f"precision {_number(row['precision'])}, recall {_number(row['recall'])}"
        ),
    )


def _list_surfaces(surfaces: dict[str, Any] | None) -> list[str]:
    """Return a line per class with its surface scores; none for records without them."""
    if not surfaces or not any(row["images"] for row in surfaces["classes"]):
        return []
    return _list_rows(
        f"surfaces, in {surfaces['unit']}s, tolerance {surfaces['tolerance']:g} (means over images)",
        surfaces["classes"],
        lambda row: (
            f"HD95 {_number(row['hd95'])}{_format_interval(row['hd95_interval'])}, "
            f"average distance {_number(row['average_distance'])}, surface Dice {_number(row['surface_dice'])}"
            f"{_format_interval(row['surface_dice_interval'])}"
        ),
    )


def _list_volumes(volumes: dict[str, Any] | None) -> list[str]:
    """Return a line per class with its true and predicted volume; none for records without them."""
    if not volumes:
        return []
    return _list_rows(
        f"volumes, in {volumes['unit']} (means over cases)",
        volumes["classes"],
        lambda row: (
            f"true {_number(row['true'])}, predicted {_number(row['predicted'])}, "
            f"difference {row['difference']:+.4f}{_format_interval(row['difference_interval'])}, "
            f"mean error {_number(row['error'])}"
        ),
    )


def _list_rows(title: str, rows: Sequence[dict[str, Any]], describe: Callable[[dict[str, Any]], str]) -> list[str]:
    """Return a title, and a line per row with its name and description."""
    width = max(len(row["name"]) for row in rows)
    return [f"  {title}", *(f"    {row['name']:<{width}}  {describe(row)}" for row in rows)]


def list_quantities(quantities: dict[str, Any] | None) -> list[str]:
    """Return a line per class and kind with its total, and how often intervals cover the truth; none without counts."""
    if not quantities:
        return []
    lines = [f"  counts and sizes ({pluralise(quantities['images'], 'image')} labelled as a whole)"]
    for row in quantities["classes"]:
        for kind, unit in (("objects", "objects"), ("size", quantities["unit"])):
            lines.append(f"    {row['name']}: {_describe_quantity(row[kind], unit)}")
    return lines


def _describe_quantity(row: dict[str, Any], unit: str) -> str:
    total = f"{row['predicted']:,.0f} {unit}"
    if row.get("low") is not None:
        total += f" ({row['low']:,.0f} to {row['high']:,.0f})"
    total += f", true {row['true']:,.0f}; mean error per image {row['error']:,.1f}"
    if not row["intervals"]:
        return f"{total}; no intervals: too few validation images"
    level, share = 100 * row["level"], 100 * row["share"]
    verdict = "valid" if row["share"] >= row["level"] - BOUND_SLACK else "not valid here"
    covered = f"cover {row['held']} of {pluralise(row['intervals'], 'image')} ({share:.1f} %)"
    return f"{total}; {level:.0f} % intervals {covered}; {verdict}"


def _list(scores: dict[str, Any]) -> list[str]:
    """Return one line per score with aligned values."""
    width = max(len(words(key)) for key in scores)
    return [f"    {words(key):<{width}}  {_number(value):>8}" for key, value in scores.items()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or value is None


def _number(value: float | int | None) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _interval(head: dict[str, Any]) -> str:
    return "" if head.get("low") is None else _format_interval([head["low"], head["high"]])


def _format_interval(interval: list[float] | None) -> str:
    return f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
