"""A browser that paints on the page of the studio without end, and is killed or reloaded in the middle of it.

Used by `studio_kills`. Needs playwright and a chromium on the path.
"""

import importlib.util
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PATIENCE = 120.0  # seconds for a browser to start, to paint a mark, and to stop
BRUSH = "b"  # its key
STEPS = 12  # moves of the mouse in a stroke


def can_paint() -> bool:
    """Return whether there is a browser and what drives it."""
    return CHROMIUM is not None and importlib.util.find_spec("playwright") is not None and Path("/proc/self").exists()


class Painter(threading.Thread):
    """Paints strokes on an image; a browser that was killed is started again.

    Parameters
    ----------
    link : callable
        Returns a new link to the page.
    image : str
        Its id.
    profile : Path
        The folder of the browser, by which its process is found.
    acknowledged : dict
        Filled with the number of each mark, by its key, once the page has the answer of the server.
    seed : int
    """

    def __init__(
        self, link: Callable[[], str], image: str, profile: Path, acknowledged: dict[str, int], seed: int
    ) -> None:
        super().__init__(daemon=True)
        self._link, self._image, self._profile, self._acknowledged = link, image, profile, acknowledged
        self._random = random.Random(seed)
        self._painting, self._reload, self.stopping = threading.Event(), threading.Event(), False
        self.start()

    def disturb(self, kind: str) -> bool:
        """Kill the browser, or have the page reloaded, while it paints; return whether that was possible.

        It has painted a mark since it was last disturbed, and the server has acknowledged it.
        """
        if not self._painting.wait(PATIENCE):
            return False
        time.sleep(self._random.uniform(0, 0.3))
        self._painting.clear()
        if kind == "reload":
            self._reload.set()
            return True
        pid = self._pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def close(self) -> None:
        """Stop painting and close the browser."""
        self.stopping = True
        self.join()  # its steps end by themselves; one that still paints would paint on the next server

    def run(self) -> None:
        """Paint, and start again whatever broke."""
        from playwright.sync_api import Error, sync_playwright

        while not self.stopping:
            try:
                with sync_playwright() as driver:
                    self._paint_in(driver)
            except (Error, OSError, TimeoutError):
                self._painting.clear()

    def _paint_in(self, driver: Any) -> None:
        context = driver.chromium.launch_persistent_context(
            self._profile, executable_path=CHROMIUM, args=FLAGS, viewport={"width": 900, "height": 700}
        )
        page, answers = context.pages[0], list[Any]()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("response", lambda answer: answers.append(answer) if _is_mark(answer) else None)
        page.goto(self._link())
        self._begin(page)
        while not self.stopping:
            if self._stroke(page):
                self._note(page, answers)
            else:
                answers.clear()
        context.close()

    def _begin(self, page: Any) -> None:
        """Wait for the image, and take the brush."""
        ends = time.monotonic() + PATIENCE
        while page.evaluate("() => window.studioState && window.studioState().image") is None:
            if time.monotonic() > ends or self.stopping:
                raise TimeoutError("no image was shown")
            page.wait_for_timeout(50)
        page.click(f"[data-id='{self._image}'] button")
        while page.evaluate("() => window.studioState().image") != self._image and not self.stopping:
            page.wait_for_timeout(50)
        page.keyboard.press(BRUSH)

    def _stroke(self, page: Any) -> bool:
        """Paint a stroke; return False if the page was reloaded instead of ending it."""
        box = page.locator("[data-testid=canvas]").bounding_box()
        if box is None:
            raise TimeoutError("the page is gone")
        place = [box["x"] + box["width"] * self._random.uniform(0.3, 0.7),
                 box["y"] + box["height"] * self._random.uniform(0.3, 0.7)]  # fmt: skip
        page.mouse.move(*place)
        page.mouse.down()
        for _ in range(STEPS):
            place = [side + self._random.uniform(-9, 9) for side in place]
            page.mouse.move(*place)
            if self._reload.is_set():
                self._reload.clear()
                page.reload()
                self._begin(page)
                return False
        page.mouse.up()
        return True

    def _note(self, page: Any, answers: list[Any]) -> None:
        """Wait until the page has the answer to its stroke, however often it had to send it, and take it."""
        ends = time.monotonic() + PATIENCE
        while not answers:
            if time.monotonic() > ends or self.stopping:
                return
            page.wait_for_timeout(20)
        while answers:
            answer = answers.pop(0)
            self._acknowledged[answer.request.post_data_json["key"]] = answer.json()["id"]
        self._painting.set()

    def _pid(self) -> int | None:
        """Return the process id of the browser: the process of its profile that is no helper of another one."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if f"--user-data-dir={self._profile}".encode() in words and not any(
                w.startswith(b"--type=") for w in words
            ):
                return int(path.parent.name)
        return None


def _is_mark(answer: Any) -> bool:
    """Return whether an answer acknowledges a mark."""
    return answer.status == 201 and answer.request.method == "POST" and answer.url.endswith("/marks")
