"""A web server on this machine that can fail in the ways that web servers do."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = b"x" * 2**16


class Served:
    """The server's address, its files by path, and the paths that were asked for.

    `/truncated` announces twice what it sends, `/endless` never stops, `/large` announces a terabyte, `/away` leads to
    another machine and `/moved` to `/there`.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, list[str]()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self._open = True

    def close(self) -> None:
        """Stop: from now on nobody answers."""
        if self._open:
            self._open = False
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked.append(self.path)
                content = served.files.get(self.path, b"")
                places = {"/away": "http://example.org/x.pth", "/moved": f"{served.root}/there"}
                if self.path in places:
                    self._begin(302, {"Location": places[self.path], "Content-Length": "0"})
                elif self.path == "/endless":
                    self._begin(200, {})
                    self._pour()
                elif self.path == "/large":
                    self._begin(200, {"Content-Length": str(10**12)})
                elif not content:
                    self._begin(404, {"Content-Length": "0"})
                else:
                    more = 2 if self.path == "/truncated" else 1
                    self._begin(200, {"Content-Length": str(more * len(content))})
                    self.wfile.write(content)

            def _begin(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def _pour(self) -> None:
                try:
                    while True:
                        self.wfile.write(BLOCK)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def serve(files: dict[str, bytes]) -> Generator[Served]:
    """Serve files by path on a free port of this machine."""
    served = Served(files)
    try:
        yield served
    finally:
        served.close()
