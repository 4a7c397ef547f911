"""Options that several commands share, parsers for their values, and the output of results.

`--help` of a command imports this module: what only results need is imported in the functions.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from pixelwise.errors import BadOption, printable_lines

SOME_FAILED = 3  # exit code: some images failed, the others are done

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.setting=value, such as network.depth=5.")]
Budget = Annotated[str | None, typer.Option(help="Wall-clock time of the whole command: 90s, 10m, 2h.")]
Seed = Annotated[int, typer.Option(help="Random seed.")]


def show(value: dict[str, Any], as_json: bool, text: str) -> None:
    """Print a result as one JSON object or as text."""
    import json

    if as_json:
        whole = json.dumps(value, ensure_ascii=False, allow_nan=False)
        typer.echo("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in whole))
    else:
        typer.echo(printable_lines(text))


def parse_names(text: str | None) -> tuple[str, ...]:
    """Return comma-separated names.

    Examples
    --------
    >>> parse_names("cat, dog,")
    ('cat', 'dog')
    """
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def parse_numbers(flag: str, text: str | None) -> tuple[float, ...]:
    """Return comma-separated numbers.

    Raises
    ------
    BadOption
        A value is not a number.
    """
    try:
        return tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError as error:
        raise BadOption(f"comma-separated numbers for {flag}", f"`{text}`", "Example: 0.5,0.5,0.5.") from error


def open_page(page: Path) -> str:
    """Open a page in the web browser.

    Parameters
    ----------
    page : Path
        An existing file.

    Returns
    -------
    str
        A sentence that the page was opened or, if no browser can be started, which file to open elsewhere.
    """
    import webbrowser

    path = page.resolve()
    try:
        opened = webbrowser.open(path.as_uri())
    except webbrowser.Error:
        opened = False
    return f"Opened {page} in the web browser." if opened else f"No web browser was found. Open this file: {path}"
