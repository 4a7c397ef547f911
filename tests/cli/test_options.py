"""The report is opened in a browser, or its path is printed if there is no browser."""

import json
import webbrowser
from pathlib import Path

import pytest

from pixelwise.cli import inspect
from pixelwise.cli.options import open_page, show
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


@pytest.mark.parametrize("as_json", [True, False])
def test_codes_of_a_terminal_in_names_are_shown_as_text(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that are no UTF-8 are surrogates in Python, which cannot be written."""
    name = "a\x1b[31m\u202e\udcff\x9b\U000e0001"
    show({"name": name}, as_json, f"first\n{name}")
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.split("\n"))
    if as_json:
        assert json.loads(shown) == {"name": name}
    else:
        assert shown.split("\n") == ["first", "a\\x1b[31m\\u202e\\udcff\\x9b\\U000e0001", ""]
