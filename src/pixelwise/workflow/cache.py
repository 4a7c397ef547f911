"""Cache: what this machine keeps so that it need not be measured, converted or fetched again, seen and cleared."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import write_error
from pixelwise.runtimes.cache import cache_folder
from pixelwise.text import pluralise

KINDS = {
    "steps": "how long training steps take here",
    "runtimes": "which runtime is fastest for a model",
    "graphs": "models converted to ONNX",
    "compiled": "models compiled by torch",
    "weights": "published weights that were downloaded",
}


@dataclass(frozen=True, kw_only=True)
class CacheReport:
    """What lies in the cache: files and bytes by kind; `cleared` tells whether they were removed."""

    folder: Path
    files: dict[str, int]
    bytes: dict[str, int]
    cleared: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        kinds = {kind: {"files": self.files[kind], "bytes": self.bytes[kind]} for kind in self.files}
        return {"folder": str(self.folder), "cleared": self.cleared, "kinds": kinds}

    def to_text(self) -> str:
        """Return a line per kind."""
        if not self.files:
            return f"The cache is empty: {self.folder}"
        lines = [
            f"  {kind:<9} {pluralise(self.files[kind], 'file')}, {self.bytes[kind] / 1e6:.1f} MB: {KINDS[kind]}"
            for kind in self.files
        ]
        return "\n".join([f"{'Removed from' if self.cleared else 'Kept in'} {self.folder}:", *lines])


def cache(*, clear: bool = False, kinds: tuple[str, ...] = ()) -> CacheReport:
    """Show what the cache holds, or remove it; everything in it can be made again.

    Parameters
    ----------
    clear : bool
        Remove it.
    kinds : tuple of str
        Of `KINDS`; by default all.

    Raises
    ------
    OutputFailed
        A file cannot be removed.
    """
    folder = cache_folder()
    there = [kind for kind in kinds or KINDS if (folder / kind).is_dir()]
    files = {kind: [path for path in (folder / kind).rglob("*") if path.is_file()] for kind in there}
    found = {kind: paths for kind, paths in files.items() if paths}
    report = CacheReport(
        folder=folder,
        files={kind: len(paths) for kind, paths in found.items()},
        bytes={kind: sum(path.stat().st_size for path in paths) for kind, paths in found.items()},
        cleared=clear,
    )
    for kind in there if clear else ():
        try:
            shutil.rmtree(folder / kind)
        except OSError as error:
            raise write_error(folder / kind, error) from error
    return report
