"""Requests that no program of good will sends, to a real server: each has its status, and the server goes on."""

import json
import socket
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from bright import drawn_image
from pixelwise.io.write import png_bytes
from server_process import SECONDS, Server

PNG = png_bytes(drawn_image(side=64))
DEEP = b"[" * 100_000
LATER = b"Content-Length: 99999999999\r\n"


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    running = Server(str(model), "--out", str(tmp_path_factory.mktemp("project")))
    assert answer(running, post("/predict", PNG, b"Content-Type: image/png\r\n")) == 200  # the workers have started
    yield running
    assert running.close() == 0


def answer(server: Server, request: bytes) -> int:
    """Send bytes, and return the status of the answer; 0 if the connection is closed without one."""
    host, _, port = server.origin.partition("//")[2].partition(":")
    request = request.replace(b"TOKEN", server.token.encode()).replace(b"HOST", f"{host}:{port}".encode())
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(request)
        head = connection.recv(1 << 16)
    return int(head.split(b" ")[1]) if head else 0


def head(line: str, extra: bytes = b"") -> bytes:
    return f"{line} HTTP/1.1\r\n".encode() + b"Host: HOST\r\nAuthorization: Bearer TOKEN\r\n" + extra + b"\r\n"


def post(path: str, body: bytes, extra: bytes = b"Content-Type: application/json\r\n") -> bytes:
    return head(f"POST {path}", extra + f"Content-Length: {len(body)}\r\n".encode()) + body


def infer(**changes: object) -> bytes:
    image = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0] * 64} | changes
    return post("/v2/models/cells/infer", json.dumps({"inputs": [image]}).encode())


def bomb() -> bytes:
    """A PNG header of 60,000 x 60,000 pixels before the samples of a small one."""
    place = PNG.index(b"IHDR") + 4
    return PNG[:place] + np.array([60_000, 60_000], ">u4").tobytes() + PNG[place + 8 :]


REQUESTS: dict[str, tuple[bytes, int]] = {
    "negative length": (head("POST /predict", b"Content-Length: -5\r\n"), 400),
    "two lengths": (head("POST /predict", b"Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
    "endless body": (head("POST /predict", b"Content-Type: image/png\r\n" + LATER), 413),
    "long path": (head("GET /" + "a" * 200_000), 400),
    "many headers": (head("GET /", b"".join(b"X-%d: %s\r\n" % (number, b"y" * 100) for number in range(5000))), 400),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200), 400),
    "unknown method": (head("PROPFIND /"), 405),
    "foreign host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer TOKEN\r\n\r\n", 403),
    "foreign origin": (head("GET /", b"Origin: http://evil.example\r\n"), 403),
    "path upwards": (head("GET /static/../../../../etc/passwd"), 404),
    "hidden path upwards": (head("GET /static/%2e%2e/%2e%2e/server/app.py"), 404),
    "tiles of a path": (head("GET /tiles/..%2f..%2fx/0/0_0.jpg"), 404),
    "events before all": (head("GET /api/events?after=-1"), 400),
    "compressed body": (post("/v2/models/cells/infer", b"x", b"Content-Encoding: gzip\r\n"), 415),
    "form": (post("/predict", PNG, b"Content-Type: multipart/form-data; boundary=x\r\n"), 415),
    "image of another type": (post("/predict", PNG, b"Content-Type: text/html\r\n"), 415),
    "image of 3.6 gigapixels": (post("/predict", bomb(), b"Content-Type: image/png\r\n"), 422),
    "nested JSON": (post("/v2/models/cells/infer", DEEP), 400),
    "nested job": (post("/api/jobs", DEEP), 400),
    "numbers without end": (post("/api/jobs", b'{"kind":' + b"9" * 10_000 + b"}"), 400),
    "half a character": (post("/api/jobs", b'{"kind":"\xed\xa0\x80"}'), 400),
    "infinite shape": (infer(shape=[1, 1, 2**40, 2**40]), 400),
    "negative shape": (infer(shape=[-1, 1, 8, 8]), 400),
    "shape of many axes": (infer(shape=[1] * 1000), 400),
    "another shape": (infer(shape=[1, 1, 8, 9]), 400),
    "unknown type": (infer(datatype="BYTES"), 400),
    "no type": (infer(datatype=None), 400),
    "name upwards": (post("/api/images?name=../../x.png", PNG, b"Content-Type: image/png\r\n"), 201),
    "long name": (post(f"/api/images?name={'x' * 5000}.png", PNG, b"Content-Type: image/png\r\n"), 400),
    "no image": (post("/api/images?name=a.png", b"<svg/>", b"Content-Type: image/png\r\n"), 422),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_the_right_status(server: Server, name: str) -> None:
    request, expected = REQUESTS[name]
    assert answer(server, request) == expected


def test_clients_that_send_nothing_keep_their_place_for_seconds(server: Server) -> None:
    host, _, port = server.origin.partition("//")[2].partition(":")
    request = head("POST /predict", b"Content-Type: image/png\r\nContent-Length: 1000\r\n")
    request = request.replace(b"TOKEN", server.token.encode()).replace(b"HOST", f"{host}:{port}".encode())
    with ExitStack() as silent:
        for _ in range(200):
            silent.enter_context(socket.create_connection((host, int(port)), timeout=SECONDS)).sendall(request)
        status = 503
        for _ in range(2 * SECONDS):
            status = answer(server, post("/predict", PNG, b"Content-Type: image/png\r\n"))
            if status != 503:
                break
            time.sleep(0.5)
        assert status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_memory_of_the_server_stays(server: Server) -> None:
    def resident() -> int:
        lines = Path(f"/proc/{server.process.pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

    before = resident()
    for request, _ in [*REQUESTS.values()] * 3:
        answer(server, request)
    assert resident() < before + (50 << 20)
