"""The journal of marks: nothing acknowledged is lost, nothing counts twice."""

from pathlib import Path

import pytest

from pixelwise.errors import OutputFailed
from pixelwise.server.failures import Failure
from pixelwise.server.marks.mark_journal import MarkJournal
from pixelwise.server.marks.records import Stroke, Undo, active_shapes


def dot(x: float, key: str = "") -> Stroke:
    return Stroke(kind="stroke", class_index=1, radius=2, points=[(x, 0)], key=key)


def test_marks_are_there_after_a_restart_and_undo_is_a_mark(tmp_path: Path) -> None:
    journal = MarkJournal(tmp_path / "marks" / "a.journal")
    assert [journal.add(dot(1)), journal.add(dot(2)), journal.add(Undo(kind="undo", of=2))] == [1, 2, 3]
    journal.close()
    again = MarkJournal(tmp_path / "marks" / "a.journal")
    assert [number for number, _ in active_shapes(again.marks)] == [1]
    assert again.add(Undo(kind="undo", of=3)) == 4
    assert [number for number, _ in active_shapes(again.marks)] == [1, 2]
    assert [record["id"] for record in again.after(2)] == [3, 4]
    again.close()


def test_a_mark_that_is_sent_twice_counts_once(tmp_path: Path) -> None:
    journal = MarkJournal(tmp_path / "a.journal")
    assert [journal.add(dot(1, "k")), journal.add(dot(1, "k")), journal.add(dot(1, "l"))] == [1, 1, 2]
    journal.close()
    again = MarkJournal(tmp_path / "a.journal")
    assert again.add(dot(1, "l")) == 2
    again.close()


def test_a_crash_at_any_byte_loses_at_most_the_last_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = MarkJournal(path)
    ends = [0]
    for x in range(3):
        journal.add(dot(x))
        ends.append(path.stat().st_size)
    journal.close()
    content = path.read_bytes()
    for size in range(0, len(content) + 1, 7):
        path.write_bytes(content[:size])
        again = MarkJournal(path)
        kept = sum(end <= size for end in ends) - 1
        assert [mark for _, mark in again.marks] == [dot(x) for x in range(kept)]
        assert again.add(dot(9)) == kept + 1
        again.close()


def test_a_damaged_line_ends_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = MarkJournal(path)
    journal.add(dot(1))
    first = path.stat().st_size
    journal.add(dot(2))
    journal.close()
    content = bytearray(path.read_bytes())
    content[first + 20] ^= 1
    path.write_bytes(content)
    again = MarkJournal(path)
    assert len(again.marks) == 1
    again.close()


def test_one_server_per_journal_and_no_undo_of_nothing(tmp_path: Path) -> None:
    journal = MarkJournal(tmp_path / "a.journal")
    with pytest.raises(OutputFailed):
        MarkJournal(tmp_path / "a.journal")
    with pytest.raises(Failure) as unknown:
        journal.add(Undo(kind="undo", of=1))
    assert unknown.value.status == 409
    journal.close()
