"""Verify: an exported file repeats its proof on this machine, without the run and without torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelwise.exporters.parity_report import Comparison
from pixelwise.exporters.verification import verify_export


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What the proof says here, for each runtime that reads the file."""

    file: Path
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {"file": str(self.file), "results": [asdict(comparison) for comparison in self.comparisons]}

    def to_text(self) -> str:
        """Return a line per runtime for people."""
        return "\n".join(comparison.to_text() for comparison in self.comparisons)


def verify(file: Path | str) -> Verification:
    """Let every runtime on this machine answer the images that lie beside an exported file.

    Parameters
    ----------
    file : path
        What `export` wrote, or the folder of an OpenVINO export; certificate and images lie beside it.

    Raises
    ------
    BadModel
        Certificate, images or the file are missing, damaged, or do not belong together.
    ExportFailed
        The file says something else here than the run said in PyTorch.
    BadOption
        Nothing that reads the file is installed.
    """
    path = Path(file)
    return Verification(file=path, comparisons=verify_export(path))
