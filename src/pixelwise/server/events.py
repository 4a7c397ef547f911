"""What happened, as a stream: one log on disk, whose byte offsets are the ids of server-sent events.

A page that reconnects names the last id that it saw (`Last-Event-ID`) and gets every later event once and in order,
also after the server was started again. Source: HTML Living Standard, section 9.2 "Server-sent events".
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from pixelwise.io.journal import open_for_update

ONCE = ("mark", "model", "image", "result")
"""Kinds of events that could come twice: a client asks again if an answer was lost, a server takes up what is done."""

_PING_SECONDS = 15.0
_ONCE_LINES = tuple(f'{{"kind":"{kind}"'.encode() for kind in ONCE)


class EventLog:
    """Events of a project, one JSON object per line.

    Parameters
    ----------
    path : Path
        Created if missing; an incomplete last line, left by a crash, is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_for_update(path)
        self._once: set[bytes] = set()
        self._end = self._repair()
        self._changed = asyncio.Event()

    @property
    def end(self) -> int:
        """The id of the last event: the offset of the end of the log."""
        return self._end

    def add_once(self, kind: str, **values: Any) -> None:
        """Append an event of `ONCE` unless it is in the log already, also of an earlier server."""
        line = _line(kind, values)
        if line not in self._once:
            self._once.add(line)
            self.add(kind, **values)

    def add(self, kind: str, **values: Any) -> int:
        """Append an event; return its id."""
        line = _line(kind, values)
        self._file.write(line)
        self._file.flush()
        self._end += len(line)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return self._end

    def after(self, event_id: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the events after an id, each with its id; an id that is no end of a line counts as the next one."""
        with self.path.open("rb") as file:
            file.seek(max(0, event_id - 1))
            if event_id > 0:
                file.readline()  # the rest of the line that ends at the id
            found: list[tuple[int, dict[str, Any]]] = []
            while line := file.readline():
                if line.endswith(b"\n"):
                    found.append((file.tell(), json.loads(line)))
            return found

    async def follow(self, event_id: int, stopping: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """Yield the events after an id as server-sent events, and then every new one, until the server stops."""
        event_id = min(max(0, event_id), self._end)
        yield b"retry: 1000\n\n"
        waited = 0.0
        while not stopping():
            changed = self._changed
            for reached, event in self.after(event_id):
                event_id = reached
                yield f"id: {event_id}\ndata: {json.dumps(event)}\n\n".encode()
            try:
                await asyncio.wait_for(changed.wait(), 0.5)
                waited = 0.0
            except TimeoutError:
                waited += 0.5
            if waited >= _PING_SECONDS:  # a comment keeps proxies from closing the stream
                waited = 0.0
                yield b": still here\n\n"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _repair(self) -> int:
        end = 0
        with self.path.open("rb") as file:
            for line in file:
                end += len(line) if line.endswith(b"\n") else 0
                if line.startswith(_ONCE_LINES):
                    self._once.add(line)
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)
        return end


def _line(kind: str, values: dict[str, Any]) -> bytes:
    return json.dumps({"kind": kind, **values}, separators=(",", ":")).encode() + b"\n"
