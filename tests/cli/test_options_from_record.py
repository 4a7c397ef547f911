"""Each field of an option record is an option of the commands that take it."""

import re
from dataclasses import dataclass, fields
from typing import Any, Literal, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from pixelwise.cli import main
from pixelwise.cli.options_from_record import descriptions, options_from_record
from pixelwise.cli.overview import COMMANDS
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadOption
from pixelwise.workflow.prediction.options import PredictOptions

RECORDS = {
    "train": DataOptions,
    "evaluate": DataOptions,
    "inspect": DataOptions,
    "forecast": DataOptions,
    "export": DataOptions,
    "predict": PredictOptions,
}
OMITTED = {"forecast": {"allow_missing", "missing_empty"}}  # masks may always be missing
OUR_WORDS = r"\b(told|tells?|says?|mend\w*|stands?|turn(s|ed)|part(s|ed|ing)?|promised|proof|certificate|photos?)\b"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A record for the tests.

    Attributes
    ----------
    mode : str
        "fast" or
        "slow".
    side_length : int, optional
        Side length, unlike ``--size``.
    names : tuple of str
        Names.
    keep : bool
        Keep files.
    """

    mode: Literal["fast", "slow"] = "fast"
    side_length: int | None = None
    names: tuple[str, ...] = ()
    keep: bool = False


def options_of(app: typer.Typer, command: str = "") -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    options = (group.commands[command] if command else group).params
    return {option.name: option for option in options}


def application(omit: tuple[str, ...] = ()) -> tuple[typer.Typer, list[object]]:
    """An application with one command, and what that command is called with."""
    app, calls = (
        typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False),
        list[object](),
    )

    @app.command()
    @options_from_record(Made, omit)
    def command(place: str, options: Made | None = None) -> None:
        calls.append((place, options))

    return app, calls


@pytest.mark.parametrize("command", RECORDS)
def test_each_field_is_a_described_option(command: str) -> None:
    record, options = RECORDS[command], options_of(main.app, command)
    expected = {field.name for field in fields(record)} - OMITTED.get(command, set())
    assert expected <= options.keys()
    assert not OMITTED.get(command, set()) & options.keys()
    for name in expected:
        assert options[name].opts == [f"--{name.replace('_', '-')}"]
        assert len(options[name].help or "") > 10, f"{name} has a description in the docstring"


@pytest.mark.parametrize("record", dict.fromkeys(RECORDS.values()), ids=lambda record: record.__name__)
def test_a_description_names_all_choices(record: type[Any]) -> None:
    texts = descriptions(record)
    assert list(texts) == [field.name for field in fields(record)]
    literals = {name: str(hint) for name, hint in get_type_hints(record).items() if "Literal" in str(hint)}
    assert literals
    for name, literal in literals.items():
        assert {word for word in re.findall(r"'(\w+)'", literal) if f'"{word}"' not in texts[name]} == set()


def test_a_new_field_appears_by_itself() -> None:
    options = options_of(application()[0])
    assert options.keys() - {"place"} == {"mode", "side_length", "names", "keep"}
    assert options["mode"].help == '"fast" or "slow".'
    assert options["side_length"].help == "Side length, unlike --size."
    assert options["names"].help == "Names. Comma-separated."
    assert "keep" not in options_of(application(("keep",))[0]), "the control: an omitted field is missing"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", None),
        ("--mode fast", None),
        (
            "--mode slow --side-length 3 --names a,b --keep",
            Made(mode="slow", side_length=3, names=("a", "b"), keep=True),
        ),
    ],
)
def test_a_command_gets_the_record(words: str, options: Made | None) -> None:
    app, calls = application()
    assert CliRunner().invoke(app, ["here", *words.split()]).exit_code == 0
    assert calls == [("here", options)]


def test_a_value_that_is_not_a_choice_is_refused() -> None:
    app, calls = application()
    done = CliRunner().invoke(app, ["here", "--mode", "quick"])
    assert isinstance(done.exception, BadOption)
    assert "expected --mode to be 'fast' or 'slow'; got `quick`" in str(done.exception)
    assert calls == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_uses_standard_terms(command: str) -> None:
    shown = CliRunner().invoke(main.app, [command, "--help"]).stdout
    assert "--help" in shown
    assert re.findall(OUR_WORDS, shown + COMMANDS[command]) == []


def test_the_search_for_our_words_finds_them() -> None:
    assert [bool(re.search(OUR_WORDS, text)) for text in ("Average over turned inputs.", "A partial copy.")] == [
        True,
        False,
    ]
