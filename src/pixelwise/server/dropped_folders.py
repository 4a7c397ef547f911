"""Folders of images and masks that were dropped on the page: received file by file, and read once they are whole."""

import re
import shutil
from pathlib import Path, PurePosixPath

from pixelwise.io.read import SUFFIXES
from pixelwise.io.volumes.names import suffix_of
from pixelwise.server.failures import Failure
from pixelwise.server.project import clean_name

MAX_FILES = 4000
MAX_DEPTH = 8
MAX_BYTES = 200  # of a name: file systems take 255, and temporary files have longer ones
LISTS = (".txt",)
"""Names of classes and of splits. What can name files, such as a table of pairs, is not taken: it could name any."""

_PART = ".part"


class DroppedFolders:
    """The folders in a project that were dropped.

    Each has a number and holds one folder with the name that people know. It is complete once its number stands without
    an ending; what broke off before is removed.

    Parameters
    ----------
    folder : Path
        Created when the first one is received.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for broken in folder.glob(f"*{_PART}"):
            shutil.rmtree(broken, ignore_errors=True)

    def complete(self) -> list[Path]:
        """Return the folders that were received whole, oldest first."""
        numbered = sorted(path for path in self._folder.glob("[0-9]*") if path.suffix != _PART)
        return [inner for path in numbered for inner in path.iterdir()]

    def begin(self, name: str) -> str:
        """Begin to receive a folder; return its number."""
        self._folder.mkdir(exist_ok=True)
        numbers = [int(path.stem) for path in self._folder.glob("[0-9]*")]
        number = f"{max(numbers, default=0) + 1:04d}"
        (self._folder / f"{number}{_PART}" / (_part_of_path(name) or "dropped")).mkdir(parents=True)
        return number

    def place(self, number: str, path: str) -> Path:
        """Return where a file of a folder is written, whose directory exists then.

        Parameters
        ----------
        number : str
            As of `begin`.
        path : str
            Within the folder, with slashes; its parts become plain names.

        Raises
        ------
        Failure
            404 without such a folder, 400 for a path that is none, 413 for too many files, 415 for a file that is
            neither an image nor a list of names.
        """
        base = self._receiving(number)
        parts = [_part_of_path(part) for part in PurePosixPath(path).parts]
        if not parts or not all(parts) or len(parts) > MAX_DEPTH:
            raise Failure(400, "bad_path", f"Name a file by up to {MAX_DEPTH} plain names with slashes between them.")
        suffix = suffix_of(Path(parts[-1])).casefold()
        if suffix not in SUFFIXES and suffix not in LISTS:
            raise Failure(415, "unsupported_type", "It is neither an image nor a list of names (.txt).")
        target = base.joinpath(*parts)
        if not target.exists() and sum(one.is_file() for one in base.rglob("*")) >= MAX_FILES:
            raise Failure(413, "too_many", f"More than {MAX_FILES} files: start pixelwise serve FOLDER.")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def finish(self, number: str) -> Path:
        """Return a folder of which everything has arrived; raises `Failure` (404) if there is none."""
        base = self._receiving(number)
        base.parent.replace(self._folder / number)
        return self._folder / number / base.name

    def _receiving(self, number: str) -> Path:
        part = self._folder / f"{number}{_PART}"
        if not re.fullmatch(r"\d{1,9}", number) or not part.is_dir():
            raise Failure(404, "unknown_folder", "No such folder is being received.")
        return next(part.iterdir())


def _part_of_path(name: str) -> str:
    r"""Return a plain name; empty for one that is hidden, leads elsewhere, or is too long for a file system.

    Examples
    --------
    >>> _part_of_path("plate 7"), _part_of_path(".."), _part_of_path(".hidden"), _part_of_path("a\\b")
    ('plate 7', '', '', 'b')
    """
    plain = clean_name(name)
    return "" if plain.startswith(".") or len(plain.encode()) > MAX_BYTES else plain
