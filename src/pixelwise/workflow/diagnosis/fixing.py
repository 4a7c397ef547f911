"""Write a corrected copy of a data set, with a log from which every change can be undone.

The copy has the usual layout: images/ and masks/ (below train/, val/ and test/ if the splits are given), or one folder
per class. Unchanged images are hard links where the file system allows it, and take no space; masks are copies. The
labels of a data set in a format become mask files, as do those of volumes, which lie on the grids of their volumes.
"""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.cases import Case
from pixelwise.datasets.checks.finding import Finding, Step
from pixelwise.datasets.checks.steps import apply_steps
from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.masks.class_table import TABLES
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.writers.image_files import link_or_copy
from pixelwise.errors import OutputFailed
from pixelwise.io.read import read_mask, write_image, write_labels
from pixelwise.io.volumes.names import stem_of, suffix_of
from pixelwise.progress import Progress
from pixelwise.text import __version__, pluralise
from pixelwise.workflow.diagnosis.cases import labels_file, mask_path, pair_case, relative, values_of_files
from pixelwise.workflow.diagnosis.label_files import LabelFiles

LOG = "changes.json"
_PIXEL_ACTIONS = ("shift", "symmetry", "resize", "replace values")


def check_output(root: Path, out: Path) -> None:
    """Raise `OutputFailed` unless `out` is a new folder, neither inside nor around the data."""
    here, data = out.resolve(), root.resolve()
    if here.is_relative_to(data) or data.is_relative_to(here):
        raise OutputFailed("a folder outside the data folder", "one inside or around it", "Choose another --fix.", out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputFailed("a new folder", "one that exists", "Choose another --fix.", out)


def write_fixed(
    dataset: Dataset,
    pairs: Sequence[Pair],
    findings: Sequence[Finding],
    options: DataOptions,
    out: Path,
    *,
    link: bool,
    progress: Progress,
) -> int:
    """Write a corrected copy and its log; return the number of changes.

    Parameters
    ----------
    dataset : Dataset
        Read with `skip_bad`.
    pairs : sequence of Pair
        All pairs of the folder: the mask of a left out pair may be usable after a change.
    findings : sequence of Finding
        Those that are `fixable` are fixed; files without a finding are kept as they are.
    options : DataOptions
        What the user decided about masks is written to dataset.json.
    out : Path
        A new folder; see `check_output`.
    link : bool
        Link unchanged images instead of copying them.

    Raises
    ------
    OutputFailed
        A file cannot be written.
    """
    check_output(dataset.root, out)
    root, steps, reasons, dropped = dataset.root, _steps(findings), _reasons(findings), _dropped(findings)
    by_name = {pair.name: pair_case(pair) for pair in pairs} | {case.name: case for case in dataset.cases}
    cases = list(by_name.values())
    label_files = None if values_of_files(dataset) else LabelFiles(dataset, cases, out, link=link)
    log: list[dict[str, Any]] = []
    usable = {case.name for case in dataset.cases}
    for case in progress.track(cases, "Writing the corrected copy", len(cases)):
        name, mask = relative(root, case.image), mask_path(case)
        files = [name, *([relative(root, mask)] if mask is not None else [])]
        if case.name not in usable and not steps.get(files[-1]):
            continue  # left out by a problem; `_dropped` has the reason
        if dropped.intersection(files_of(root, case.image, case.annotation, case.channel_files)):
            continue
        if label_files is not None:
            changes = dict.fromkeys((*steps.get(name, ()), *steps.get(labels_file(root, case), ())))
            log += label_files.write(case, tuple(changes), reasons.get(files[-1]) or reasons.get(name, ""))
        else:
            _write_case(dataset, case, files, steps, reasons, out, link=link, log=log)
    kept = {entry["source"] for entry in log if "source" in entry}
    log += [
        {"action": "leave out", "source": file, "reason": reason}
        for file, reason in reasons.items()
        if file in dropped and file not in kept
    ]
    if label_files is not None:
        progress.message(*label_files.finish())
    else:
        _write_tables(dataset, options, out)
    changes = [entry for entry in log if entry["action"] in ("change", "leave out")]
    atomic_write_json(out / LOG, {"version": __version__, "data": str(root.resolve()), "files": log})
    progress.message(f"{pluralise(len(changes), 'change')}; {pluralise(len(log) - len(changes), 'file')} unchanged.")
    return len(changes)


def restore(out: Path, names: Sequence[str] = ()) -> list[str]:
    """Undo changes of a corrected copy: put the original files back, and files that were left out are not affected.

    Parameters
    ----------
    out : Path
        A folder that `write_fixed` made.
    names : sequence of str
        Files in `out`; by default all that were changed.

    Returns
    -------
    list of str
        The files that were restored.
    """
    import json

    try:
        log: dict[str, Any] = json.loads((out / LOG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OutputFailed(
            "a corrected copy with changes.json", str(error), "Give the folder of --fix.", out
        ) from error
    data, restored = Path(log["data"]), list[str]()
    for entry in log["files"]:
        file = entry.get("file")
        if file is None or entry["action"] != "change" or (names and file not in names):
            continue
        base = out if entry.get("undo_in_copy") else data
        for name in (file, entry["undo"]):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise OutputFailed("files inside the folders", f"`{name}`", "The log was changed by hand.", out / LOG)
        target, original = out / file, base / entry["undo"]
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        final = target.with_name(f"{stem_of(target)}{suffix_of(original)}")
        link_or_copy(original, final, link=False)
        entry |= {"action": "restored", "file": final.relative_to(out).as_posix()}
        restored.append(file)
    atomic_write_json(out / LOG, log)
    return restored


def _steps(findings: Sequence[Finding]) -> dict[str, tuple[Step, ...]]:
    """Return the steps for each file that is changed."""
    steps: dict[str, tuple[Step, ...]] = defaultdict(tuple)
    for finding in findings:
        if finding.fixable and finding.steps[0].action != "leave out":
            steps[finding.files[0]] += finding.steps
    return dict(steps)


def _reasons(findings: Sequence[Finding]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for finding in findings:
        leaves_out = finding.fixable and finding.steps[0].action == "leave out"
        if finding.fixable:
            for file in finding.files if leaves_out else finding.files[:1]:
                reasons.setdefault(file, f"{finding.kind}: {finding.text}")
    return reasons


def _dropped(findings: Sequence[Finding]) -> set[str]:
    """Return the files that are left out."""
    return {
        file
        for finding in findings
        if finding.fixable and finding.steps[0].action == "leave out"
        for file in finding.files
    }


def _write_case(
    dataset: Dataset,
    case: Case,
    files: Sequence[str],
    steps: dict[str, tuple[Step, ...]],
    reasons: dict[str, str],
    out: Path,
    *,
    link: bool,
    log: list[dict[str, Any]],
) -> None:
    """Write the image and the mask of one case."""
    mask = mask_path(case)
    image_name, mask_name = _target_names(dataset, case, files)
    rename = next((step.other for step in steps.get(files[0], ()) if step.action == "rename"), "")
    target = (out / image_name).with_suffix(Path(rename or case.image.name).suffix)
    action = link_or_copy(case.image, target, link=link)
    entry = {"action": "change" if rename else action, "file": target.relative_to(out).as_posix(), "source": files[0]}
    log.append(entry | ({"reason": reasons.get(files[0], ""), "undo": files[0]} if rename else {}))
    if mask is None:
        return
    changes = steps.get(files[1], ())
    source = next((dataset.root / step.other for step in changes if step.action == "use mask of"), mask)
    rename = next((step.other for step in changes if step.action == "rename"), "")
    target = (out / mask_name).with_suffix(Path(rename or source.name).suffix)
    pixel_steps = [step for step in changes if step.action in _PIXEL_ACTIONS]
    if pixel_steps:
        target = _write_mask(dataset, source, pixel_steps, target)
    else:
        link_or_copy(source, target, link=False)
    entry = {"action": "change" if changes else "copy", "file": target.relative_to(out).as_posix(), "source": files[1]}
    if changes:
        entry |= {"steps": [step.to_json() for step in changes], "reason": reasons.get(files[1], ""), "undo": files[1]}
    log.append(entry)


def _target_names(dataset: Dataset, case: Case, files: Sequence[str]) -> tuple[Path, Path]:
    """Return the names of the image and the mask in the copy."""
    if dataset.task == "classification":
        return Path(files[0]), Path()
    given = {other.split for other in dataset.cases} - ({"val"} if dataset.split_made else set())
    part = "train" if dataset.split_made and case.split == "val" else case.split
    folder = Path(part) if given != {"train"} else Path()
    words = Path(case.name).parts
    inner = Path(*(words[1:] if len(words) > 1 and words[0] == part else words))
    name = inner.with_name(inner.name + ".png")  # a name may contain a dot
    return folder / "images" / name, folder / "masks" / name


def _write_mask(dataset: Dataset, source: Path, steps: Sequence[Step], target: Path) -> Path:
    """Write a changed mask in the coding of its file, as PNG or TIFF; return its path."""
    labelling = dataset.labelling
    fill = labelling.ignore_value
    read = read_mask(source)
    background = labelling.values[0] if labelling.values else 0
    values = apply_steps(read.values, steps, fill=background if fill is None or labelling.coded_by_colour else fill)
    if values.ndim == 3 or read.palette is not None:
        colours = values if values.ndim == 3 else _palette_colours(values, read.palette or {})
        planes = np.moveaxis(colours, -1, 0) if labelling.coded_by_colour or values.ndim == 3 else values[None]
        target = target.with_suffix(".png")
        write_image(target, np.ascontiguousarray(planes.astype(np.uint8)))
    elif int(values.max(initial=0)) < 1 << 16 and int(values.min(initial=0)) >= 0:
        target = target.with_suffix(".png")
        kind = np.uint8 if int(values.max(initial=0)) < 1 << 8 else np.uint16
        write_image(target, values[None].astype(kind))
    else:
        target = target.with_suffix(".tif")
        write_labels(target, values.astype(np.int32))
    return target


def _palette_colours(values: np.ndarray, palette: dict[int, tuple[int, int, int]]) -> np.ndarray:
    table = np.zeros((max(256, int(values.max(initial=0)) + 1), 3), np.uint8)
    for index, colour in palette.items():
        table[index] = colour
    return table[values]


def _write_tables(dataset: Dataset, options: DataOptions, out: Path) -> None:
    """Copy the class tables, and write what the user decided about masks to dataset.json."""
    for name in (*TABLES, "dataset.json"):
        for path in dataset.root.iterdir():
            if path.name.casefold() == name and path.is_file():
                link_or_copy(path, out / name, link=False)
    labelling = dataset.labelling
    decided = options.task != "auto" or options.classes or options.ignore_index is not None
    if labelling.task == "classification" or not (decided or options.foreground is not None):
        return
    table: dict[str, Any] = {"task": labelling.task, "ignore_index": labelling.ignore_value}
    if labelling.values and not labelling.coded_by_colour:
        table["classes"] = dict(zip(labelling.classes, labelling.values, strict=False))
    atomic_write_json(out / "dataset.json", table)
