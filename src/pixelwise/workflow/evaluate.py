"""Evaluate a run on labelled images."""

from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadOption
from pixelwise.inference.load import open_model
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.malloc import large_blocks
from pixelwise.workflow.evaluation.out_of_fold import OUT_OF_FOLD, evaluate_out_of_fold
from pixelwise.workflow.evaluation.splits import ScoreRequest, choose_split, merge_options, read_evaluation_data
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import check_task, task_of

PARTS = ("train", "val", "test", OUT_OF_FOLD)


@large_blocks()
def evaluate(
    run: Path | str,
    data: Path | str,
    *,
    split: str | None = None,
    device: str = "auto",
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a run on labelled images, and write `scores.json` into its folder.

    Parameters
    ----------
    run : path
        A run folder.
    data : path
        A folder of images and masks, or for classification a folder per class.
    split : {"train", "val", "test", "out_of_fold"}, optional
        The split; by default test, or val if there is no test split. In a folder without splits, "val" means the images
        that the run was not trained on. A run with folds has "out_of_fold" instead of "val": each image is scored by
        the network that was trained without it.
    device : {"auto", "cpu", "cuda", "mps"}
    options : DataOptions, optional
        Options that override what is detected in the folder; those left at their defaults are as in training.
    progress : Progress, optional
        By default messages and progress bars on standard error.

    Returns
    -------
    dict
        JSON-compatible: split, data, task, headline, scores, classes, confusion, cases, empty; warnings if the training
        did not produce a useful model. Undefined values are None.

    Raises
    ------
    BadRun, BadModel
        There is no run, its records are damaged, or it has no model yet.
    BadDataset
        The folder is unusable, has other classes than the model, or the split has nothing to score.
    BadOption, OutputFailed
        The split or device does not exist; the scores cannot be written.
    """
    progress = progress or Console()
    if split is not None and split not in PARTS:
        expected = "a split: train, val, test, or for a run with folds out_of_fold"
        raise BadOption(expected, f"`{split}`", "Omit --split to evaluate test, or else val.")
    opened, root = Run.open(run), Path(data)
    warnings = {"warnings": messages} if (messages := opened.warnings) else {}
    if split == OUT_OF_FOLD and not opened.folds:
        raise BadOption("a run with folds for out_of_fold", "one without", "Use --split val.", opened.folder)
    model = open_model(opened.folder, device=device)
    config = opened.config
    options = merge_options(config.data, options or DataOptions())
    task = task_of(model.model_card)
    dataset = read_evaluation_data(root, task.data_options(options), config.training.seed, progress)
    check_task(model.model_card, dataset)
    if split == OUT_OF_FOLD or (split is None and opened.folds and not dataset.splits["test"]):
        return evaluate_out_of_fold(opened, dataset, task.score_folds, device=device, progress=progress)
    chosen, cases = choose_split(dataset, split, opened)
    request = ScoreRequest(dataset=dataset, cases=cases, seed=config.training.seed, progress=progress)
    result = task.score(model, request)
    scores = {"split": chosen, "data": root.resolve().name, **warnings, **result}
    atomic_write_json(opened.scores_path, scores)
    return scores
