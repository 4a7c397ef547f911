"""Outlines of masks decide where masks and images agree too weakly for the set to decide."""

from pathlib import Path

import numpy as np
import pytest

from drawn import save
from pixelwise.datasets.checks.agreement import Agreement
from pixelwise.datasets.checks.alignment import Alignment
from pixelwise.datasets.checks.shifts import move
from pixelwise.datasets.dataset import DataOptions
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis import mask_findings
from pixelwise.workflow.diagnosis.diagnosis import diagnose
from spots import spots, write_spots


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set with a flipped mask and a shifted one."""
    folder = write_spots(tmp_path / "data", 8)
    save(folder / "masks" / "spots_3.png", np.fliplr(spots(3)[1]) * np.uint8(255))
    save(folder / "masks" / "spots_5.png", move(spots(5)[1], 4, -9) * np.uint8(255))
    return folder


def found(folder: Path, monkeypatch: pytest.MonkeyPatch, own: float) -> dict[str, str]:
    """What is found where the set itself decides nothing."""

    def undecided(agreement: Agreement, **_: object) -> list[Alignment]:
        return [Alignment(own=own) for _ in agreement.cases]

    monkeypatch.setattr(mask_findings, "find_misaligned", undecided)
    return {one.files[0]: one.kind for one in diagnose(folder, DataOptions(), Progress()).findings}


def test_outlines_decide_in_a_weak_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_findings, "STRONG_SET", 2.0)
    kinds = {"masks/spots_3.png": "flipped mask", "masks/spots_5.png": "shifted mask"}
    assert found(folder, monkeypatch, 0.1) == kinds
    assert found(folder, monkeypatch, 3.0) == {}, "masks that agree better than usual are not looked at"


def test_outlines_are_not_looked_at_in_a_strong_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(folder, monkeypatch, 0.1) == {}
