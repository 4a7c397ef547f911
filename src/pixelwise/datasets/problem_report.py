"""Problems become one error: a line for one, a list with counts for several, each with its way out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.problems import KINDS, Problem
from pixelwise.datasets.records import Dataset
from pixelwise.errors import BadDataset, printable
from pixelwise.text import pluralise

TOGETHER = "images and masks that fit together"
LISTED = 20  # problems shown in an error
LEAST_USABLE = 2  # images that must remain for --skip-bad to be a way out: one trains, one validates
_SKIP = "--skip-bad leaves {} out and goes on with the rest."


def refuse(dataset: Dataset, *, but: Sequence[str] = ()) -> None:
    """Raise `BadDataset` when a data set has a fatal problem of a kind that is not named in `but`."""
    fatal = [problem for problem in dataset.problems if problem.fatal and problem.kind not in but]
    if not fatal:
        return
    whole = dataset.labelling.task == "classification"
    left = [problem for problem in dataset.problems if problem.left_out]
    expected = "images in class folders" if whole else TOGETHER
    raise error_of(dataset.root, fatal, expected, skippable=_skippable(dataset, fatal), left_out=left)


def error_of(
    root: Path,
    problems: Sequence[Problem],
    expected: str = TOGETHER,
    *,
    skippable: bool = False,
    left_out: Sequence[Problem] = (),
) -> BadDataset:
    """Put all problems into one error.

    Parameters
    ----------
    root : Path
    problems : sequence of Problem
    expected : str
        Said where there are several problems.
    skippable : bool
        `--skip-bad` is a way out, and is named.
    left_out : sequence of Problem
        Those whose files were left out already, so that the error can say how it came to this.
    """
    gone = len({file for problem in left_out for file in problem.concerned})
    after = f" after {pluralise(gone, 'file')} with problems {'was' if gone == 1 else 'were'} left out" if gone else ""
    if len(problems) == 1:
        (problem,) = problems
        where = root / problem.file if problem.file not in ("", ".") else root
        way_out = f" {_SKIP.format('it' if len(problem.concerned) == 1 else 'them')}" if skippable else ""
        return BadDataset(problem.expected, problem.text + after, problem.hint + way_out, where)
    kinds = Counter(problem.kind for problem in problems)
    counts = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
    lines = [f"\n  {p.file}{': ' if p.file else ''}{p.kind}, {p.text}" for p in problems[:LISTED]]
    if len(problems) > LISTED:
        lines.append(f"\n  and {len(problems) - LISTED} more")
    mends = "".join(f"\n  {kind}: {KINDS[kind][1]}" for kind in kinds)
    way_out = f"\nOr: {_SKIP.format('such files')}" if skippable else ""
    got = f"{len(problems)} problems{after} ({counts}):{''.join(lines)}"
    return BadDataset(expected, got, f"To mend:{mends}{way_out}", root)


def ways_out(dataset: Dataset) -> list[str]:
    """Say what to do about each kind of fatal problem, and whether training could begin without the files concerned."""
    fatal = [problem for problem in dataset.problems if problem.fatal]
    lines = [f"{kind}: {KINDS[kind][1]}" for kind in dict.fromkeys(problem.kind for problem in fatal)]
    return [*lines, *([_SKIP.format("such files")] if fatal and _skippable(dataset, fatal) else [])]


def _skippable(dataset: Dataset, fatal: Sequence[Problem]) -> bool:
    """Say whether training could begin without the files concerned."""
    if not all(problem.skippable for problem in fatal):
        return False
    bad = {file for problem in fatal for file in problem.concerned}
    usable = sum(not bad.intersection(files_of(dataset.root, case.image, case.mask)) for case in dataset.cases)
    return usable >= LEAST_USABLE


def files_of(root: Path, image: Path, mask: Path | None = None) -> tuple[str, ...]:
    """Return the files of a case as problems name them."""
    return tuple(printable(path.relative_to(root)) for path in (image, mask) if path is not None)
