"""Show and clear the cache of measurements, converted models and downloads on this machine."""

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
    """The contents of the cache: files and bytes by kind; `cleared` is true if they were removed."""

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
    """Show the contents of the cache, or remove them; everything in it can be recreated.

    Parameters
    ----------
    clear : bool
        Remove the contents.
    kinds : tuple of str
        Keys of `KINDS`; by default all.

    Raises
    ------
    OutputFailed
        A file cannot be removed.
    """
    folder = cache_folder()
    present = [kind for kind in kinds or KINDS if (folder / kind).is_dir()]
    files = {kind: [path for path in (folder / kind).rglob("*") if path.is_file()] for kind in present}
    files = {kind: paths for kind, paths in files.items() if paths}
    report = CacheReport(
        folder=folder,
        files={kind: len(paths) for kind, paths in files.items()},
        bytes={kind: sum(path.stat().st_size for path in paths) for kind, paths in files.items()},
        cleared=clear,
    )
    for kind in present if clear else ():
        try:
            shutil.rmtree(folder / kind)
        except OSError as error:
            raise write_error(folder / kind, error) from error
    return report
