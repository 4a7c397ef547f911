"""The page is opened where a browser is, and named where there is none."""

import json
import webbrowser
from pathlib import Path

import pytest

from pixelwise.cli import inspect
from pixelwise.cli.options import open_page
from pixelwise.workflow import report as verb


def test_the_browser_gets_an_address_it_can_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "a b" / "index.html"
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(asked.append(address) or True))
    assert open_page(page).startswith("Opened ")
    assert asked == [page.as_uri()]
    assert "a%20b" in asked[0]


def test_without_a_browser_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "index.html"

    def fail(_: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    for opener in (lambda _: False, fail):
        monkeypatch.setattr(webbrowser, "open", opener)
        messages = open_page(page)
        assert str(page) in messages
        assert not messages.startswith("Opened")


@pytest.mark.parametrize("asked", [True, False])
def test_the_command_opens_the_page_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: bool
) -> None:
    page, opened = tmp_path / "index.html", list[Path]()
    monkeypatch.setattr(verb, "report", lambda run: page)
    monkeypatch.setattr(inspect, "open_page", lambda where: f"shown{opened.append(where) or ''}")
    inspect.report(tmp_path, open_it=asked, as_json=True)
    assert opened == [page] * asked
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"report": str(page)}, "what is told goes to standard error"
    assert ("shown" in printed.err) == asked
