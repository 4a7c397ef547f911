"""The proof of an export, repeated: on any machine, without the run and without torch."""

from pathlib import Path

from pixelwise.errors import BadModel
from pixelwise.exporters.comparison import Comparison, check, compare
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS, answers
from pixelwise.exporters.package import check_package
from pixelwise.exporters.parity_report import read_parity_data, read_parity_report
from pixelwise.runtimes.exported import find_export, read_exported_model_card


def verify_export(path: Path) -> tuple[Comparison, ...]:
    """Let every runtime here that reads an exported file answer the images that lie beside it.

    Parameters
    ----------
    path : Path
        An exported file, or the folder of an OpenVINO export.

    Returns
    -------
    tuple of Comparison
        One per runtime; all are within the limits of the certificate.

    Raises
    ------
    BadModel
        Certificate, images or the file are missing, damaged, or not those that belong together.
    ExportFailed
        The file says something else here than torch said.
    BadOption
        Nothing that reads the file is installed.
    """
    found = find_export(path)
    if found is None:
        raise BadModel("an exported file", "another one", "Give what `pixelwise export` wrote.", path)
    parity_report = read_parity_report(found)
    kind = str(parity_report["format"])
    if kind not in FORMATS:
        raise BadModel("a certificate of a known format", f"`{kind}`", "Export the run again.", found)
    model_card, trials = read_exported_model_card(found), read_parity_data(found)
    if kind == "bioimageio":
        check_package(found)
    export_task = export_task_of(model_card)
    comparisons = tuple(compare(name, answer, trials, export_task) for name, answer in answers(kind, found, model_card))
    check(comparisons, Limits(**parity_report["limits"]), found)
    return comparisons
