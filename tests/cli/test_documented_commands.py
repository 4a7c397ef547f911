"""Every command line in the documents has a command, options and settings that exist."""

import re
from pathlib import Path

import pytest
import typer

from pixelwise.cli.main import app
from pixelwise.errors import BadOption
from pixelwise.workflow.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUP = typer.main.get_command(app)
COMMANDS: dict[str, typer.core.TyperCommand] = GROUP.commands  # type: ignore[attr-defined]
END = r" #| && | \| |;|$"  # of a command in a line of a shell


def find_commands(text: str) -> list[tuple[str, str]]:
    """The commands of pixelwise in code blocks and between backticks: name, and the rest of the line."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = [*re.findall(r"`(pixelwise [^`\n]+)`", text), *(line for block in blocks for line in block.splitlines())]
    return [found for span in spans for found in re.findall(rf"\bpixelwise +([a-z][a-z-]*)(.*?)(?={END})", span)]


def find_faults(text: str) -> list[str]:
    """What the commands in a text have that does not exist."""
    faults: list[str] = []
    for name, rest in find_commands(text.replace("\\\n", " ")):
        command = COMMANDS.get(name)
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} if command else ()
        given = re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)
        faults += [f"{name} {option}" for option in given if option not in known] if command else [name]
        for word in re.findall(r"(?<= )[a-z_.]+=[\w.-]+(?= |$)", rest) if name == "train" else ():
            try:
                Settings.parse([word])
            except BadOption as error:
                faults.append(str(error))
    return faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_exist(page: Path) -> None:
    assert find_faults(page.read_text("utf-8")) == []


def test_many_commands_are_documented() -> None:
    names = [name for page in PAGES for name, _ in find_commands(page.read_text("utf-8"))]
    assert len(names) > 60
    assert set(names) == set(COMMANDS), "each command is shown somewhere"


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("pixelwise train DATA --budget 10m network.depth=5  # --gone is a comment", 0),
        ("pixelwise teach DATA", 1),
        ("pixelwise train DATA --minutes 10", 1),
        ("pixelwise train DATA network.deep=5", 1),
        ("cd x && pixelwise predict RUN IMAGES --out masks && pixelwise reports RUN", 1),
    ],
)
def test_the_search_finds_what_is_gone(line: str, faults: int) -> None:
    assert len(find_faults(f"```\n{line}\n```\n")) == faults
    assert len(find_faults(f"see `{line}`")) == (faults if line.startswith("pixelwise") else 0)
