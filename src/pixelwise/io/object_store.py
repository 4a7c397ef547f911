"""Objects in S3 and in stores that speak its protocol (extra `cloud`): s3://BUCKET/KEY.

Such an address is kept as `Path("s3://bucket/key")`, where pathlib leaves one slash; `address` puts the other one back.
Keys, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP). Nothing is asked of a store unless the user gives such an address.

A name is written once: the condition of RFC 9110, section 13.1.2, `If-None-Match: *`, lets a store refuse a second
object of a name.
"""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import Any

from pixelwise.errors import BadImage, BadOption, OutputFailed, PixelwiseError, needs_extra

_SCHEME = "s3:"
_PATIENCE = timedelta(seconds=30)  # of the library, when a store does not answer
_PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class StoredObject:
    """An object: its address, its size in bytes, and a mark that changes with its content (its ETag)."""

    path: Path
    size: int
    mark: str


def is_remote(path: Path | str) -> bool:
    """Return whether a path is an address in an object store.

    Examples
    --------
    >>> is_remote(Path("s3://bucket/images")), is_remote("images")
    (True, False)
    """
    return Path(path).parts[:1] == (_SCHEME,)


def address(path: Path | str) -> str:
    """Return a path as the user writes it.

    Examples
    --------
    >>> address(Path("s3://bucket/images/a.png")), address(Path("images"))
    ('s3://bucket/images/a.png', 'images')
    """
    return f"{_SCHEME}//{'/'.join(Path(path).parts[1:])}" if is_remote(path) else str(path)


def find_object(path: Path) -> StoredObject | None:
    """Return an object, if it exists.

    Raises
    ------
    BadImage
        The store does not answer, or refuses.
    """
    store, key = _locate(path)
    with _translated(path):
        try:
            return _stored(path, _library().head(store, key))
        except FileNotFoundError:
            return None


def list_objects(folder: Path) -> list[StoredObject]:
    """Return all objects below an address, sorted by their keys.

    Raises
    ------
    BadImage
        The store does not answer, or refuses.
    """
    store, prefix = _locate(folder)
    start = f"{prefix}/" if prefix else ""
    with _translated(folder):
        rows = [row for page in _library().list(store, prefix=prefix or None) for row in page]
    inside = sorted((row for row in rows if row["path"].startswith(start)), key=lambda row: row["path"])
    return [_stored(folder / row["path"][len(start) :], row) for row in inside]


def read_object(path: Path, most: int | None = None) -> bytes:
    """Return the content of an object, or its first bytes.

    Raises
    ------
    BadImage
        There is none, or the store does not answer.
    """
    store, key = _locate(path)
    with _translated(path):
        if most is None:
            return bytes(_library().get(store, key).bytes())
        size = int(_library().head(store, key)["size"])
        return bytes(_library().get_range(store, key, start=0, end=min(size, most))) if size else b""


def fetch_object(path: Path, target: Path) -> None:
    """Copy an object into a file, a piece at a time.

    Raises
    ------
    BadImage
        There is none, or the store does not answer.
    OSError
        The file cannot be written.
    """
    store, key = _locate(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _translated(path), target.open("wb") as file:
        for piece in _library().get(store, key).stream(min_chunk_size=_PIECE):
            file.write(piece)


def put_new_object(path: Path, content: bytes | Path) -> bool:
    """Write an object, from bytes or from a file, unless there is one of this name; return whether there was none.

    Raises
    ------
    OutputFailed
        The store does not answer, or refuses.
    """
    store, key = _locate(path)
    errors = _errors()
    with _translated(path, OutputFailed):
        try:
            _library().put(store, key, content, mode="create", use_multipart=False)
        except (errors.AlreadyExistsError, errors.PreconditionError):
            return False
    return True


def has_content(path: Path, size: int, sha256: str) -> bool:
    """Return whether an object has this size and this SHA-256.

    Raises
    ------
    BadImage
        The store does not answer.
    """
    found = find_object(path)
    if found is None or found.size != size:
        return False
    store, key = _locate(path)
    digest = hashlib.sha256()
    with _translated(path):
        for piece in _library().get(store, key).stream(min_chunk_size=_PIECE):
            digest.update(piece)
    return digest.hexdigest() == sha256


def check_exclusive(folder: Path) -> None:
    """Check that a store can be written, and refuses a second object of one name.

    Raises
    ------
    OutputFailed
        It does not: results of one process could replace those of another.
    """
    probe = folder / f".probe-{token_hex(8)}"
    try:
        first = put_new_object(probe, b"1")
        second = put_new_object(probe, b"2")
    finally:
        store, key = _locate(probe)
        with suppress(Exception):  # what is wrong was said already
            _library().delete(store, key)
    if not first or second:
        hint = "Give a folder as --out, and copy it to the store."
        raise OutputFailed(
            "a store that refuses a second object of one name", "one that replaces it", hint, address(folder)
        )


def open_prefix(folder: Path) -> Any:
    """Return the store of the library `obstore` for what is below an address, which `zarr` can read."""
    parts = folder.parts[1:]
    return _open(parts[0], prefix="/".join(parts[1:]) or None)


def _stored(path: Path, row: Any) -> StoredObject:
    return StoredObject(path, int(row["size"]), str(row["e_tag"] or row["last_modified"]))


def _locate(path: Path) -> tuple[Any, str]:
    """Return the bucket of an address, opened, and the key in it."""
    parts = Path(path).parts[1:]
    if not parts:
        raise BadOption("s3://BUCKET/KEY", address(path), "Name the bucket.")
    return _bucket(parts[0]), "/".join(parts[1:])


@lru_cache(maxsize=16)
def _bucket(name: str) -> Any:
    return _open(name)


def _open(bucket: str, prefix: str | None = None) -> Any:
    with needs_extra("obstore", "object stores", "cloud"):
        from obstore.store import S3Store
    try:
        return S3Store(bucket, prefix=prefix, retry_config={"max_retries": 3, "retry_timeout": _PATIENCE})
    except Exception as error:
        raise BadOption("settings of an object store", _first_line(error), "Check the variables AWS_...") from error


def _library() -> Any:
    with needs_extra("obstore", "object stores", "cloud"):
        return import_module("obstore")


def _errors() -> Any:
    return import_module("obstore.exceptions")


@contextmanager
def _translated(path: Path, kind: type[PixelwiseError] = BadImage) -> Generator[None, None, None]:
    """Say in one line what a store refused."""
    errors = _errors()
    try:
        yield
    except (errors.BaseError, FileNotFoundError, PermissionError) as error:
        hint = "Check the address, the variables AWS_..., and that the store can be reached."
        raise kind("an object store that answers", _first_line(error), hint, address(path)) from error


def _first_line(error: Exception) -> str:
    """Return what a library says, without its internals and what the server sent."""
    lines = str(error).partition(": Error performing")[0].strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
