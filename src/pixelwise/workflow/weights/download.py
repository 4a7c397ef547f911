"""The one door to the network: a file that the user has named is fetched, checked and kept whole or not at all."""

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

SECONDS = 30  # without a byte, after which the other side counts as silent
CHUNK = 2**18
MEBIBYTE = 2**20
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SLACK = 1.02  # a file may be so much larger than is written down of it


def download(url: str, path: Path, *, sha256: str, mebibytes: float, hint: str, progress: Progress) -> str:
    """Fetch a file; it appears at `path` only when its digest is the expected one.

    Parameters
    ----------
    url : str
        https; http from this machine itself only.
    path : Path
    sha256 : str
        Of the file: 64 hexadecimal digits, or the first of them that are known.
    mebibytes : float
        About its size; a larger file is cut off and refused.
    hint : str
        What to do where it cannot be fetched.
    progress : Progress

    Returns
    -------
    str
        The whole digest.

    Raises
    ------
    BadWeights
        No connection, another status than 200, a truncated or too large file, or another digest. Nothing stays behind.
    OutputFailed
        The place cannot be written.
    """
    _check_address(url, hint)
    limit = int(SLACK * mebibytes * MEBIBYTE) + CHUNK
    digest = hashlib.sha256()

    def fill(file: BinaryIO) -> None:
        with _answer(url, hint) as answer:
            expected = _length(answer, limit, url, hint)
            with progress.bar(f"fetching {path.name}", expected or limit) as advance:
                received = _copy(answer, file, digest, limit, url, hint, advance)
        if expected is not None and received != expected:
            raise BadWeights(f"{expected} bytes from {url}", f"{received}: the connection broke off", "Try again.")
        if not digest.hexdigest().startswith(sha256):
            what = f"the published file {url} with SHA-256 {sha256}"
            raise BadWeights(what, f"another file, {digest.hexdigest()}", f"It was not kept. {hint}")

    atomic_write(path, fill)
    return digest.hexdigest()


class _SafeRedirects(HTTPRedirectHandler):
    """Follow to places that `download` itself would go to, and to no others."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Refuse the way from https to http."""
        _check_address(newurl, "")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, hint: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise BadWeights("an address with https", url, hint or "Nothing was fetched.")


def _answer(url: str, hint: str) -> Any:
    """Open the connection; what goes wrong is told in words."""
    try:
        return build_opener(_SafeRedirects).open(Request(url, headers={"User-Agent": "pixelwise"}), timeout=SECONDS)
    except HTTPError as error:
        raise BadWeights(url, f"status {error.code} ({error.reason})", hint) from error
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise BadWeights(url, f"no connection ({reason})", hint) from error


def _length(answer: Any, limit: int, url: str, hint: str) -> int | None:
    """Return the number of bytes that the other side announces, if it does."""
    text = answer.headers.get("Content-Length", "")
    if not text.isdecimal():
        return None
    if int(text) > limit:
        raise BadWeights(f"at most {limit} bytes from {url}", text, hint)
    return int(text)


def _copy(answer: Any, file: BinaryIO, digest: Any, limit: int, url: str, hint: str, advance: Advance) -> int:
    received = 0
    while chunk := _chunk(answer, url, hint):
        received += len(chunk)
        if received > limit:
            raise BadWeights(f"at most {limit} bytes from {url}", "more", hint)
        file.write(chunk)
        digest.update(chunk)
        advance(len(chunk), f"{received / MEBIBYTE:.0f} MiB")
    return received


def _chunk(answer: Any, url: str, hint: str) -> bytes:
    """Read on; an error of the network is not one of the disk."""
    try:
        return answer.read(CHUNK)
    except (HTTPException, OSError) as error:
        raise BadWeights(url, f"a connection that broke off ({error})", hint) from error
