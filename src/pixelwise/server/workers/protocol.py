"""Requests and replies between the server and its child processes, over standard input and output.

A request is one line of JSON: `id`, `call` and `arguments`. A reply is one line of JSON with the number of bytes that
follow it. Nothing is pickled, and a reply may be larger than a pipe.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, BinaryIO

from pixelwise.errors import PixelwiseError

READY = 0
"""The id of the reply that a worker sends once it can work."""


@dataclass(frozen=True)
class Reply:
    """The answer to a call: JSON-ready values, and bytes such as a picture."""

    value: dict[str, Any] = field(default_factory=dict[str, Any])
    payload: bytes = b""


Call = Callable[..., Reply]


def run_worker(calls: Mapping[str, Call], *, prepare: Callable[[], Reply] | None = None, threads: int = 1) -> None:
    """Answer calls until standard input ends.

    Standard output belongs to the replies; what libraries print goes to standard error. When the server ends, its end
    of the pipe closes, and this process ends at once, even within a call.

    Parameters
    ----------
    calls : mapping
        Function by name; the arguments are keywords.
    prepare : callable, optional
        Called before the first request, such as loading a model; its reply has the id `READY`.
    threads : int
        How many calls may run at the same time.
    """
    lock = Lock()
    with os.fdopen(os.dup(1), "wb") as output, ThreadPoolExecutor(threads) as pool:
        os.dup2(2, 1)
        _answer(output, lock, READY, prepare or Reply, {})
        for line in sys.stdin.buffer:
            request = json.loads(line)
            pool.submit(_answer, output, lock, request["id"], calls[request["call"]], request["arguments"])
        os._exit(0)  # the server is gone: nobody waits for what still runs


def _answer(output: BinaryIO, lock: Lock, number: int, call: Call, arguments: Mapping[str, Any]) -> None:
    try:
        reply, head = call(**arguments), {"ok": True}
    except PixelwiseError as error:
        reply, head = Reply(describe_error(error)), {"ok": False}
    except MemoryError:
        reply, head = (
            Reply({"kind": "MemoryError", "text": "The image needs more memory than there is."}),
            {"ok": False},
        )
    except Exception:  # a mistake of the program: it is logged, and the worker goes on
        traceback.print_exc()
        reply, head = Reply({"kind": "Internal", "text": "An internal error; the log has its details."}), {"ok": False}
    line = json.dumps({"id": number, **head, "value": reply.value, "bytes": len(reply.payload)})
    with lock:
        output.write(line.encode() + b"\n")
        output.write(reply.payload)
        output.flush()


def describe_error(error: PixelwiseError) -> dict[str, Any]:
    """Return an error as JSON-ready values, without the path: clients do not learn where files are.

    Examples
    --------
    >>> from pixelwise.errors import BadImage
    >>> describe_error(BadImage("an image", "an empty file", "Export it again.", "/home/ada/x.png"))["text"]
    'Expected an image; got an empty file. Export it again.'
    """
    return {
        "kind": type(error).__name__,
        "text": f"Expected {error.expected}; got {error.got}. {error.hint}",
    }
