"""Publishing of outputs, each exactly once: into the output folder, or into an object store."""

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pixelwise.atomic_write import sync_folder
from pixelwise.cluster.job import Job
from pixelwise.errors import OutputFailed
from pixelwise.exclusive_write import link_new
from pixelwise.io.object_store import (
    address,
    check_exclusive,
    find_object,
    has_content,
    list_objects,
    put_new_object,
)
from pixelwise.parallel import parallel_map

STORE = "store"  # of the settings of a job: the address of its outputs, if they are in an object store
_UPLOADS = 8  # at the same time


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file of an outcome: its path below the output folder or that of the parts, its size, and its SHA-256."""

    name: str
    size: int
    sha256: str


@runtime_checkable
class Outputs(Protocol):
    """Where a job publishes its outputs."""

    def publish(self, files: Sequence[WrittenFile], source: Path) -> None:
        """Give complete files of a folder their final names, unless they have them.

        Raises
        ------
        OutputFailed
            There is another file of that name, or a file is in neither place; or the store does not answer.
        OSError
            The folder cannot be written.
        """
        ...

    def holds(self, file: WrittenFile) -> bool:
        """Return whether a file of this name and size is published."""
        ...


class FolderOutputs:
    """Outputs in a folder; see `Outputs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, files: Sequence[WrittenFile], source: Path) -> None:
        """Link files into the folder."""
        publish_files(files, source, self._folder)

    def holds(self, file: WrittenFile) -> bool:
        """Return whether a file of this name and size is in the folder."""
        return size_of(self._folder / file.name) == file.size


class StoreOutputs:
    """Outputs in an object store, which refuses a second object of a name; see `Outputs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, files: Sequence[WrittenFile], source: Path) -> None:
        """Put files into the store; the metadata of OME-Zarr last, because a reader begins with them."""
        metadata = [file for file in files if file.name.endswith("zarr.json")]
        chunks = [file for file in files if file not in metadata]
        for _ in parallel_map(lambda file: self._put(file, source), chunks, _UPLOADS):
            pass
        for file in sorted(metadata, key=lambda file: -file.name.count("/")):
            self._put(file, source)

    def holds(self, file: WrittenFile) -> bool:
        """Return whether an object of this name and size is in the store."""
        found = find_object(self._folder / file.name)
        return found is not None and found.size == file.size

    def _put(self, file: WrittenFile, source: Path) -> None:
        path, local = self._folder / file.name, source / file.name
        new = put_new_object(path, local) if local.is_file() else False
        if not new and not has_content(path, file.size, file.sha256):
            got = "none" if find_object(path) is None else "another object of that name"
            hint = "Choose an empty address as --out, and change nothing there."
            raise OutputFailed("the object that this job writes", got, hint, address(path))


def outputs_of(job: Job) -> Outputs:
    """Return where the outputs of a job are published."""
    store = job.settings.get(STORE)
    return FolderOutputs(job.out) if store is None else StoreOutputs(Path(store))


def check_store_free(folder: Path, names: Collection[str]) -> None:
    """Check that a store can be written, refuses a second object of a name, and has no result of these names.

    Raises
    ------
    OutputFailed
        It does not.
    """
    check_exclusive(folder)
    existing = sorted({entry.path.relative_to(folder).parts[0] for entry in list_objects(folder)} & set(names))
    if existing:
        got = f"{len(existing)}, such as {existing[0]}"
        raise OutputFailed("an address without existing results", got, "Choose another --out.", address(folder))


def sum_up(folder: Path) -> tuple[WrittenFile, ...]:
    """Flush all files below a folder to disk, and return them with size and SHA-256; hidden files are left out."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    files: list[WrittenFile] = []
    for path in paths:
        if path.parent == folder and path.name.startswith("."):
            continue
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        files.append(WrittenFile(name=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=sha256))
    return tuple(files)


def publish_files(files: Iterable[WrittenFile], source: Path, target: Path, prefix: str = "") -> None:
    """Link complete files from one folder into another, unless they are there.

    Raises
    ------
    OutputFailed
        There is another file of that name, or a file is in neither folder.
    OSError
        The folder cannot be written.
    """
    folders: set[Path] = set()
    for file in files:
        path = target / f"{prefix}{file.name}"
        folders.add(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            new = link_new(source / file.name, path)
        except FileNotFoundError:
            new = False
        if not new and not _is_equal(path, file):
            got = "another file of that name" if path.exists() else "none"
            hint = "Choose an empty folder as --out, and change nothing in it."
            raise OutputFailed("the file that this job writes", got, hint, path)
    for folder in folders:
        sync_folder(folder)


def size_of(path: Path) -> int:
    """Return the size of a file; -1 if it cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _is_equal(path: Path, file: WrittenFile) -> bool:
    if size_of(path) != file.size:
        return False
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
