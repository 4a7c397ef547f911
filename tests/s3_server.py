"""A small S3 server on this machine for tests, in a thread; with `careless` it ignores conditions of writes.

With PIXELWISE_TEST_MOTO it is that of moto instead, which other people wrote.
"""

import hashlib
import os
import re
import threading
import urllib.request
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from xml.sax.saxutils import escape, unescape

import pytest

BUCKET = "pictures"
Start = Callable[[str, list[tuple[str, str]]], Any]
_MODIFIED = "2026-01-01T00:00:00.000Z", "Thu, 01 Jan 2026 00:00:00 GMT"


def needs_server() -> None:
    """Skip a test module where the client is not installed."""
    pytest.importorskip("obstore")


class Bucket:
    """The objects of one bucket: GET (also of a range), HEAD, PUT (also only if there is none), DELETE, and lists."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        bucket, _, key = environ["PATH_INFO"].lstrip("/").encode("latin-1").decode().partition("/")
        answer: Callable[[dict[str, Any], str], tuple[str, bytes]] = getattr(self, environ["REQUEST_METHOD"].lower())
        known = bucket == BUCKET
        status, body = answer(environ, key) if known else ("404 Not Found", error("NoSuchBucket", bucket))
        headers = [("Content-Length", str(len(body))), ("Last-Modified", _MODIFIED[1])]
        if key in self.objects:
            headers.append(("ETag", mark(self.objects[key])))
        if status.startswith("206"):
            headers.append(("Content-Range", f"bytes {environ['first']}-{environ['last']}/{len(self.objects[key])}"))
        if environ["REQUEST_METHOD"] == "HEAD":
            headers[0], body = ("Content-Length", str(len(self.objects.get(key, b"")))), b""
        start(status, headers)
        return [body]

    def get(self, environ: dict[str, Any], key: str) -> tuple[str, bytes]:
        if not key:
            return "200 OK", self._list(parse_qs(environ["QUERY_STRING"]))
        if key not in self.objects:
            return "404 Not Found", error("NoSuchKey", key)
        asked = environ.get("HTTP_RANGE", "")
        if not asked:
            return "200 OK", self.objects[key]
        first, last = asked.removeprefix("bytes=").split("-")
        size = len(self.objects[key])
        begin = int(first) if first else size - int(last)
        end = min(int(last), size - 1) if first and last else size - 1
        environ |= {"first": begin, "last": end}
        return "206 Partial Content", self.objects[key][begin : end + 1]

    def head(self, environ: dict[str, Any], key: str) -> tuple[str, bytes]:
        return ("200 OK" if key in self.objects else "404 Not Found"), b""

    def put(self, environ: dict[str, Any], key: str) -> tuple[str, bytes]:
        content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
        if not key:
            return "200 OK", b""  # the bucket itself
        with self._lock:
            if key in self.objects and environ.get("HTTP_IF_NONE_MATCH") == "*":
                return "412 Precondition Failed", error("PreconditionFailed", key)
            self.objects[key] = content
        return "200 OK", b""

    def delete(self, environ: dict[str, Any], key: str) -> tuple[str, bytes]:
        self.objects.pop(key, None)
        return "204 No Content", b""

    def post(self, environ: dict[str, Any], key: str) -> tuple[str, bytes]:
        """Delete several objects, the only question of this kind that is asked."""
        content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)).decode()
        for name in re.findall("<Key>(.*?)</Key>", content):
            self.objects.pop(unescape(name), None)
        return "200 OK", b"<DeleteResult></DeleteResult>"

    def _list(self, query: dict[str, list[str]]) -> bytes:
        keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", [""])[0]))
        rows = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><LastModified>{_MODIFIED[0]}</LastModified>"
            f"<ETag>{escape(mark(self.objects[key]))}</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys
        )
        head = f"<Name>{BUCKET}</Name><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}<EncodingType>url</EncodingType>{rows}</ListBucketResult>".encode()


def mark(content: bytes) -> str:
    """Return the ETag of an object."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def error(code: str, key: str) -> bytes:
    """Return the answer of a store that refuses."""
    return f"<Error><Code>{code}</Code><Message>{code}</Message><Key>{escape(key)}</Key></Error>".encode()


class _Server(WSGIServer):
    """A server that waits for each answer in a thread of its own."""

    def process_request(self, request: Any, client_address: Any) -> None:
        threading.Thread(target=self._answer, args=(request, client_address), daemon=True).start()

    def _answer(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.shutdown_request(request)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing about requests."""


def application_of_moto() -> Any:
    """Return the server of moto with the bucket."""
    server: Any = import_module("moto.server")
    return server.DomainDispatcherApplication(server.create_backend_app)


@contextmanager
def serving(*, careless: bool = False) -> Generator[dict[str, str], None, None]:
    """Run a server with an empty bucket; yield the environment variables that lead to it."""
    inner: Any = application_of_moto() if os.environ.get("PIXELWISE_TEST_MOTO") else Bucket()

    def application(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/moto-api/reset" and isinstance(inner, Bucket):
            inner.objects.clear()
            start("200 OK", [("Content-Length", "0")])
            return [b""]
        if careless:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        return inner(environ, start)

    server = _Server(("127.0.0.1", 0), _Silent)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    try:
        yield environment
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_bucket(environment: dict[str, str]) -> None:
    """Make the bucket, empty."""
    for path, method in (("/moto-api/reset", "POST"), (f"/{BUCKET}", "PUT")):
        request = urllib.request.Request(environment["AWS_ENDPOINT_URL"] + path, method=method)
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=user/20260101/us-east-1/s3/aws4_request")
        urllib.request.urlopen(request, timeout=30).read()
