"""Report sections on cross-validation folds and on test-time augmentation."""

from typing import Any

from pixelwise.text import pluralise
from pixelwise.workflow.headline import words
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.run import Run


def fold_table(run: Run) -> list[str]:
    """Return a table of the folds: held-out images, training steps, and out-of-fold score."""
    folds = run.folds
    if not folds:
        return []
    done = [run.fold(number) for number in range(1, len(folds) + 1) if run.fold(number).summary_path.is_file()]
    scored = run.out_of_fold_path.with_suffix(".json")
    results = {row["fold"]: row for row in run.read_json(scored.name)["folds"]} if scored.is_file() else {}
    name = words(next(iter(results.values()))["name"]) if results else "score out of fold"
    rows: list[tuple[Any, ...]] = []
    for fold in done:
        summary, number = fold.read_json("summary.json"), int(fold.folder.name)
        rows.append((number, len(folds[number - 1]), summary["steps"], results.get(number, {}).get("value")))
    text = f"{len(done)} of {pluralise(len(folds), 'fold')} trained. Each fold is a separate run in folds/."
    heads = ("fold", "held-out images", "steps", name)
    return [html.paragraphs([text]), html.table(heads, rows)] if rows else [html.paragraphs([text])]


def tta_table(run: Run) -> list[str]:
    """Return a table of the scores with test-time augmentation on the validation images, if measured."""
    if not run.summary_path.is_file():
        return []
    averages = run.read_json("summary.json").get("averages", [])
    if len(averages) < 2:
        return []
    rows: list[tuple[Any, ...]] = []
    for row in averages:
        low, high = row["interval"] or (None, None)
        rows.append((row["inputs"], row["flag"], row["score"], row["gain"], low, high, f"{row['times']:.1f}"))
    heads = ("inputs", "option of predict", "score", "gain", "95 % low", "95 % high", "relative time")
    return [html.table(heads, rows, "Test-time augmentation, on the validation images of the training")]
