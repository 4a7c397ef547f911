"""What the commands share: their flags, the options records that flags become, and how a result is shown.

Heavy modules are imported when a command needs them.
"""

import json
import webbrowser
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pixelwise.errors import BadOption

SOME_FAILED = 3  # exit code: some images could not be read or predicted, the others were

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.setting=value, such as network.depth=5.")]
Budget = Annotated[str | None, typer.Option(help="Time for everything: 90s, 10m, 2h.")]
Seed = Annotated[int, typer.Option(help="Every random draw is a function of it.")]
Images = Annotated[str | None, typer.Option(help="Folder name (or file suffix) of the images.")]
Masks = Annotated[str | None, typer.Option(help="Folder name (or file suffix) of the masks.")]
Task = Annotated[str, typer.Option(help="auto, binary, multiclass, instance or classification.")]
Classes = Annotated[str | None, typer.Option(help="Class names in the order of their values, with commas.")]
IgnoreIndex = Annotated[int | None, typer.Option(help="Mask value left out of loss and scores; -1: none.")]
Foreground = Annotated[int | None, typer.Option(help="Binary masks: the value of the interesting class.")]
ValShare = Annotated[float, typer.Option(help="Share that validates when no validation part is given.")]
GroupBy = Annotated[str | None, typer.Option(help="Regular expression with one group: equal finds stay together.")]
Pages = Annotated[int | None, typer.Option(help="Take TIFF stacks of this many pages as channels.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Leave images without mask aside.")]
AllowDuplicates = Annotated[bool, typer.Option("--allow-duplicates", help="Accept equal images in two splits.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files with problems, and say which.")]
Conflicts = Annotated[str, typer.Option(help="Copies of an image whose masks differ: keep, drop or first.")]
Runtime = Annotated[str, typer.Option(help="auto, torch, onnx, openvino, torch-bf16, openvino-bf16 or torch-compile.")]


def show(value: dict[str, Any], as_json: bool, text: str) -> None:
    """Print the result: one JSON object, or text for people."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False) if as_json else text)


def data_options(given: dict[str, Any]) -> Any:
    """Return DataOptions from the flags of a command; None when none was given."""
    from pydantic import TypeAdapter, ValidationError

    from pixelwise.datasets.records import DataOptions

    values = {f.name: given[f.name] for f in fields(DataOptions) if f.name in given}
    if isinstance(values.get("classes"), str):
        values["classes"] = names(values["classes"])
    values = {name: value for name, value in values.items() if value is not None}
    try:
        options = TypeAdapter(DataOptions).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        expected = first["msg"].removeprefix("Input should be ")
        raise BadOption(f"--{name} to be {expected}", f"`{first['input']}`", f"Change --{name}.") from error
    return None if options == DataOptions() else options


def names(text: str | None) -> tuple[str, ...]:
    """Read names with commas between them.

    Examples
    --------
    >>> names("cat, dog,")
    ('cat', 'dog')
    """
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def numbers(flag: str, text: str | None) -> tuple[float, ...]:
    """Read numbers with commas between them.

    Raises
    ------
    BadOption
        A word is no number.
    """
    try:
        return tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError as error:
        raise BadOption(f"{flag} as numbers with commas", f"`{text}`", "Write for example 0.5,0.5,0.5.") from error


def large_format(text: str | None) -> Literal["tiff", "zarr"] | None:
    """Read the format that results stream into; None leaves it to the size of the image.

    Raises
    ------
    BadOption
        Another word.
    """
    if text is None or text == "tiff" or text == "zarr":
        return text
    raise BadOption("--format tiff or zarr", f"`{text}`", "Leave it out for PNG, or TIFF where images are large.")


def large_compression(text: str | None) -> Literal["deflate", "zstd"] | None:
    """Read what compresses results that stream; None leaves it to their format.

    Raises
    ------
    BadOption
        Another word.
    """
    if text is None or text == "deflate" or text == "zstd":
        return text
    raise BadOption("--compression deflate or zstd", f"`{text}`", "Leave it out for what is usual in the format.")


def open_page(page: Path) -> str:
    """Open a page in the web browser.

    Parameters
    ----------
    page : Path
        A file that is there.

    Returns
    -------
    str
        One sentence: that it was opened or, where no browser can be started, which file to open elsewhere.
    """
    where = page.resolve()
    try:
        opened = webbrowser.open(where.as_uri())
    except webbrowser.Error:
        opened = False
    return f"Opened {page} in the web browser." if opened else f"No web browser was found here. Open this file: {where}"
