"""Download of published files over https, with a check of size and SHA-256."""

import hashlib
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pixelwise.atomic_write import atomic_write
from pixelwise.errors import BadWeights
from pixelwise.progress import Advance, Progress

SECONDS = 30  # timeout without data
CHUNK = 2**18
MEBIBYTE = 2**20
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SLACK = 1.02  # tolerated excess over the expected size


def download(url: str, path: Path, *, sha256: str, size_mib: float, hint: str, progress: Progress) -> str:
    """Download a file to `path`, if its digest is the expected one.

    Parameters
    ----------
    url : str
        https; http from this machine only.
    sha256 : str
        64 hexadecimal digits, or a prefix.
    size_mib : float
        Approximate size in MiB; larger files are rejected.
    hint : str
        Hint of download errors.

    Returns
    -------
    str
        The whole digest.

    Raises
    ------
    BadWeights
        No connection, another status than 200, a truncated or too large file, or another digest. No file remains.
    OutputFailed
        The path cannot be written.
    """
    _check_address(url, hint)
    limit = int(SLACK * size_mib * MEBIBYTE) + CHUNK
    digest = hashlib.sha256()

    def fill(file: BinaryIO) -> None:
        with _open(url, hint) as response:
            expected = _length(response, limit, url, hint)
            with progress.bar(f"downloading {path.name}", expected or limit) as advance:
                received = _copy(response, file, digest, limit, url, hint, advance)
        if expected is not None and received != expected:
            raise BadWeights(f"{expected} bytes from {url}", f"{received}: the connection was lost", "Try again.")
        if not digest.hexdigest().startswith(sha256):
            published = f"the published file {url} with SHA-256 {sha256}"
            raise BadWeights(published, f"another file, {digest.hexdigest()}", f"It was deleted. {hint}")

    atomic_write(path, fill)
    return digest.hexdigest()


class _SafeRedirects(HTTPRedirectHandler):
    """Follow redirects to addresses that `download` accepts."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Reject redirects from https to http."""
        _check_address(newurl, "")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, hint: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise BadWeights("an https address", url, hint or "Nothing was downloaded.")


def _open(url: str, hint: str) -> Any:
    """Open the connection."""
    try:
        return build_opener(_SafeRedirects).open(Request(url, headers={"User-Agent": "pixelwise"}), timeout=SECONDS)
    except HTTPError as error:
        raise BadWeights(url, f"status {error.code} ({error.reason})", hint) from error
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise BadWeights(url, f"no connection ({reason})", hint) from error


def _length(response: Any, limit: int, url: str, hint: str) -> int | None:
    """Return the Content-Length, if the server sends it."""
    text = response.headers.get("Content-Length", "")
    if not text.isdecimal():
        return None
    if int(text) > limit:
        raise BadWeights(f"at most {limit} bytes from {url}", text, hint)
    return int(text)


def _copy(response: Any, file: BinaryIO, digest: Any, limit: int, url: str, hint: str, advance: Advance) -> int:
    received = 0
    while chunk := _chunk(response, url, hint):
        received += len(chunk)
        if received > limit:
            raise BadWeights(f"at most {limit} bytes from {url}", "more", hint)
        file.write(chunk)
        digest.update(chunk)
        advance(len(chunk), f"{received / MEBIBYTE:.0f} MiB")
    return received


def _chunk(response: Any, url: str, hint: str) -> bytes:
    """Read a chunk, with network errors as BadWeights."""
    try:
        return response.read(CHUNK)
    except (HTTPException, OSError) as error:
        raise BadWeights(url, f"a lost connection ({error})", hint) from error
