"""A journal returns all valid records up to the first damaged one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.io.journal import Journal

RECORDS = [{"number": number, "text": "é" * number} for number in range(6)]


def written(path: Path) -> bytes:
    journal = Journal(path, path)
    for record in RECORDS:
        journal.append(record)
    journal.sync()
    journal.close()
    return path.read_bytes()


def left(path: Path) -> list[dict[str, object]]:
    journal = Journal(path, path)
    result = [record for record, _ in journal.records()]
    journal.close()
    return result


@given(cut=st.integers(0, 400), junk=st.binary(max_size=20))
def test_an_incomplete_end_is_not_read(tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    data = written(path)
    path.write_bytes(data[: max(0, len(data) - cut)] + junk)
    result = left(path)
    assert result == RECORDS[: len(result)]
    whole = data[: max(0, len(data) - cut)].count(b"\n")
    assert len(result) == whole


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_reading_stops_at_a_flipped_bit(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    data = bytearray(written(path))
    place %= len(data)
    damaged = bytes(data[:place]).count(b"\n")
    data[place] ^= 1 << bit
    path.write_bytes(data)
    assert left(path) == RECORDS[:damaged]


def test_appending_after_a_cut(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    journal = Journal(tmp_path / "journal", tmp_path)
    ends = [end for _, end in journal.records()]
    journal.cut(ends[1])
    journal.append({"new": 1})
    journal.close()
    assert left(tmp_path / "journal") == [*RECORDS[:2], {"new": 1}]
