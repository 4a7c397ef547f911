"""Find faults in a data set, show them as pictures, and write a corrected copy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_text
from pixelwise.datasets.dataset import DataOptions
from pixelwise.datasets.observing import CaseObserver
from pixelwise.errors import BadOption, OutputFailed
from pixelwise.progress import Console, Progress
from pixelwise.workflow.annotation_errors.ranking import rank_annotation_errors
from pixelwise.workflow.diagnosis.cases import Measures
from pixelwise.workflow.diagnosis.diagnosis import Diagnosis, diagnose
from pixelwise.workflow.diagnosis.fixing import check_output, restore, write_fixed
from pixelwise.workflow.diagnosis.page import diagnosis_page
from pixelwise.workflow.evaluation.splits import merge_options
from pixelwise.workflow.run import Run

Observe = Callable[[Path, DataOptions, Progress], CaseObserver[Measures]]


def doctor(
    folder: Path | str,
    *,
    fix: Path | str | None = None,
    html: Path | str | None = None,
    run: Path | str | None = None,
    device: str = "auto",
    link: bool = True,
    options: DataOptions | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
    **data_options: Any,
) -> Diagnosis:
    """Find faults in a data set.

    Parameters
    ----------
    folder : path
        Images with masks, or a folder per class; it is never written to.
    fix : path, optional
        A new folder for a corrected copy: `train` reads it without options. Its changes.json lists every change with
        its reason. The masks of volumes are written as class numbers on the grids of their volumes.
    html : path, optional
        A page with the evidence as pictures.
    run : path, optional
        A run folder: likely annotation errors are ranked by its predictions, best of a run with folds, and data options
        that are not given are those of its training.
    device : {"auto", "cpu", "cuda", "mps"}
        For the predictions of the run.
    link : bool
        Unchanged images in the copy are hard links where the file system allows it.
    options : DataOptions, optional
        As for `train`; `skip_bad` is implied.
    progress : Progress, optional
    observe : callable, optional
        (folder, options, progress) -> who reads the files; `cluster.cases.case_job.examine_with_workers` returns one.
    **data_options
        Fields of `DataOptions`, instead of `options`.

    Returns
    -------
    Diagnosis
        With `findings` (hard ones first), `annotation_errors` (None without a run), `to_text()` and `to_json()`.

    Raises
    ------
    BadDataset
        No readable pair of image and mask, and no class folders; or the masks have other classes than the run.
    BadRun, BadModel, BadOption
        There is no run, or it has no model.
    OutputFailed
        `fix` is not new, or an output is inside the data folder or cannot be written.

    Examples
    --------
    >>> from pixelwise.datasets.synthetic import write_demo
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_demo(Path(folder) / "cells")
    ...     found = doctor(Path(folder) / "cells", progress=Progress())
    >>> found.hard
    ()
    """
    if options is not None and data_options:
        raise BadOption("options or single data options", "both", "Give one of them.")
    root, chosen = Path(folder), options or DataOptions(**data_options)
    progress = progress or Console()
    opened = Run.open(run) if run is not None else None
    if opened is not None:
        chosen = merge_options(opened.config.data, chosen)
    page, out = _outside(root, html), Path(fix) if fix is not None else None
    if out is not None:
        check_output(root, out)
    found = diagnose(root, chosen, progress, observe(root, chosen, progress) if observe is not None else None)
    if opened is not None:
        ranking = rank_annotation_errors(
            opened, found.dataset, device=device, progress=progress, pictures=page is not None
        )
        found = replace(found, annotation_errors=ranking)
    if page is not None:
        atomic_write_text(page, diagnosis_page(found, progress))
        found = replace(found, page=page)
    if out is not None:
        write_fixed(found.dataset, found.pairs, found.findings, chosen, out, link=link, progress=progress)
        found = replace(found, fixed=out)
    return found


def undo(copy: Path | str, names: tuple[str, ...] = ()) -> list[str]:
    """Put original files back into a corrected copy.

    Parameters
    ----------
    copy : path
        The folder that `doctor(fix=...)` wrote.
    names : tuple of str
        Files in it, as in its changes.json; by default all that were changed.

    Returns
    -------
    list of str
        The files that were restored.

    Raises
    ------
    OutputFailed
        The folder has no readable changes.json, or a file cannot be written.
    """
    return restore(Path(copy), names)


def _outside(root: Path, html: Path | str | None) -> Path | None:
    """Return the path of the page; raise `OutputFailed` if it is inside the data folder."""
    if html is None:
        return None
    path = Path(html)
    if path.resolve().is_relative_to(root.resolve()):
        raise OutputFailed("a path outside the data folder", "one inside it", "Choose another --html.", path)
    return path
