"""Evaluate: labelled images and a run become scores."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from pixelwise.commit import commit_json
from pixelwise.engine.allocator import keep_large_blocks
from pixelwise.engine.opening import open_model
from pixelwise.engine.photo_model import PhotoModel
from pixelwise.errors import BadDataset, BadOption
from pixelwise.images.cases import Case, DataOptions, Dataset, examine, refuse
from pixelwise.progress import Console, Progress
from pixelwise.workflow.evaluation.masks import score_masks
from pixelwise.workflow.evaluation.photos import score_photos
from pixelwise.workflow.run import Run

PARTS = ("train", "val", "test")
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


def evaluate(
    run: Path | str,
    data: Path | str,
    *,
    part: str | None = None,
    device: str = "auto",
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a run on labelled images, and write `scores.json` into its folder.

    Parameters
    ----------
    run : path
        A run folder that `train` made.
    data : path
        A folder of images and masks, or for whole-image classes a folder per class.
    part : {"train", "val", "test"}, optional
        By default the test part, or the validation part where there is no test part. In a folder without parts,
        "val" means the images that the run was not trained on.
    device : {"auto", "cpu", "cuda", "mps"}
    options : DataOptions, optional
        Answers to what would otherwise be guessed from the folder; those left at their defaults are as in training.
    progress : Progress, optional
        Who is told; by default sentences and bars on standard error.

    Returns
    -------
    dict
        JSON-ready: part, data, task, headline, scores, classes, confusion, cases, empty. Undefined values are None.

    Raises
    ------
    BadRun, BadModel
        There is no run, or it has no model yet.
    BadDataset
        The folder is not understood, has other classes than the model, or nothing to score in the part.
    BadOption, OutputFailed
        There is no such part or device; the scores cannot be written.
    """
    progress = progress or Console()
    keep_large_blocks()
    if part is not None and part not in PARTS:
        raise BadOption("a part: train, val or test", f"`{part}`", "Leave --part out to score test, or else val.")
    opened, root = Run.open(run), Path(data)
    model = open_model(opened.folder, device=device)
    config = opened.config
    options = _joined(config.data, options or DataOptions())
    if isinstance(model, PhotoModel) and options.task == "auto":
        options = replace(options, task="classification")  # a folder of one class alone can be scored too
    dataset = examine(root, options, config.training.seed, progress)
    refuse(dataset, but=TRAINING_ONLY)
    chosen, cases = _choose(dataset, part, opened)
    score = partial(score_photos, model) if isinstance(model, PhotoModel) else partial(score_masks, model)
    found = score(dataset, cases, pages=options.pages, seed=config.training.seed, progress=progress)
    scores: dict[str, Any] = {"part": chosen, "data": root.resolve().name, **found}
    commit_json(opened.scores_path, scores)
    return scores


def _joined(trained: DataOptions, given: DataOptions) -> DataOptions:
    """Return the options of the training with what is given now put over them."""
    now = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) != f.default}
    return replace(trained, **now)


def _choose(dataset: Dataset, part: str | None, run: Run) -> tuple[str, Sequence[Case]]:
    """Return the part to score and its cases, each with its mask or its class.

    A split that pixelwise drew belongs to the run: what the run was trained on is never scored as validation.
    """
    trained: set[str] = set()
    if dataset.split_made:
        trained = {str(name) for name in run.splits.get("parts", {}).get("train", ())}
    parts = {
        "test": dataset.part("test"),
        "val": dataset.part("val"),
        "train": dataset.part("train"),
    }
    if dataset.split_made:
        rest = [case for case in dataset.cases if case.part != "test"]
        parts["val"] = tuple(case for case in rest if case.name not in trained)
        parts["train"] = tuple(case for case in rest if case.name in trained)
    chosen = part or ("test" if parts["test"] else "val")
    cases = [case for case in parts[chosen] if case.mask is not None or case.class_index is not None]
    if not cases:
        held = ", ".join(f"{name} {len(found)}" for name, found in parts.items())
        mend = "Choose another --part, or give a folder with images that were not trained on."
        raise BadDataset(f"labelled images in the part {chosen}", f"none ({held})", mend, dataset.root)
    return chosen, cases
