"""Assign the labelled cases of a data set to folds for cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelwise.datasets.cases import Case
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.masks.values import name_of
from pixelwise.datasets.splitting.splits import choose_folds
from pixelwise.errors import BadDataset, BadOption
from pixelwise.text import pluralise

MIN_FOLDS, MAX_FOLDS = 2, 20  # folds


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Names of the cases that each fold holds out, and messages."""

    left_out: tuple[tuple[str, ...], ...]
    messages: tuple[str, ...]


def assign_folds(dataset: Dataset, folds: int, seed: int) -> Folds:
    """Assign the labelled cases of the training and validation splits to folds; the test split is excluded.

    Groups and copies stay together, as in `assign_splits`.

    Raises
    ------
    BadOption
        The number of folds is out of range.
    BadDataset
        There are fewer groups than folds.
    """
    if not MIN_FOLDS <= folds <= MAX_FOLDS:
        raise BadOption(f"--folds from {MIN_FOLDS} to {MAX_FOLDS}", f"{folds}", "5 is usual.")
    cases = [case for case in merge_train_val(dataset).splits["train"] if case.labelled]
    groups = [case.group or case.name for case in cases]
    if len(set(groups)) < folds:
        groups_text = pluralise(len(set(groups)), "group")
        got = f"{groups_text} in {pluralise(len(cases), 'image')}" if len(set(groups)) < len(cases) else groups_text
        raise BadDataset(f"at least {folds} groups of images for {folds} folds", got, "Lower --folds.", dataset.root)
    fold_of_case = choose_folds(groups, [case.label_set for case in cases], folds, seed)
    left_out = tuple(
        tuple(case.name for case, fold in zip(cases, fold_of_case, strict=True) if fold == number)
        for number in range(folds)
    )
    sizes = ", ".join(str(len(names)) for names in left_out)
    messages = [f"Assigned {pluralise(len(cases), 'labelled image')} to {folds} folds of {sizes} with seed {seed}."]
    if not dataset.split_made and dataset.splits["val"]:
        messages.append(f"The validation split ({pluralise(len(dataset.splits['val']), 'image')}) is included.")
    if dataset.splits["test"]:
        messages.append(f"The test split ({pluralise(len(dataset.splits['test']), 'image')}) is excluded.")
    return Folds(left_out=left_out, messages=(*messages, *_single_fold_classes(dataset, left_out)))


def merge_train_val(dataset: Dataset) -> Dataset:
    """Return the data set with its validation split merged into the training split."""
    cases = [replace(case, split="train") if case.split == "val" else case for case in dataset.cases]
    return _with(dataset, cases)


def fold_split(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return the data set of a fold: the named cases are the validation split; the test split is unchanged."""
    held_out = frozenset(names)
    cases = [
        case if case.split == "test" else replace(case, split="val" if case.name in held_out else "train")
        for case in dataset.cases
    ]
    return _with(dataset, cases)


def _with(dataset: Dataset, cases: Sequence[Case]) -> Dataset:
    order = ("train", "val", "test")
    return replace(dataset, cases=tuple(sorted(cases, key=lambda case: order.index(case.split))), split_made=True)


def _single_fold_classes(dataset: Dataset, left_out: Sequence[Sequence[str]]) -> list[str]:
    """Return messages about classes in only one fold: the network trained without it never sees them."""
    labelling = dataset.labelling
    values = labelling.values or tuple(range(len(labelling.classes)))
    label_set = {case.name: case.label_set for case in dataset.cases}
    messages: list[str] = []
    for value, name in zip(values, labelling.classes, strict=False):
        fold_numbers = [n for n, names in enumerate(left_out, 1) if any(value in label_set[case] for case in names)]
        if len(fold_numbers) == 1:
            label = name if not labelling.values else f"{name} ({name_of(value, labelling.coded_by_colour)})"
            messages.append(
                f"Only fold {fold_numbers[0]} contains the class {label}: the network trained without it never sees it."
            )
    return messages
