"""Flags of the command line that become options records; heavy modules are imported when a command needs them."""

from dataclasses import fields
from typing import Any, Literal

from pixelwise.errors import BadOption


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
