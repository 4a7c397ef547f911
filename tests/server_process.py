"""`pixelwise serve` in a process of its own."""

import json
import signal
import subprocess
import sys
import urllib.request
from typing import Any

SECONDS = 240  # machines of tests are busy


class Server:
    """A running server, with its link, its origin and its token."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "pixelwise", "serve", *words, "--port", "0", "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.link = self.process.stdout.readline().strip()
        self.origin = self.link.partition("/open/")[0]
        self.token = self.process.stderr.readline().rpartition(" ")[2].strip()

    def get(self, path: str, body: Any = None) -> Any:
        """Return an answer as JSON; with a body, that of a POST."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, content, headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.loads(answer.read())

    def close(self) -> int:
        """Stop as an operator does; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=SECONDS)
        return self.process.returncode
