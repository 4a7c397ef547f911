"""Progress reports of long operations: messages and progress bars.

Commands take a `Progress`. The base class is silent; `Console` writes to standard error, so that standard
output contains only results.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pixelwise.errors import printable_lines

if TYPE_CHECKING:
    import numpy as np

Item = TypeVar("Item")
Advance = Callable[[int, str], None]

PICTURE_WIDTH = 72  # characters of an image in a terminal
BAR_DELAY = 1.0  # seconds before a bar appears


class Progress:
    """Silent progress report; the base class of all others."""

    def message(self, *sentences: str) -> None:
        """Show sentences, one per line."""

    def picture(self, pixels: "np.ndarray", caption: str) -> None:
        """Show an 8-bit RGB image (3, height, width), where images can be shown."""

    @contextmanager
    def bar(self, label: str, total: int) -> Generator[Advance, None, None]:
        """Show a progress bar while the block runs; yield `advance(count, note)`."""
        yield lambda count, note: None

    def track(self, items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
        """Yield `items`, advancing a progress bar by one after each."""
        with self.bar(label, total) as advance:
            for item in items:
                yield item
                advance(1, "")


class Console(Progress):
    """Messages and progress bars on standard error, drawn by rich; without a terminal a sentence replaces a bar."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(stderr=True, soft_wrap=True, highlight=False)

    def message(self, *sentences: str) -> None:
        """Show sentences, one per line."""
        for sentence in sentences:
            self._console.print(printable_lines(sentence), markup=False)

    def picture(self, pixels: "np.ndarray", caption: str) -> None:
        """Draw an image in half blocks, two pixels per character; do nothing without a terminal."""
        if not self._console.is_terminal:
            return
        from rich.text import Text

        thin = max(1, -(-pixels.shape[2] // min(PICTURE_WIDTH, self._console.width)))
        rows = pixels[:, ::thin, ::thin].transpose(1, 2, 0)
        text = Text()
        for upper, lower in zip(rows[::2], rows[1::2], strict=False):
            for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
                text.append("\u2580", f"rgb({above[0]},{above[1]},{above[2]}) on rgb({below[0]},{below[1]},{below[2]})")
            text.append("\n")
        self.message(caption)
        self._console.print(text)

    @contextmanager
    def bar(self, label: str, total: int) -> Generator[Advance, None, None]:
        """Show the fraction done, the elapsed and the remaining time, once the work has taken a second.

        In a file or a pipe one sentence at the end states how long the work took.
        """
        if not self._console.is_terminal:
            yield from self._sentence(label, total)
            return
        from rich import progress as rich_progress

        bars = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.TaskProgressColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("left"),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
        )
        task = bars.add_task(label, total=total, note="")
        began = time.monotonic()

        def advance(count: int, note: str) -> None:
            if not bars.live.is_started and time.monotonic() - began > BAR_DELAY:
                bars.start()
            bars.update(task, advance=count, note=note)

        try:
            yield advance
        finally:
            if bars.live.is_started:
                bars.stop()

    def _sentence(self, label: str, total: int) -> Generator[Advance, None, None]:
        began, done, last = time.monotonic(), 0, ""

        def advance(count: int, note: str) -> None:
            nonlocal done, last
            done, last = done + count, note or last

        try:
            yield advance
        finally:
            seconds = time.monotonic() - began
            if seconds > BAR_DELAY:
                share = "done" if done >= total else f"{done / total:.0%} done"
                self.message(
                    f"{label}: {share} in {seconds:.0f} s" + (f" ({' '.join(last.split())})." if last else ".")
                )
