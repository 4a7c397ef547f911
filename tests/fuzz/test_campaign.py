"""The campaign finds what is wrong, survives it, and goes on where it was ended."""

import json
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import campaign
from fuzz.campaign import contents_of, fault_of, run_campaign
from fuzz.subjects import Subject, make_subjects
from pixelwise.errors import BadImage


def subject(read: Callable[[], object], name: str = "drawn") -> Subject:
    return Subject(name=name, wholes=[b'{"a": [1, 2]}'], put=lambda content: None, readers=[read], values=[None])


def refuse() -> None:
    raise BadImage("a", "b", "c")


def fail() -> None:
    raise KeyError("side")


def loop() -> None:
    while True:
        pass


def fill() -> None:
    """Write into new pages: an array may take memory that this process has freed and kept."""
    with mmap.mmap(-1, 80 * 10**6) as pages:
        pages.write(bytes(80 * 10**6))


def test_a_few_cases_of_every_format_are_read_or_refused(tmp_path: Path) -> None:
    subjects = make_subjects(tmp_path / "files" if (tmp_path / "files").mkdir() is None else tmp_path)
    for each in subjects:
        for whole in each.wholes:
            assert fault_of(each, whole) == "", each.name
    assert not run_campaign(subjects, 4 * len(subjects), 0, tmp_path / "out")


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (lambda: None, ""),
        (refuse, ""),
        (fail, "KeyError"),
        (loop, "a hang"),
        (fill, "a peak"),
        (lambda: os.kill(os.getpid(), 11), "an ended process (SIGSEGV)"),
    ],
    ids=["accepted", "refused", "foreign", "hang", "memory", "ended"],
)
def test_what_is_wrong_is_found(
    read: Callable[[], object], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "limited", lambda: campaign_limited(0.2))
    monkeypatch.setattr(fault_of, "__defaults__", (20 * 10**6,))
    kinds = run_campaign([subject(read)], 2, 0, tmp_path)
    assert [fault in kind for kind in kinds] == [True] * bool(fault)
    assert sum(kinds.values()) <= 2
    kept = [path for path in tmp_path.iterdir() if path.name != "state.json"]
    assert bool(kept) is bool(fault)


campaign_limited = campaign.limited


def test_cases_are_the_same_each_time_and_go_on_where_they_were_ended(tmp_path: Path) -> None:
    seen: list[bytes] = []
    one = Subject(name="drawn", wholes=[b"abcdef"], put=seen.append, readers=[lambda: None])
    cases = [contents_of(3, one, number) for number in range(50)]
    assert cases == [contents_of(3, one, number) for number in range(50)]
    assert len(set(cases)) > 40
    run_campaign([one], 30, 3, tmp_path)
    run_campaign([one], 50, 3, tmp_path)
    assert json.loads((tmp_path / "state.json").read_text("utf-8"))["formats"]["drawn"][0] == 50
