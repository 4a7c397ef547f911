"""A server in a process of its own, and a page of it in a headless Chromium."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bright import drawn_image, write_bright_model
from pixelwise.io.write import write_image
from server_process import SECONDS, Server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
MARKS = [pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")]

DESKTOP = {"width": 1280, "height": 800}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def chromium() -> Generator[Any, None, None]:
    """Yield a browser."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=SECONDS * 1000)
        yield browser
        browser.close()


@contextmanager
def opened(server: Server, **options: Any) -> Generator[Any, None, None]:
    """Yield the page of a server in a browser of its own; see `opened_in`."""
    with chromium() as browser, opened_in(browser, server, **options) as page:
        yield page


@contextmanager
def opened_in(browser: Any, server: Server, **options: Any) -> Generator[Any, None, None]:
    """Yield the page of a server, with every request and every message of the console recorded.

    `options` are those of `new_page`; by default the page is that of a desktop. Pages of one browser share nothing.
    """
    page = browser.new_page(**{"viewport": DESKTOP} | options)
    page.server = server
    page.set_default_timeout(SECONDS * 1000)
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on(
        "response",
        lambda answer: page.errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(server.link)
    until(page, lambda state: state["image"] is not None)
    yield page
    page.close()


@contextmanager
def serving(folder: Path, dimensions: int = 2) -> Generator[Server]:
    """Yield a server of `folder/data`, with a model that finds bright objects and `folder/project`."""
    write_bright_model(folder / "cells.safetensors", dimensions=dimensions)
    server = Server(str(folder / "cells.safetensors"), str(folder / "data"), "--out", str(folder / "project"))
    yield server
    assert server.close() == 0


@contextmanager
def opened_again(browser: Any, server: Server) -> Generator[Any]:
    """Yield a new page of a server of which another one may have been open."""
    server.link = server.get("/api/link", {})["link"]
    with opened_in(browser, server) as page:
        yield page


@contextmanager
def one_image(folder: Path) -> Generator[Any]:
    """Yield the page of a server of one image."""
    write_image(folder / "data" / "first.png", drawn_image(1, 64))
    with serving(folder) as server, opened(server) as page:
        yield page


def intercept(page: Any, pattern: str, handler: Callable[[Any], None]) -> None:
    """Let a handler answer requests, from now on.

    `page.route` returns before the page knows: on a busy machine, the first requests after it reach the server, and
    nobody hears of them. So a request is sent that only the driver answers, until it does.
    """
    page.route(pattern, handler)
    page.route("**/is-intercepted", lambda route: route.fulfill(status=204))
    until_true(page, "() => fetch('/is-intercepted').then((answer) => answer.status === 204)")


def state_of(page: Any) -> dict[str, Any]:
    """Return what the page says about itself."""
    return page.evaluate("() => window.studioState ? window.studioState() : { image: null }")


def until(page: Any, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a state; polled, because the page forbids the code that the driver's own waiting needs."""
    for _ in range(SECONDS * 10):
        state = state_of(page)
        if reached(state):
            return state
        page.wait_for_timeout(100)
    raise TimeoutError(str(state_of(page)))


def until_true(page: Any, script: str, *arguments: Any) -> None:
    """Wait until a script of the page returns something true."""
    for _ in range(SECONDS * 10):
        if page.evaluate(script, *arguments):
            return
        page.wait_for_timeout(100)
    raise TimeoutError(script)
