"""Build the options of a command from the fields of an option record.

A record is a frozen dataclass with a numpy-style docstring. Its module must be cheap to import, because `--help` of a
command imports it.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from functools import cache, wraps
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from pixelwise.cli.options import parse_names
from pixelwise.errors import BadOption

Command = Callable[..., None]


@cache
def options_from_record(record: type[Any], omit: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Replace the parameter `options` of a command by one option for each field of a record.

    The command is called with the record, or with the default of its parameter if every field has its default value.

    Parameters
    ----------
    record : dataclass
        Each field has a default value. Its type is bool, int, float, str, a Literal of strings or a tuple of strings
        (comma-separated on the command line), possibly or None.
    omit : tuple of str
        Fields without an option.
    """
    texts, hints = descriptions(record), get_type_hints(record)
    defaults = {field.name: field.default for field in fields(record) if field.name not in omit}
    options = [_option(name, hints[name], default, texts.get(name, "")) for name, default in defaults.items()]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        parameters = list(signature.parameters.values())
        place = list(signature.parameters).index("options")
        default = parameters[place].default

        @wraps(command)
        def call(**given: Any) -> None:
            built = record(**{name: _value(name, hints[name], given.pop(name)) for name in defaults})
            command(**given, options=default if built == record() else built)

        parameters[place : place + 1] = options
        vars(call)["__signature__"] = signature.replace(parameters=parameters)
        return call

    return decorate


def descriptions(record: type[Any]) -> dict[str, str]:
    """Return the description of each attribute from the numpy-style docstring of a class.

    Examples
    --------
    >>> class Size:
    ...     '''A size.
    ...
    ...     Attributes
    ...     ----------
    ...     rows : int
    ...         Number of
    ...         rows.
    ...     '''
    >>> descriptions(Size)
    {'rows': 'Number of rows.'}
    """
    section = (inspect.getdoc(record) or "").partition("Attributes\n----------\n")[2].partition("\n\n")[0]
    entries = [entry.partition("\n") for entry in re.split(r"\n(?=\S)", section)]
    return {head.partition(" : ")[0]: " ".join(text.replace("``", "").split()) for head, _, text in entries}


def _option(name: str, hint: Any, default: Any, text: str) -> inspect.Parameter:
    kind = _kind(hint)
    if get_origin(kind) is tuple:
        default, text = ",".join(default) or None, f"{text} Comma-separated."
    kind = kind if kind in (bool, int, float) else str
    annotation = Annotated[kind if default is not None else kind | None, typer.Option(_flag(name), help=text)]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)


def _value(name: str, hint: Any, given: Any) -> Any:
    """Return the value of a field from that of its option; refuse what is not among the choices of a Literal."""
    kind = _kind(hint)
    if get_origin(kind) is tuple:
        return parse_names(given)
    choices = get_args(kind)
    if choices and given is not None and given not in choices:
        *others, last = map(repr, choices)
        flag = _flag(name)
        raise BadOption(f"{flag} to be {', '.join(others)} or {last}", f"`{given}`", f"Change {flag}.")
    return given


def _kind(hint: Any) -> Any:
    """Return a type without its `| None`."""
    return get_args(hint)[0] if get_origin(hint) in (Union, UnionType) else hint


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
