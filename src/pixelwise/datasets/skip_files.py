"""Files with problems are left out (`--skip-bad`), and so are copies whose answers differ (`--conflicts`).

What a set means is read again without them: one bad mask must not decide what the values of the others stand for.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import error_of
from pixelwise.datasets.problems import CONFLICTS, STAGES, Problem
from pixelwise.datasets.records import Dataset
from pixelwise.errors import BadDataset
from pixelwise.text import pluralise

Item = TypeVar("Item")
_NAMED = 5  # files named of each kind; the rest is counted


def assemble_without_bad(
    root: Path,
    items: Sequence[Item],
    files_of: Callable[[Item], Sequence[str]],
    assemble: Callable[[Sequence[Item]], Dataset],
    problems: Sequence[Problem],
    options: DataOptions,
) -> Dataset:
    """Assemble a data set, and leave out what the options say until nothing of it remains.

    Parameters
    ----------
    root : Path
    items : sequence
        What cases are made of.
    files_of : callable
        The files of an item, relative to `root`, as problems name them.
    assemble : callable
        Makes a data set of some items, with the problems that these have.
    problems : sequence of Problem
        Those of the folder itself, among them of files that are no items.
    options : DataOptions
        `skip_bad` and `conflicts` are used.

    Returns
    -------
    Dataset
        Problems whose files were left out are marked so and not fatal; sentences name the files.

    Raises
    ------
    BadDataset
        Nothing usable is left.
    """
    standing, left = list(problems), list[Problem]()
    dataset = assemble(items)
    while due := _due(standing, dataset.problems, {file for item in items for file in files_of(item)}, options):
        gone = {file for problem in due for file in problem.concerned}
        rest = [item for item in items if not gone.intersection(files_of(item))]
        if not rest:
            raise _nothing_left(root, [*left, *due])
        left += [replace(problem, fatal=False, left_out=True) for problem in due]
        standing = [problem for problem in standing if problem not in due]
        dataset, items = dataset if len(rest) == len(items) else assemble(rest), rest
    return replace(
        dataset,
        messages=(*describe_left_out(left), *dataset.messages),
        problems=(*standing, *left, *dataset.problems),
    )


def describe_left_out(problems: Sequence[Problem]) -> list[str]:
    """Say how many files were left out, why, and which."""
    messages: list[str] = []
    for conflicts, flag in ((False, "--skip-bad"), (True, "--conflicts")):
        named: dict[str, list[str]] = defaultdict(list)
        for problem in problems:
            if problem.left_out and (problem.kind in CONFLICTS) == conflicts:
                named[problem.kind] += [file for file in problem.concerned if file not in named[problem.kind]]
        if named:
            kinds = ", ".join(f"{kind} ({_listed(files)})" for kind, files in named.items())
            count = len({file for files in named.values() for file in files})
            messages.append(f"{pluralise(count, 'file was', 'files were')} left out ({flag}): {kinds}.")
    return messages


def _due(standing: Sequence[Problem], found: Sequence[Problem], files: set[str], options: DataOptions) -> list[Problem]:
    """Return the problems of the first stage that has any whose files are to be left out now."""
    present = [*standing, *(problem for problem in found if files.intersection(problem.concerned))]
    for stage in STAGES:
        conflicts = stage is CONFLICTS
        due = [
            problem
            for problem in present
            if problem.kind in stage
            and problem.concerned
            and (bool(problem.files) if conflicts else options.skip_bad and problem.fatal)
        ]
        if due:
            return due
    return []


def _nothing_left(root: Path, problems: Sequence[Problem]) -> BadDataset:
    error = error_of(root, problems)
    expected = f"files that can be used besides those left out; {error.expected}"
    return BadDataset(expected, error.got, error.hint, error.path)


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(files[:_NAMED]) + more
