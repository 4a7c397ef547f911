"""The labelled images that a run is compared with: never those it was trained on, where the split is ours."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from pixelwise.datasets.dataset import Case, DataOptions, Dataset, examine, refuse
from pixelwise.datasets.skip_files import describe_left_out
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.workflow.run import Run

# What makes a folder unfit for training alone; it can be scored all the same.
TRAINING_ONLY = (
    "one image only",
    "no training images",
    "class missing in training",
    "part without foreground",
    "one class only",
    "groups too large",
    "one class folder only",
    "empty class folder",
)


def joined(trained: DataOptions, given: DataOptions) -> DataOptions:
    """Return the options of the training with what is given now put over them."""
    now = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) != f.default}
    return replace(trained, **now)


def understand(root: Path, options: DataOptions, seed: int, progress: Progress) -> Dataset:
    """Understand a folder that is compared with, not trained on.

    Raises
    ------
    BadDataset
        It cannot be understood.
    """
    dataset = examine(root, options, seed, progress)
    refuse(dataset, but=TRAINING_ONLY)
    progress.message(*describe_left_out(dataset.problems))
    return dataset


def divide(dataset: Dataset, run: Run) -> dict[str, Sequence[Case]]:
    """Return the labelled cases of "test", "val" and "train".

    A split that pixelwise drew belongs to the run, and so do its folds: what the run was trained on is never
    validation.
    """
    parts: dict[str, Sequence[Case]] = {name: dataset.part(name) for name in ("test", "val", "train")}
    if dataset.split_made or run.folds or "fold" in run.splits:
        trained = {str(name) for name in run.splits.get("parts", {}).get("train", ())}
        rest = [case for case in dataset.cases if case.part != "test"]
        parts["val"] = [case for case in rest if case.name not in trained]
        parts["train"] = [case for case in rest if case.name in trained]
    return {name: [case for case in cases if case.labelled] for name, cases in parts.items()}


def choose(dataset: Dataset, part: str | None, run: Run) -> tuple[str, Sequence[Case]]:
    """Return the part to compare with, by default the test part or else the validation part, and its cases.

    Raises
    ------
    BadDataset
        It holds no labelled image.
    """
    parts = divide(dataset, run)
    chosen = part or ("test" if parts["test"] else "val")
    if not parts[chosen]:
        held = ", ".join(f"{name} {len(found)}" for name, found in parts.items())
        hint = "Choose another --split, or give a folder with images that were not trained on."
        raise BadDataset(f"labelled images in the part {chosen}", f"none ({held})", hint, dataset.root)
    return chosen, parts[chosen]
