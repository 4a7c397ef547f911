"""The marks of one image on disk: a journal that only grows, each line with a checksum."""

import time
from pathlib import Path
from typing import Any

from pixelwise.io.journal import Journal
from pixelwise.server.failures import Failure
from pixelwise.server.marks.records import Mark, Undo, mark_from_record

MAX_MARKS = 100_000


class MarkJournal:
    """The marks of an image; a mark is on disk before `add` returns.

    A line that was cut off by a crash is dropped when the journal is opened: at most the mark that was never
    acknowledged.

    Parameters
    ----------
    path : Path
        The file; its folder is created.

    Attributes
    ----------
    marks : list of (int, Mark)
        All marks with their ids, which count from 1.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(path, path)
        self.marks: list[tuple[int, Mark]] = []
        self._ids: dict[str, int] = {}
        valid = 0
        for record, end in self._journal.records():
            self._remember(record["id"], mark_from_record(record))
            valid = end
        self._journal.cut(valid)

    def add(self, mark: Mark) -> int:
        """Append a mark; return its id. A mark with a known `key` is not added again.

        Raises
        ------
        Failure
            409: an undo of a mark that does not exist; 413: too many marks.
        """
        known = self.id_of(mark.key)
        if known is not None:
            return known
        if isinstance(mark, Undo) and mark.of > len(self.marks):
            raise Failure(409, "unknown_mark", "There is no such mark.")
        if len(self.marks) >= MAX_MARKS:
            raise Failure(413, "too_many_marks", f"An image can have {MAX_MARKS} marks.")
        number = len(self.marks) + 1
        record: dict[str, Any] = {"id": number, "at": round(time.time(), 3), **mark.model_dump()}
        self._journal.append(record)
        self._journal.sync()
        self._remember(number, mark)
        return number

    def id_of(self, key: str) -> int | None:
        """Return the id of the mark with a key, if there is one."""
        return self._ids.get(key)

    def after(self, number: int) -> list[dict[str, Any]]:
        """Return the marks with ids above `number`, as JSON-ready records."""
        return [{"id": own, **mark.model_dump()} for own, mark in self.marks[max(0, number) :]]

    def close(self) -> None:
        """Close the file."""
        self._journal.close()

    def _remember(self, number: int, mark: Mark) -> None:
        self.marks.append((number, mark))
        if mark.key:
            self._ids[mark.key] = number
