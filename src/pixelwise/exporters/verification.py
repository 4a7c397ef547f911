"""Verification: repeat the parity check of an export on any machine, without the run and without torch."""

from pathlib import Path

from pixelwise.errors import BadModel
from pixelwise.exporters.comparison import Comparison, check, compare
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS, runtimes_for
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
    if kind not in FORMATS:
        raise BadModel("a parity report of a known format", f"`{kind}`", "Export the run again.", file)
    model_card, batches = read_exported_model_card(file), read_parity_data(file)
    if kind == "bioimageio":
        check_package(file)
    export_task = export_task_of(model_card)
    runtimes = runtimes_for(kind, file, model_card)
    comparisons = tuple(compare(name, predict, batches, export_task) for name, predict in runtimes)
    check(comparisons, Limits(**parity_report["limits"]), file)
    return comparisons
