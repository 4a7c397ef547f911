"""CSV tables: no cell is a formula, and all read back."""

import csv
import re
from pathlib import Path

import pytest

from pixelwise.csv_table import atomic_write_csv, read_csv

NAMES = ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''", "a\nb", "plain", "＝1", ""]


def test_no_cell_is_a_formula_of_a_spreadsheet_and_all_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starts() -> str:
        atomic_write_csv(tmp_path / "a.csv", ("name", "=x", "text"), [(name, -1.5, "-1.5") for name in NAMES])
        with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert [row[1:] for row in rows[1:]] == [["-1.5", "-1.5"]] * len(NAMES), "numbers stay numbers"
        return "".join(row[0][:1] for row in rows)

    assert not set(starts()) & set("=+-@\t\r＝")
    rows = read_csv(tmp_path / "a.csv")
    assert rows == [{"name": name, "=x": "-1.5", "text": "-1.5"} for name in NAMES]
    monkeypatch.setattr("pixelwise.csv_table._FORMULA", re.compile("never"))
    assert set(starts()) & set("=+-@\t\r"), "control"
