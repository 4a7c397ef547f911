"""Selection of the labelled images that a run is evaluated on, without its training images."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pixelwise.datasets.dataset import Case, DataOptions, Dataset, raise_problems, scan_dataset
from pixelwise.datasets.skip_files import describe_left_out
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.workflow.run import Run

# problems that prevent training, but not evaluation
TRAINING_ONLY = (
    "one image only",
    "no training images",
    "class missing in training",
    "split without foreground",
    "one class only",
    "groups too large",
    "one class folder only",
    "empty class folder",
)


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """The labelled cases that a model is scored on."""

    dataset: Dataset
    cases: Sequence[Case]
    seed: int
    progress: Progress


def merge_options(trained: DataOptions, given: DataOptions) -> DataOptions:
    """Return the options of the training, overridden by those given."""
    changed = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) != f.default}
    return replace(trained, **changed)


def read_evaluation_data(root: Path, options: DataOptions, seed: int, progress: Progress) -> Dataset:
    """Read a data folder for evaluation; problems that only prevent training are ignored.

    Raises
    ------
    BadDataset
        It is invalid.
    """
    dataset = scan_dataset(root, options, seed, progress)
    raise_problems(dataset, but=TRAINING_ONLY)
    progress.message(*describe_left_out(dataset.problems))
    return dataset


def labelled_by_split(dataset: Dataset, run: Run) -> dict[str, Sequence[Case]]:
    """Return the labelled cases of the "test", "val" and "train" splits.

    If the split was drawn automatically, or the run has folds, the record of the run decides which cases were trained
    on: these are never validation cases.
    """
    splits: dict[str, Sequence[Case]] = {name: dataset.splits[name] for name in ("test", "val", "train")}
    if dataset.split_made or run.folds or "fold" in run.splits:
        trained = {str(name) for name in run.splits.get("cases", {}).get("train", ())}
        rest = [case for case in dataset.cases if case.split != "test"]
        splits["val"] = [case for case in rest if case.name not in trained]
        splits["train"] = [case for case in rest if case.name in trained]
    return {name: [case for case in cases if case.labelled] for name, cases in splits.items()}


def choose_split(dataset: Dataset, part: str | None, run: Run) -> tuple[str, Sequence[Case]]:
    """Return the split to evaluate, by default test if it has cases and else validation, and its cases.

    Raises
    ------
    BadDataset
        It contains no labelled image.
    """
    splits = labelled_by_split(dataset, run)
    chosen = part or ("test" if splits["test"] else "val")
    if not splits[chosen]:
        counts = ", ".join(f"{name} {len(cases)}" for name, cases in splits.items())
        hint = "Choose another --split, or a folder with images that were not used for training."
        raise BadDataset(f"labelled images in the {chosen} split", f"none ({counts})", hint, dataset.root)
    return chosen, splits[chosen]
