"""The command `serve`: what it starts, and what it says; nothing listens."""

import webbrowser
from pathlib import Path
from typing import Any

import pytest

from command_line import run_here
from pixelwise.cli import serve as module
from pixelwise.server import start
from pixelwise.server.access import Access


@pytest.mark.parametrize("quiet", [True, False])
def test_the_link_is_printed_and_opened(quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    given: dict[str, Any] = {}

    def serve(targets: start.Targets, **options: Any) -> None:
        given.update(options, targets=targets)
        options["announce"]("http://127.0.0.1:1/?key=x", Access("127.0.0.1", 1, token="t" * 20))

    monkeypatch.setattr(start, "serve", serve)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    result = run_here("serve", tmp_path, "--port", 0, "--out", tmp_path / "out", *["--no-browser"] * quiet)
    assert (result.returncode, result.stdout) == (0, "http://127.0.0.1:1/?key=x\n")
    assert "Bearer " + "t" * 20 in result.stderr
    assert opened == ["http://127.0.0.1:1/?key=x"] * (not quiet)
    assert given["targets"] == start.Targets((), (tmp_path,))
    assert (given["port"], given["out"], given["allowed_hosts"]) == (0, tmp_path / "out", ())


def test_without_its_libraries_the_command_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = run_here("serve")
    assert result.returncode == 2
    assert "pixelwise[studio]" in result.stderr
