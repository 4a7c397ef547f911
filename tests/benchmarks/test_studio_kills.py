"""The campaign of kills: what it looks for, and a short one."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import studio_painter
from studio_kills import BROWSER_VICTIMS, Campaign
from studio_losses import find_lost_marks, find_wrong_events
from studio_painter import can_paint

MARKS = {"a": [{"id": 1, "key": "x"}, {"id": 2, "key": "y"}]}
LOG: list[tuple[int, dict[str, Any]]] = [
    (10, {"kind": "mark", "image": "a", "id": 1}),
    (20, {"kind": "mark", "image": "a", "id": 2}),
    (30, {"kind": "metrics", "job": "0001", "row": {"step": 5.0}}),
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / "metrics.csv").write_text("step,val_score\n5,0.5\n", encoding="utf-8")
    return tmp_path


def test_nothing_is_found_where_nothing_is_wrong(runs: Path) -> None:
    assert find_lost_marks({"x": ("a", 1), "y": ("a", 2)}, MARKS) == []
    assert find_wrong_events(LOG, LOG, MARKS, runs) == []
    assert find_wrong_events(LOG[:1], LOG, MARKS, runs) == [], "the rest was not received yet"


@pytest.mark.parametrize(
    ("acknowledged", "marks"),
    [
        ({"z": ("a", 3)}, MARKS),
        ({"x": ("a", 2)}, MARKS),
        ({}, {"a": [{"id": 1, "key": "x"}, {"id": 3, "key": "y"}]}),
        ({}, {"a": [{"id": 1, "key": "x"}, {"id": 2, "key": "x"}]}),
    ],
)
def test_lost_and_doubled_marks_are_found(acknowledged: dict[str, tuple[str, int]], marks: dict[str, Any]) -> None:
    assert find_lost_marks(acknowledged, marks)


@pytest.mark.parametrize(
    ("received", "log"),
    [
        ([LOG[0], LOG[0]], LOG),
        ([LOG[1]], LOG),
        ([], [LOG[0], LOG[1], (25, LOG[1][1]), LOG[2]]),
        ([], [LOG[0], LOG[2]]),
        ([], [*LOG, (40, LOG[2][1])]),
        ([], LOG[:2]),
    ],
)
def test_lost_and_doubled_events_are_found(received: list[Any], log: list[Any], runs: Path) -> None:
    assert find_wrong_events(received, log, MARKS, runs)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_a_short_campaign_loses_nothing(tmp_path: Path) -> None:
    with closing(Campaign(tmp_path, steps=40, seed=3)) as campaign:
        campaign.kill(4)
        assert campaign.finish() == []
    assert sum(campaign.observed.kills.values()) > 0
    assert campaign.observed.marks


@pytest.mark.slow
@pytest.mark.skipif(not can_paint(), reason="there is no playwright, or no chromium")
def test_a_browser_that_is_killed_while_it_paints_loses_nothing(tmp_path: Path) -> None:
    with closing(Campaign(tmp_path, steps=4, seed=5, victims=BROWSER_VICTIMS)) as campaign:
        campaign.kill(3)
        assert campaign.finish() == []
    assert sum(campaign.observed.kills.values()) == 3
    assert len(campaign.observed.page_marks) >= 3, "it is disturbed only after it has painted"
    assert set(campaign.observed.kills) <= set(BROWSER_VICTIMS)


@pytest.mark.slow
@pytest.mark.skipif(not can_paint(), reason="there is no playwright, or no chromium")
def test_marks_of_a_browser_that_are_lost_are_found(tmp_path: Path) -> None:
    with closing(Campaign(tmp_path, steps=4, seed=5, victims=BROWSER_VICTIMS)) as campaign:
        campaign.kill(1)
        journal = campaign.project / "marks" / f"{campaign.images[-1]}.journal"
        campaign.server.kill()
        journal.unlink()
        campaign.server.start()
        faults = campaign.finish()
    lost = [key for key in campaign.observed.page_marks if f"the acknowledged mark {key} is not there" in faults]
    assert lost


@pytest.mark.slow
@pytest.mark.skipif(not can_paint(), reason="there is no playwright, or no chromium")
def test_a_browser_that_cannot_paint_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_painter, "BRUSH", "v")  # moves the image instead
    monkeypatch.setattr(studio_painter, "PATIENCE", 20.0)
    with closing(Campaign(tmp_path, steps=4, seed=5, victims=("browser",))) as campaign:
        assert campaign.painter is not None
        assert not campaign.painter.disturb("browser")
        assert "the browser painted no mark, so that none could be lost" in campaign.finish()
