"""A refusal reaches a client that is still sending its body."""

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from pixelwise.server.bodies import UnreadBodyMiddleware

REFUSED = 503


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 and read nothing of the body."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": REFUSED, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"full"})


@contextmanager
def serving(app: ASGIApp) -> Generator[int, None, None]:
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
    server, sock = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def post(port: int, size: int, pause: float = 0.2, *headers: str) -> bytes:
    """Send the head, then the body after a pause, and read the answer; empty if the connection was reset."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        lines = ["POST / HTTP/1.1", "Host: localhost", f"Content-Length: {size}", "Connection: close", *headers]
        try:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            time.sleep(pause)
            for _ in range(0, size, 2**16):
                connection.sendall(bytes(2**16))
            answer = b""
            while part := connection.recv(2**16):
                answer += part
        except OSError:
            return b""
    return answer


@pytest.mark.parametrize("wrap", [UnreadBodyMiddleware, lambda app: app], ids=["read", "control"])
def test_the_refusal_arrives(wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    with serving(wrap(refuse)) as port:
        answer = post(port, 2**20)
    assert answer.startswith(b"HTTP/1.1 503") == (wrap is UnreadBodyMiddleware)


def test_a_client_that_never_sends_its_body_is_answered() -> None:
    with serving(UnreadBodyMiddleware(refuse)) as port:
        waiting = socket.create_connection(("127.0.0.1", port), timeout=20)
        with waiting:
            waiting.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
            assert waiting.recv(2**16).startswith(b"HTTP/1.1 503")


def test_who_waits_for_100_continue_sends_nothing() -> None:
    with serving(UnreadBodyMiddleware(refuse)) as port:
        waiting = socket.create_connection(("127.0.0.1", port), timeout=20)
        with waiting:
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
            waiting.sendall(head)
            assert waiting.recv(2**16).startswith(b"HTTP/1.1 503")
