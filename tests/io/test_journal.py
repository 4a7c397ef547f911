"""A journal gives back what is whole, from the first record on, and nothing behind the first damage."""

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
    found = [record for record, _ in journal.records()]
    journal.close()
    return found


@given(cut=st.integers(0, 400), junk=st.binary(max_size=20))
def test_a_torn_end_is_not_read(tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    data = written(path)
    path.write_bytes(data[: max(0, len(data) - cut)] + junk)
    found = left(path)
    assert found == RECORDS[: len(found)]
    whole = data[: max(0, len(data) - cut)].count(b"\n")
    assert len(found) == whole


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_wrong_bit_ends_it(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    data = bytearray(written(path))
    place %= len(data)
    damaged = bytes(data[:place]).count(b"\n")
    data[place] ^= 1 << bit
    path.write_bytes(data)
    assert left(path) == RECORDS[:damaged]


def test_it_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    journal = Journal(tmp_path / "journal", tmp_path)
    ends = [end for _, end in journal.records()]
    journal.cut(ends[1])
    journal.append({"new": 1})
    journal.close()
    assert left(tmp_path / "journal") == [*RECORDS[:2], {"new": 1}]
