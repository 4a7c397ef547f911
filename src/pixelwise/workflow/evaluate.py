"""evaluate: labelled images and a run become scores."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pixelwise.commit import commit_json
from pixelwise.engine.allocator import keep_large_blocks
from pixelwise.engine.model import load_model_for_prediction
from pixelwise.engine.modelfile import Recipe
from pixelwise.errors import BadDataset, BadOption
from pixelwise.images.cases import (
    Case,
    DataOptions,
    Dataset,
    Labelling,
    examine,
    read_labels,
    read_pixels,
    refuse,
)
from pixelwise.images.records import has_background
from pixelwise.progress import Console, Progress
from pixelwise.workflow.run import Run
from pixelwise.workflow.scores import CaseResult, score_case, summarise

PARTS = ("train", "val", "test")
OBJECTS = ("background", "object")
# What makes a folder unfit for training alone; it can be scored all the same.
TRAINING_ONLY = (
    "one image only",
    "no training images",
    "class missing in training",
    "part without foreground",
    "one class only",
    "groups too large",
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
        A folder of images and masks.
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
    model = load_model_for_prediction(opened.folder, device=device)
    config = opened.config
    options = _joined(config.data, options or DataOptions())
    dataset = examine(root, options, config.training.seed, progress)
    refuse(dataset, but=TRAINING_ONLY)
    labelling = _agree(model.recipe, dataset.labelling, root)
    chosen, cases = _choose(dataset, part, opened)
    instances = labelling.task == "instance"
    names = OBJECTS if instances else model.recipe.classes
    results: list[CaseResult] = []
    warnings: dict[str, int] = {}
    for case, mask in progress.track(cases, "evaluating", len(cases)):
        truth = read_labels(mask, labelling)
        pixels = read_pixels(case.image, model.recipe.channels, options.pages).pixels
        prediction = model.predict_pixels(pixels)
        for warning in prediction.warnings:
            warnings[warning] = warnings.get(warning, 0) + 1
        labels = prediction.labels
        if not instances and model.recipe.target.kind != "classes":
            labels = (labels > 0).astype(labels.dtype)  # a mask that was learned as objects
        results.append(score_case(case.name, truth, labels, labelling.task, len(names)))
    progress.tell(*(f"{text} ({count} images)" for text, count in warnings.items()))
    scores: dict[str, Any] = {
        "part": chosen,
        "data": root.resolve().name,
        "task": labelling.task,
        **summarise(results, names, int(has_background(labelling.task, names)), config.training.seed),
    }
    for row, (case, mask) in zip(scores["cases"], cases, strict=True):
        row["files"] = [str(case.image.resolve()), str(mask.resolve())]  # the report shows some of them
    commit_json(opened.scores_path, scores)
    return scores


def _joined(trained: DataOptions, given: DataOptions) -> DataOptions:
    """Return the options of the training with what is given now put over them."""
    now = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name) != f.default}
    return replace(trained, **now)


def _agree(recipe: Recipe, labelling: Labelling, root: Path) -> Labelling:
    """Return how to read the masks in the model's classes; refuse another task or other classes.

    Masks that do not show every class of the model are understood with fewer; they are read with all of them.
    """
    if (labelling.task == "instance") != (recipe.task == "instance"):
        mend = f"Say what the masks are with --task {recipe.task}, or use another run."
        raise BadDataset(f"masks for the task {recipe.task}, as the model learned", labelling.task, mend, root)
    if labelling.task == "instance" or labelling.classes == recipe.classes:
        return labelling
    known = dict(zip(recipe.classes, recipe.values, strict=True))
    here = dict(zip(labelling.classes, labelling.values, strict=True))
    if not here.items() <= known.items():
        mend = "Name the classes of the data with --classes in the model's order, or use another run."
        expected = f"the model's classes ({', '.join(recipe.classes)})"
        raise BadDataset(expected, ", ".join(labelling.classes), mend, root)
    task = "binary" if len(recipe.classes) <= 2 else "multiclass"
    return replace(labelling, task=task, classes=recipe.classes, values=recipe.values, colours=recipe.colours)


def _choose(dataset: Dataset, part: str | None, run: Run) -> tuple[str, Sequence[tuple[Case, Path]]]:
    """Return the part to score and its cases, each with its mask.

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
    cases = [(case, case.mask) for case in parts[chosen] if case.mask is not None]
    if not cases:
        held = ", ".join(f"{name} {len(found)}" for name, found in parts.items())
        mend = "Choose another --part, or give a folder with images that were not trained on."
        raise BadDataset(f"labelled images in the part {chosen}", f"none ({held})", mend, dataset.root)
    return chosen, cases
