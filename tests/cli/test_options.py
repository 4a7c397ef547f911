"""The report is opened in a browser, or its path is printed if there is no browser."""

import json
import webbrowser
from pathlib import Path

import pytest

from pixelwise.cli import inspect
from pixelwise.cli.options import open_page
from pixelwise.workflow import report as verb


def test_the_browser_gets_a_valid_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "a b" / "index.html"
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(addresses.append(address) or True))
    assert open_page(page).startswith("Opened ")
    assert addresses == [page.as_uri()]
    assert "a%20b" in addresses[0]


def test_without_a_browser_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "index.html"

    def fail(_: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    for opener in (lambda _: False, fail):
        monkeypatch.setattr(webbrowser, "open", opener)
        text = open_page(page)
        assert str(page) in text
        assert not text.startswith("Opened")


@pytest.mark.parametrize("given", [True, False])
def test_the_command_opens_the_page_only_with_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: bool
) -> None:
    page, opened = tmp_path / "index.html", list[Path]()
    monkeypatch.setattr(verb, "report", lambda run: page)
    monkeypatch.setattr(inspect, "open_page", lambda where: f"shown{opened.append(where) or ''}")
    inspect.report(tmp_path, open_report=given, as_json=True)
    assert opened == [page] * given
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"report": str(page)}, "messages go to standard error"
    assert ("shown" in printed.err) == given
