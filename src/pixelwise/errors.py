"""Exceptions: all errors that pixelwise raises for unusable input.

PixelwiseError               expected, got, hint; the command line prints it as one line
├── BadImage                 a file cannot be read as an image or mask
├── BadDataset               a folder cannot be used as a data set; lists every problem in it
├── BadOption                an unknown option, or a value outside its range
├── BadModel                 a file is not a model that pixelwise wrote
├── BadWeights               a weights file is unsafe, or does not fit the network
├── BadRun                   a folder is not a run
├── ExportFailed             an exported model does not reproduce the original
├── OutputFailed             a path cannot be written: no permission, already exists
│   └── DiskFull             the disk is full
├── Diverged                 the loss stayed non-finite although bad batches were skipped
└── Interrupted              stopped on request; the state is saved and can be continued
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class PixelwiseError(Exception):
    """An input that cannot be used, described in one line.

    Parameters
    ----------
    expected, got, hint : str
        What was expected, what was found instead (with its value), and how to fix it.
    path : Path or str, optional
        The file or folder concerned; it comes first in the message.
    """

    exit_code = 2
    one_line = True

    def __init__(self, expected: str, got: str, hint: str, path: Path | str | None = None) -> None:
        self.expected, self.got, self.hint, self.path = expected, got, hint, path
        where = f"{printable(path)}: " if path is not None else ""
        text = f"{where}expected {expected}; got {got}. {hint}"
        super().__init__(printable(text) if self.one_line else text)

    def __reduce__(self) -> tuple[type["PixelwiseError"], tuple[object, ...]]:
        """Support pickling: exceptions are rebuilt from these arguments."""
        return type(self), (self.expected, self.got, self.hint, self.path)


class BadImage(PixelwiseError):
    """A file cannot be read as an image or mask."""


class BadDataset(PixelwiseError):
    """A folder cannot be used as a data set."""

    one_line = False  # a line per problem


class BadOption(PixelwiseError):
    """An unknown option, or a value outside its range."""


class BadModel(PixelwiseError):
    """A file is not a model that pixelwise wrote."""


class BadWeights(PixelwiseError):
    """A weights file is unsafe, or does not fit the network."""


class BadRun(PixelwiseError):
    """A folder is not a run."""


class ExportFailed(PixelwiseError):
    """An exported model does not reproduce the original."""


class OutputFailed(PixelwiseError):
    """A path cannot be written."""


class DiskFull(OutputFailed):
    """The disk is full."""


class Diverged(PixelwiseError):
    """The loss stayed non-finite although bad batches were skipped."""

    exit_code = 4


class Interrupted(PixelwiseError):
    """Stopped on request; the state is saved and can be continued.

    Not an error for the user: `got` is the progress of the work, and the message omits `expected`.
    """

    exit_code = 75

    def __str__(self) -> str:
        """Return the progress of the work and how to continue it."""
        where = f"{printable(self.path)}: " if self.path is not None else ""
        return f"{where}{self.got}. {self.hint}"


def path_error(error: OSError) -> PixelwiseError:
    """Return the error for a path that the operating system refuses, in one line."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    name = error.filename if isinstance(error.filename, str | Path) else None
    where = None if name is None else printable(name)
    short = where if where is None or len(where) <= 200 else f"{where[:100]} ... {where[-40:]}"
    return PixelwiseError("a path that can be used", reason, "Check the path and its permissions.", short)


@contextmanager
def needs_extra(package: str, purpose: str, extra: str) -> Generator[None, None, None]:
    """Raise `BadOption` if the import in the block fails, with the command that installs the optional package.

    >>> with needs_extra("absent", "tests", "a"):
    ...     import absent
    Traceback (most recent call last):
    pixelwise.errors.BadOption: expected the package absent for tests; got none. Install it: pip install 'pixelwise[a]'.
    """
    try:
        yield
    except ImportError as error:
        hint = f"Install it: pip install 'pixelwise[{extra}]'."
        raise BadOption(f"the package {package} for {purpose}", "none", hint) from error


def nearest(word: str, known: Sequence[str]) -> str:
    """Return a sentence that suggests the closest known word, for the hint of an error."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    return f"{hint}Known: {', '.join(known)}."


def printable(path: Path | str) -> str:
    """Return `path` as one line of printable text."""
    text = str(path)
    if text.isprintable():
        return text
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    r"""Return `text` with everything but line ends printable: names of files and classes may hold codes of a terminal.

    >>> printable_lines("a\x1b[31m\nb")
    'a\\x1b[31m\nb'
    """
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))
