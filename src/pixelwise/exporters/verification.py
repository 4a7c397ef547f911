"""Verification: repeat the parity check of an export on any machine, without the run and without torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelwise.errors import BadModel
from pixelwise.exporters.comparison import Comparison, check, compare
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import limits_of, runtimes_for
from pixelwise.exporters.package import check_package
from pixelwise.exporters.parity_report import read_parity_data, read_parity_report
from pixelwise.runtimes.exported import find_export, read_exported_model_card


def verify_export(path: Path) -> tuple[Comparison, ...]:
    """Repeat the parity check of an exported file with every installed runtime that reads it.

    Parameters
    ----------
    path : Path
        An exported file, or the folder of an OpenVINO export.

    Returns
    -------
    tuple of Comparison
        One per runtime; all are within the limits of the parity report.

    Raises
    ------
    BadModel
        The file, its parity report or parity data are missing, damaged, or do not match.
    ExportFailed
        The results differ from PyTorch by more than the limits.
    BadOption
        No installed runtime reads the file.
    """
    file = find_export(path)
    if file is None:
        raise BadModel("an exported file", "another file", "Use a file written by `pixelwise export`.", path)
    parity_report = read_parity_report(file)
    kind = str(parity_report["format"])
    model_card, batches = read_exported_model_card(file), read_parity_data(file)
    if kind == "bioimageio":
        check_package(file)
    export_task = export_task_of(model_card)
    runtimes = runtimes_for(kind, file, model_card)
    comparisons = tuple(compare(name, predict, batches, export_task) for name, predict in runtimes)
    check(comparisons, _strictest(Limits(**parity_report["limits"]), limits_of(kind, export_task)), file)
    return comparisons


def _strictest(stated: Limits, usual: Limits) -> Limits:
    """Return the smaller of two limits each: a report cannot widen those of its format."""
    pairs = {name: (value, asdict(usual)[name]) for name, value in asdict(stated).items()}
    smaller: dict[str, Any] = {
        name: min((value for value in pair if value is not None), default=None) for name, pair in pairs.items()
    }
    return Limits(**smaller)
