"""Parity report and parity data that were changed: refused in one line, and never believed beyond the usual limits."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import ODD, accept_or_refuse, examples, places, replaced
from pixelwise.errors import BadModel
from pixelwise.exporters.description import Limits
from pixelwise.exporters.parity_report import (
    parity_data_path,
    parity_report_path,
    read_parity_data,
    read_parity_report,
    write_parity_data,
    write_parity_report,
)
from pixelwise.exporters.samples import ParityBatch
from pixelwise.exporters.verification import _strictest

LIMITS = Limits(difference=1e-4, probability_difference=None, disagreement=0.0, score_loss=0.1)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported file with its report and its data."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a graph")
    image, scale = np.zeros((1, 1, 4, 4), np.uint8), np.zeros((1, 1))
    batches = [ParityBatch(image, scale, scale, np.zeros((1, 4, 4), np.uint8), np.zeros((1, 2, 4, 4), np.float32))]
    write_parity_data(path, batches)
    write_parity_report(path, "onnx", {path.name: path}, [], LIMITS, batches, {})
    return path


def test_what_was_written_is_read(exported: Path) -> None:
    assert read_parity_report(exported)["format"] == "onnx"
    assert len(read_parity_data(exported)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": {}},
        {"format": "openvino"},
        {"format": "rubbish"},
        {"limits": {"score_loss": "all"}},
        {"limits": [1]},
        {"sha256": {"": "x"}},
    ],
)
def test_reports_about_something_else_are_refused(changes: dict[str, Any], exported: Path) -> None:
    path = parity_report_path(exported)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    with pytest.raises(BadModel):
        read_parity_report(exported)


def test_mutated_reports_are_read_or_refused(exported: Path) -> None:
    path = parity_report_path(exported)
    original = json.loads(path.read_text(encoding="utf-8"))

    @examples(60)
    @given(at=st.sampled_from(places(original)), new=st.sampled_from([*ODD, "[" * 50_000, "x" * 5_000]))
    def check(at: tuple[Any, ...], new: Any) -> None:
        path.write_text(json.dumps(replaced(original, at, new)), encoding="utf-8")
        accept_or_refuse(lambda: read_parity_report(exported))

    check()
    path.write_text("[" * 100_000, encoding="utf-8")
    assert not accept_or_refuse(lambda: read_parity_report(exported))


def _header_of_terabytes() -> bytes:
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1, 1, 10**6, 10**6)}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
    return file.getvalue()


def _archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


DATA: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no archive": lambda: b"PK\x03\x04" + bytes(50),
    "no arrays": lambda: _archive(),
    "other arrays": lambda: _archive(image_0=np.zeros(3), a=1, b=2, c=3, d=4),
    "arrays of different lengths": lambda: _archive(
        image_0=np.zeros((2, 1, 4, 4)), mean_0=np.zeros((1, 1)), std_0=np.ones((1, 1)), truth_0=np.zeros((1, 4, 4)),
        logits_0=np.zeros((1, 2, 4, 4)),
    ),
    "terabytes": _header_of_terabytes,
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_damaged_data_are_refused(name: str, exported: Path) -> None:
    path = parity_data_path(exported)
    path.write_bytes(DATA[name]())
    report = json.loads(parity_report_path(exported).read_text(encoding="utf-8"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    parity_report_path(exported).write_text(json.dumps(report | {"data_sha256": digest}), encoding="utf-8")
    assert read_parity_report(exported), "its digest is right"
    with pytest.raises(BadModel, match="parity data"):
        read_parity_data(exported)


def test_a_report_cannot_widen_the_usual_limits() -> None:
    wide = Limits(difference=1e9, probability_difference=0.5, disagreement=None, score_loss=1e-3)
    expected = Limits(difference=1e-4, probability_difference=0.5, disagreement=0.0, score_loss=1e-3)
    assert _strictest(wide, LIMITS) == expected
