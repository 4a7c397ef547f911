"""Leave out files with problems (`--skip-bad`), and copies (`--conflicts`, `--drop-copies`).

Task and classes are determined again without them, so that a bad mask does not change the meaning of the others.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problem_report import error_of
from pixelwise.datasets.problems import CONFLICTS, COPIES, STAGES, Problem
from pixelwise.errors import BadDataset
from pixelwise.text import list_first, pluralise

Item = TypeVar("Item")


def assemble_without_bad(
    root: Path,
    items: Sequence[Item],
    files_of: Callable[[Item], Sequence[str]],
    assemble: Callable[[Sequence[Item]], Dataset],
    problems: Sequence[Problem],
    options: DataOptions,
) -> Dataset:
    """Assemble a data set, and leave out files by `options` until no such file remains.

    Parameters
    ----------
    items : sequence
        The items that become cases.
    files_of : callable
        Returns the files of an item, relative to `root`, as in problems.
    assemble : callable
        Returns a data set of the given items, with their problems.
    problems : sequence of Problem
        The problems of the folder, also of files that are not in an item.
    options : DataOptions
        `skip_bad` is used; files of copies are due if their problems name them.

    Returns
    -------
    Dataset
        Problems whose files were left out are marked and not fatal; messages list the files.

    Raises
    ------
    BadDataset
        No usable file remains.
    """
    remaining, excluded = list(problems), list[Problem]()
    dataset = assemble(items)
    while due := _next_due(remaining, dataset.problems, {file for item in items for file in files_of(item)}, options):
        files = {file for problem in due for file in problem.concerned}
        rest = [item for item in items if not files.intersection(files_of(item))]
        if not rest:
            raise _nothing_left(root, [*excluded, *due])
        excluded += [replace(problem, fatal=False, left_out=True) for problem in due]
        remaining = [problem for problem in remaining if problem not in due]
        dataset, items = dataset if len(rest) == len(items) else assemble(rest), rest
    return replace(
        dataset,
        messages=(*describe_left_out(excluded), *dataset.messages),
        problems=(*remaining, *excluded, *dataset.problems),
    )


def describe_left_out(problems: Sequence[Problem]) -> list[str]:
    """Return messages about left out files: number, kinds of problems and names."""
    messages: list[str] = []
    for flag in ("--skip-bad", "--conflicts", "--drop-copies"):
        named: dict[str, list[str]] = defaultdict(list)
        for problem in problems:
            if problem.left_out and _flag(problem) == flag:
                named[problem.kind] += [file for file in problem.concerned if file not in named[problem.kind]]
        if named:
            kinds = ", ".join(f"{kind} ({list_first(files)})" for kind, files in named.items())
            count = len({file for files in named.values() for file in files})
            messages.append(f"{pluralise(count, 'file was', 'files were')} left out ({flag}): {kinds}.")
    return messages


def _next_due(
    remaining: Sequence[Problem], problems: Sequence[Problem], files: set[str], options: DataOptions
) -> list[Problem]:
    """Return the problems of the first stage with files to leave out."""
    present = [*remaining, *(problem for problem in problems if files.intersection(problem.concerned))]
    for stage in STAGES:
        named = stage in (CONFLICTS, COPIES)
        due = [
            problem
            for problem in present
            if problem.kind in stage
            and problem.concerned
            and (bool(problem.files) if named else options.skip_bad and problem.fatal)
        ]
        if due:
            return due
    return []


def _flag(problem: Problem) -> str:
    if problem.kind in COPIES:
        return "--drop-copies"
    return "--conflicts" if problem.kind in CONFLICTS else "--skip-bad"


def _nothing_left(root: Path, problems: Sequence[Problem]) -> BadDataset:
    error = error_of(root, problems)
    expected = f"usable files besides those left out; {error.expected}"
    return BadDataset(expected, error.got, error.hint, error.path)
