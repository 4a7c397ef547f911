"""What long work says while it runs: plain sentences and bars with the time left.

Verbs take a `Progress` and talk to it; `Progress` itself is silent, `Console` shows on standard error, so
that standard output carries results alone.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Advance = Callable[[int, str], None]


class Progress:
    """Says nothing; the base of everything that says something."""

    def tell(self, *sentences: str) -> None:
        """Say plain sentences, a line each."""

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Advance]:
        """Show a bar while the block runs; it gets `advance(count, note)`."""
        yield lambda count, note: None

    def track(self, items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
        """Yield `items`, advancing a bar by one after each."""
        with self.bar(label, total) as advance:
            for item in items:
                yield item
                advance(1, "")


class Console(Progress):
    """Sentences and bars on standard error, drawn by rich."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        self._console = RichConsole(stderr=True, soft_wrap=True, highlight=False)

    def tell(self, *sentences: str) -> None:
        """Say plain sentences, a line each."""
        for sentence in sentences:
            self._console.print(sentence, markup=False)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Advance]:
        """Show a bar with the share done, the time used and the time left."""
        from rich import progress as rich_progress

        with rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("left"),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
        ) as bars:
            task = bars.add_task(label, total=total, note="")
            yield lambda count, note: bars.update(task, advance=count, note=note)
