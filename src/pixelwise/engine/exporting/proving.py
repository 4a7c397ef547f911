"""The proof of an export, repeated: on any machine, without the run and without torch."""

from pathlib import Path

from pixelwise.engine.exported import find_export, open_export
from pixelwise.engine.exporting.certificate import Comparison, Limits, check, compare, read_certificate, read_proof
from pixelwise.engine.exporting.formats import FORMATS, answers
from pixelwise.errors import BadModel


def verify_export(path: Path) -> tuple[Comparison, ...]:
    """Let every runtime here that reads an exported file answer the tiles that lie beside it.

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
        Certificate, tiles or the file are missing, damaged, or not those that belong together.
    ExportFailed
        The file says something else here than torch said.
    BadOption
        Nothing that reads the file is installed.
    """
    found = find_export(path)
    if found is None:
        raise BadModel("an exported file", "another one", "Give what `pixelwise export` wrote.", path)
    certificate = read_certificate(found)
    kind = str(certificate["format"])
    if kind not in FORMATS:
        raise BadModel("a certificate of a known format", f"`{kind}`", "Export the run again.", found)
    recipe = open_export(found)[0].recipe
    trials = read_proof(found)
    comparisons = tuple(compare(name, answer, trials) for name, answer in answers(kind, found, recipe))
    check(comparisons, Limits(**certificate["limits"]), found)
    return comparisons
