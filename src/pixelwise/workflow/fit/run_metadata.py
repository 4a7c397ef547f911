"""Metadata of a new run: fingerprint, splits, environment and detected properties of the data."""

from dataclasses import asdict
from typing import Any

from pixelwise.datasets.dataset import Dataset
from pixelwise.runtimes.machine import Machine
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.environment import describe_environment


def initial_records(
    dataset: Dataset, fingerprint: Any, machine: Machine, seed: int, measuring: float = 0.0
) -> dict[str, Any]:
    """Return the JSON records of a new run folder; `measuring` is the time for measuring the machine in seconds."""
    splits = case_names(dataset)
    groups = {case.name: case.group for case in dataset.cases if case.group}
    return {
        "fingerprint": asdict(fingerprint),
        "splits": {"cases": splits, "groups": groups, "seed": seed},
        "environment": describe_environment(machine, seed) | {"measuring_seconds": round(measuring, 2)},
        "understood": {
            "data": dataset.root.name,
            "folder": str(dataset.root.resolve()),  # default of `export` for the parity images
            "messages": list(dataset.messages),
            "problems": [asdict(problem) for problem in dataset.problems],
            "cases": {split: len(names) for split, names in splits.items()},
            "task": dataset.labelling.task,
            "classes": list(dataset.labelling.classes),
            "channels": dataset.channels,
            "ignore_index": dataset.labelling.ignore_value,
            "coded_by_colour": dataset.labelling.coded_by_colour,
        },
    }


def subset_records(understood: dict[str, Any], splits: dict[str, Any], dataset: Dataset) -> dict[str, Any]:
    """Return the records "understood" and "splits" of a training on some cases of the run that has these."""
    cases = case_names(dataset)
    counts = {split: len(names) for split, names in cases.items()}
    return {"understood": understood | {"cases": counts}, "splits": splits | {"cases": cases}}


def case_names(dataset: Dataset) -> dict[str, list[str]]:
    """Return the names of the cases of each split."""
    return {split: [case.name for case in dataset.splits[split]] for split in ("train", "val", "test")}


def with_own_seed(config: Config, number: int, whole: str) -> Config:
    """Return the config of the training with this number (from 1) of several that are planned as one `whole`."""
    seed = config.training.seed + number - 1
    reason = f"The seed of the {whole} is {config.training.seed}; each training has its own."
    return with_settings(config, {"training.seed": seed}, {"training.seed": reason})
