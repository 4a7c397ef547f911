"""Report the problems of a data set as one error: one line, or a list with counts and hints."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.annotations import Annotation, files_of_annotation
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.problems import KINDS, Problem
from pixelwise.errors import BadDataset, printable
from pixelwise.text import command, pluralise

MATCHING_FILES = "matching images and masks"
LISTED = 20  # problems shown in an error
MIN_USABLE = 2  # images that must remain to suggest --skip-bad: one for training, one for validation
_SKIP = "--skip-bad leaves {} out and continues with the rest."


def raise_problems(dataset: Dataset, *, but: Sequence[str] = ()) -> None:
    """Raise `BadDataset` if a data set has a fatal problem of a kind that is not in `but`."""
    fatal = [problem for problem in dataset.problems if problem.fatal and problem.kind not in but]
    if not fatal:
        return
    whole = dataset.labelling.task == "classification"
    left = [problem for problem in dataset.problems if problem.left_out]
    expected = "images in class folders" if whole else MATCHING_FILES
    raise error_of(dataset.root, fatal, expected, skippable=_skippable(dataset, fatal), left_out=left)


def error_of(
    root: Path,
    problems: Sequence[Problem],
    expected: str = MATCHING_FILES,
    *,
    skippable: bool = False,
    left_out: Sequence[Problem] = (),
) -> BadDataset:
    """Return one error for all problems.

    Parameters
    ----------
    expected : str
        Used for several problems.
    skippable : bool
        Suggest `--skip-bad`.
    left_out : sequence of Problem
        Problems whose files were already left out; their number is reported.
    """
    count = len({file for problem in left_out for file in problem.concerned})
    left_out_text = pluralise(count, "file with problems was", "files with problems were")
    after = f" after {left_out_text} left out" if count else ""
    if len(problems) == 1:
        (problem,) = problems
        where = root / problem.file if problem.file not in ("", ".") else root
        skip_hint = (
            f" {_SKIP.format('it' if len(problem.concerned) == 1 else 'them')} {_doctor(root)}" if skippable else ""
        )
        return BadDataset(problem.expected, problem.text + after, problem.hint + skip_hint, where)
    kinds = Counter(problem.kind for problem in problems)
    counts = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
    first = {problem.kind: index for index, problem in reversed(list(enumerate(problems)))}
    order = sorted(range(len(problems)), key=lambda index: index not in first.values())  # each kind is shown
    shown = [problems[index] for index in sorted(order[:LISTED])]
    lines = [f"\n  {p.file}{': ' if p.file else ''}{p.kind}, {p.text}" for p in shown]
    if len(problems) > LISTED:
        lines.append(f"\n  and {len(problems) - LISTED} more")
    hints = "".join(f"\n  {kind}: {KINDS[kind][1]}" for kind in kinds)
    skip_hint = f"\nOr: {_SKIP.format('such files')} {_doctor(root)}" if skippable else ""
    got = f"{len(problems)} problems{after} ({counts}):{''.join(lines)}"
    return BadDataset(expected, got, f"To fix:{hints}{skip_hint}", root)


def _doctor(root: Path) -> str:
    """Return a sentence on the command that corrects what can be corrected."""
    return f"`{command('doctor', printable(root), '--fix', 'OUT')}` writes a corrected copy."


def problem_hints(dataset: Dataset) -> list[str]:
    """Return a hint for each kind of fatal problem, and `--skip-bad` if training is possible without the files."""
    fatal = [problem for problem in dataset.problems if problem.fatal]
    lines = [f"{kind}: {KINDS[kind][1]}" for kind in dict.fromkeys(problem.kind for problem in fatal)]
    return [*lines, *([_SKIP.format("such files")] if fatal and _skippable(dataset, fatal) else [])]


def _skippable(dataset: Dataset, fatal: Sequence[Problem]) -> bool:
    """Return whether training is possible without the files concerned."""
    if not all(problem.skippable for problem in fatal):
        return False
    bad = {file for problem in fatal for file in problem.concerned}
    usable = sum(
        not bad.intersection(files_of(dataset.root, case.image, case.annotation, case.channel_files))
        for case in dataset.cases
    )
    return usable >= MIN_USABLE


def files_of(
    root: Path, image: Path, annotation: Annotation | None = None, channel_files: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Return the files of a case as in problems: relative to `root` if inside; the image is the first."""
    paths = dict.fromkeys((image, *channel_files, *files_of_annotation(annotation)))
    return tuple(path_below(root, path) for path in paths)


def path_below(root: Path, path: Path) -> str:
    """Return a path as in messages: relative to `root` if inside, or whole.

    >>> path_below(Path("data"), Path("data/images/1.png")), path_below(Path("data"), Path("other/1.png"))
    ('images/1.png', 'other/1.png')
    """
    text, above = str(path), f"{root}{os.sep}"
    if text.startswith(above):  # `relative_to` takes many times as long
        return printable(text[len(above) :])
    return printable(path.relative_to(root) if path.is_relative_to(root) else path)
