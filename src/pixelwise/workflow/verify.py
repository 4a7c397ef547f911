"""Repeat the parity check of an exported file on this machine, without the run and without torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelwise.exporters.parity_report import Comparison
from pixelwise.exporters.verification import verify_export


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of the parity check for each runtime that reads the file."""

    file: Path
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-compatible dict."""
        return {"file": str(self.file), "results": [asdict(comparison) for comparison in self.comparisons]}

    def to_text(self) -> str:
        """Return one line per runtime."""
        return "\n".join(comparison.to_text() for comparison in self.comparisons)


def verify(file: Path | str) -> Verification:
    """Compare an exported model with its parity data in every runtime on this machine.

    Parameters
    ----------
    file : path
        The exported file, or the folder of an OpenVINO export, with the parity report and parity data next to it.

    Raises
    ------
    BadModel
        The file, its parity report or parity data are missing, damaged, or do not match.
    ExportFailed
        The file does not reproduce the outputs of PyTorch.
    BadOption
        No runtime for the file is installed.
    """
    path = Path(file)
    return Verification(file=path, comparisons=verify_export(path))
