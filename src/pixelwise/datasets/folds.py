"""Folds: the labelled cases of a data set dealt out, so that each is left out of training once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelwise.datasets.mask_values import name_of
from pixelwise.datasets.records import Case, Dataset
from pixelwise.datasets.splits import choose_folds
from pixelwise.errors import BadDataset, BadOption
from pixelwise.text import pluralise

LEAST, MOST = 2, 20  # folds


@dataclass(frozen=True, kw_only=True)
class Folds:
    """Names of the cases that each fold leaves out, and what is to be told of it."""

    left_out: tuple[tuple[str, ...], ...]
    messages: tuple[str, ...]


def assign_folds(dataset: Dataset, folds: int, seed: int) -> Folds:
    """Deal the labelled cases of the training and the validation part out to folds; a test part stays apart.

    Groups and copies stay together, as in the split that `assign_splits` draws.

    Raises
    ------
    BadOption
        No such number of folds.
    BadDataset
        There are fewer groups than folds.
    """
    if not LEAST <= folds <= MOST:
        raise BadOption(f"--folds from {LEAST} to {MOST}", f"{folds}", "5 is usual.")
    cases = [case for case in merge_train_val(dataset).part("train") if case.labelled]
    groups = [case.group or case.name for case in cases]
    if len(set(groups)) < folds:
        found = pluralise(len(set(groups)), "group")
        got = f"{found} in {pluralise(len(cases), 'image')}" if len(set(groups)) < len(cases) else found
        raise BadDataset(f"at least {folds} groups of images for {folds} folds", got, "Lower --folds.", dataset.root)
    chosen = choose_folds(groups, [case.shows for case in cases], folds, seed)
    left_out = tuple(
        tuple(case.name for case, fold in zip(cases, chosen, strict=True) if fold == number) for number in range(folds)
    )
    sizes = ", ".join(str(len(names)) for names in left_out)
    messages = [f"Dealt {pluralise(len(cases), 'labelled image')} out to {folds} folds of {sizes}, with seed {seed}."]
    if not dataset.split_made and dataset.part("val"):
        messages.append(f"The validation part ({pluralise(len(dataset.part('val')), 'image')}) is among them.")
    if dataset.part("test"):
        messages.append(f"The test part ({pluralise(len(dataset.part('test')), 'image')}) stays apart.")
    return Folds(left_out=left_out, messages=(*messages, *_alone(dataset, left_out)))


def merge_train_val(dataset: Dataset) -> Dataset:
    """Return the data set with its validation part among the training part."""
    cases = [replace(case, part="train") if case.part == "val" else case for case in dataset.cases]
    return _with(dataset, cases)


def fold_split(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return the data set of a fold: cases of these names validate, all others but the test part train."""
    out = frozenset(names)
    cases = [
        case if case.part == "test" else replace(case, part="val" if case.name in out else "train")
        for case in dataset.cases
    ]
    return _with(dataset, cases)


def _with(dataset: Dataset, cases: Sequence[Case]) -> Dataset:
    order = ("train", "val", "test")
    return replace(dataset, cases=tuple(sorted(cases, key=lambda case: order.index(case.part))), split_made=True)


def _alone(dataset: Dataset, left_out: Sequence[Sequence[str]]) -> list[str]:
    """Say which classes one fold alone shows: its own network never sees them."""
    labelling = dataset.labelling
    values = labelling.values or tuple(range(len(labelling.classes)))
    shows = {case.name: case.shows for case in dataset.cases}
    messages: list[str] = []
    for value, name in zip(values, labelling.classes, strict=False):
        where = [n for n, names in enumerate(left_out, 1) if any(value in shows[case] for case in names)]
        if len(where) == 1:
            words = name if not labelling.values else f"{name} ({name_of(value, labelling.coded_by_colour)})"
            messages.append(
                f"Only fold {where[0]} shows the class {words}: the network it is left out of never sees it."
            )
    return messages
