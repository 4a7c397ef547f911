"""Which model predicts which labelled images: if possible one that was not trained on them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.inference.load import AnyModel, open_model
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.model_file.model_file import read_model_card
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.out_of_fold import held_out_card
from pixelwise.workflow.evaluation.splits import labelled_by_split
from pixelwise.workflow.run import Run


@dataclass(frozen=True, kw_only=True)
class CaseGroup:
    """Cases that one model predicts.

    Attributes
    ----------
    open_model : callable
        Loads the model.
    seen : bool
        The model was trained on them.
    """

    open_model: Callable[[], AnyModel]
    cases: Sequence[Case]
    seen: bool


def group_cases(run: Run, dataset: Dataset, device: str) -> list[CaseGroup]:
    """Assign the labelled cases to models; those of the test split are left out.

    With folds each case is predicted by the model of the fold that held it out, with the thresholds and temperatures of
    the other folds, and cases added after the training by the ensemble. Without folds the model of the run predicts the
    validation cases and, as seen ones, the training cases. Empty groups are omitted.
    """

    def open_run() -> AnyModel:
        return open_model(run.folder, device=device)

    if run.folds:
        groups = list(_fold_groups(run, dataset, device))
        held_out = {name for names in run.folds for name in names}
        added = [case for case in dataset.cases if case.labelled and case.split != "test"]
        added = [case for case in added if case.name not in held_out]
        groups.append(CaseGroup(open_model=open_run, cases=added, seen=False))
    else:
        splits = labelled_by_split(dataset, run)
        groups = [
            CaseGroup(open_model=open_run, cases=splits["val"], seen=False),
            CaseGroup(open_model=open_run, cases=splits["train"], seen=True),
        ]
    return [group for group in groups if group.cases]


def _fold_groups(run: Run, dataset: Dataset, device: str) -> Iterator[CaseGroup]:
    known = {case.name: case for case in dataset.cases if case.labelled}
    folders = [run.fold(number).folder for number in range(1, len(run.folds) + 1)]
    model_cards = [read_model_card(run.fold(number).model_path) for number in range(1, len(run.folds) + 1)]

    for index, names in enumerate(run.folds):

        def open_fold(index: int = index) -> AnyModel:
            model, card = open_model(folders[index], device=device), held_out_card(model_cards, index)
            if isinstance(model, SegmentationModel):
                return SegmentationModel(card, model.predictor)
            model.model_card = card
            return model

        yield CaseGroup(open_model=open_fold, cases=[known[name] for name in names if name in known], seen=False)


def describe_groups(run: Run, dataset: Dataset, groups: Sequence[CaseGroup]) -> list[str]:
    """Return messages about how trustworthy the predictions are, and about what is left out."""
    seen, unseen = (sum(len(group.cases) for group in groups if group.seen is wanted) for wanted in (True, False))
    messages = [f"Predicted by a model that was not trained on them: {pluralise(unseen, 'image')}."]
    if seen:
        messages.append(
            f"The model was trained on {pluralise(seen, 'image')}, and may have learned their errors: train with "
            "--folds, so that each image is predicted by a model that was not trained on it."
        )
    test = sum(case.labelled for case in dataset.splits["test"])
    if test:
        messages.append(
            f"The test split ({pluralise(test, 'image')}) is left out: corrected where a model disagrees, it would "
            "favour that model."
        )
    names = {case.name for case in dataset.cases}
    missing = [name for fold in run.folds for name in fold if name not in names]
    if missing:
        messages.append(f"Not in the data folder: {pluralise(len(missing), 'image')} of the run, such as {missing[0]}.")
    return [*messages, *run.warnings]
