"""Request bodies: streamed into a file, with their type, size and speed checked while they arrive.

What a refused request still sends is read too, if it is short, so that the client receives the refusal.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixelwise.io.volumes.names import VOLUME_SUFFIXES
from pixelwise.server.failures import Failure
from pixelwise.server.limits import Ticket

IMAGE_TYPES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "image/webp": ".webp",
    "application/octet-stream": ".tif",  # readers look at the first bytes, never at the name
}
"""Media types of images that are accepted, and the suffix of the file that holds them."""

_SECONDS_WITHOUT_DATA = 10.0
_MIN_BYTES_PER_SECOND = 1024
_GRACE_SECONDS = 10.0  # before the speed counts
_MAX_UNREAD = 16 * 2**20  # bytes of a refused body that are read
_SECONDS_UNREAD = 1.0


def media_type(request: Request) -> str:
    """Return the media type of a request without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_plain(request: Request) -> None:
    """Refuse a compressed body, which may be much larger than it looks."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Failure(415, "unsupported_encoding", "Send the body without Content-Encoding.")


async def receive_image(request: Request, folder: Path, ticket: Ticket) -> Path:
    """Write the body of a request into a file of `folder`; return its path.

    Raises
    ------
    Failure
        415 for another type, 413 if it is too large, 408 if it is too slow, 400 if it is empty or breaks off.
    """
    suffix = IMAGE_TYPES.get(media_type(request))
    if suffix is None:
        check_plain(request)
        raise Failure(415, "unsupported_type", f"Send the image itself, as one of: {', '.join(IMAGE_TYPES)}.")
    return await receive_file(request, folder / f"image{suffix}", ticket)


async def receive_file(request: Request, path: Path, ticket: Ticket) -> Path:
    """Write the body of a request into a file; return its path. Errors as in `receive_image`, whatever the type."""
    check_plain(request)
    _check_length(request, ticket)
    with path.open("wb") as file:
        async for chunk in _chunks(request, ticket):
            file.write(chunk)
    if ticket.bytes == 0:
        raise Failure(400, "empty", "The body is empty; send an image.")
    return path


def with_volume_suffix(file: Path, name: str) -> Path:
    """Return a received file under the suffix of a volume, if its client named one; which tells some formats apart."""
    suffix = next((end for end in VOLUME_SUFFIXES if name.casefold().endswith(end)), "")
    return file.rename(file.with_name(f"image{suffix}")) if suffix else file


async def receive_bytes(request: Request, ticket: Ticket) -> bytes:
    """Return the body of a request; errors as in `receive_image`."""
    check_plain(request)
    _check_length(request, ticket)
    return b"".join([chunk async for chunk in _chunks(request, ticket)])


async def receive_small(request: Request, limit: int = 2**20) -> bytes:
    """Return a body of at most `limit` bytes, such as a mark."""
    parts, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Failure(413, "too_large", f"Send at most {limit} bytes.")
        parts.append(chunk)
    return b"".join(parts)


def _check_length(request: Request, ticket: Ticket) -> None:
    """Refuse by the announced length, before the body is read."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal():
        raise Failure(400, "bad_request", "Content-Length is not a number.")
    ticket.add_bytes(int(length))
    ticket.release_bytes(int(length))


async def _chunks(request: Request, ticket: Ticket) -> AsyncIterator[bytes]:
    began, stream = time.monotonic(), request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), _SECONDS_WITHOUT_DATA)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Failure(408, "slow_body", "The body arrives too slowly.") from None
        except ClientDisconnect:
            raise Failure(400, "incomplete", "The body broke off.") from None
        ticket.add_bytes(len(chunk))
        seconds = time.monotonic() - began
        if seconds > _GRACE_SECONDS and ticket.bytes < seconds * _MIN_BYTES_PER_SECOND:
            raise Failure(408, "slow_body", "The body arrives too slowly.")
        yield chunk


class UnreadBodyMiddleware:
    """Reads the rest of a short body before a refusal is sent.

    A connection that is closed while data arrives is reset, and the client may lose the answer (RFC 9112, section
    9.6). Clients that wait for `100 Continue` have not sent their body, and are answered at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, ended, began = Headers(scope=scope), False, False

        async def receive_noted() -> Message:
            nonlocal ended, began
            message = await receive()
            began = True
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def read_rest() -> None:
            length = headers.get("content-length", "0")
            waits = "expect" in headers and not began
            left = _MAX_UNREAD if not waits and length.isdecimal() and int(length) <= _MAX_UNREAD else 0
            while left > 0 and not ended:
                left -= len((await receive_noted()).get("body", b""))

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400 and not ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(read_rest(), _SECONDS_UNREAD)
            await send(message)

        await self._app(scope, receive_noted, send_after_body)
