"""Everything that pixelwise refuses, in one family.

PixelwiseError               expected, came, mend; the command line prints it as one line
├── BadImage                 a file cannot be read as the picture or mask it should be
├── BadDataset               a folder cannot be understood; carries every problem found in it
├── BadOption                an unknown option, or a value outside its range
├── BadModel                 a file is not a model that pixelwise wrote
├── BadWeights               a file of weights cannot be trusted, or does not fit the network
├── BadRun                   a folder is not a run
├── ExportFailed             an exported file does not say what the model says
├── OutputFailed             a place cannot be written: no permission, already taken
│   └── DiskFull             there is no room left at the place
├── Diverged                 the loss stayed non-finite although bad batches were left out
└── Interrupted              stopped on request; the state is saved and can be continued
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path


class PixelwiseError(Exception):
    """An input that cannot be used, told in one line.

    Parameters
    ----------
    expected, got, hint : str
        What was expected, what came instead (with its value), and what to do about it.
    path : Path or str, optional
        The file or folder concerned; it stands first in the message.
    """

    exit_code = 2

    def __init__(self, expected: str, got: str, hint: str, path: Path | str | None = None) -> None:
        self.expected, self.got, self.hint, self.path = expected, got, hint, path
        where = f"{printable(path)}: " if path is not None else ""
        super().__init__(f"{where}expected {expected}; got {got}. {hint}")

    def __reduce__(self) -> tuple[type["PixelwiseError"], tuple[object, ...]]:
        """Survive the trip between processes: exceptions are rebuilt from these arguments."""
        return type(self), (self.expected, self.got, self.hint, self.path)


class BadImage(PixelwiseError):
    """A file cannot be read as the picture or mask it should be."""


class BadDataset(PixelwiseError):
    """A folder cannot be understood as a data set."""


class BadOption(PixelwiseError):
    """An unknown option, or a value outside its range."""


class BadModel(PixelwiseError):
    """A file is not a model that pixelwise wrote."""


class BadWeights(PixelwiseError):
    """A file of weights cannot be trusted, or does not fit the network."""


class BadRun(PixelwiseError):
    """A folder is not a run."""


class ExportFailed(PixelwiseError):
    """An exported file does not say what the model says."""


class OutputFailed(PixelwiseError):
    """A place cannot be written."""


class DiskFull(OutputFailed):
    """There is no room left at the place."""


class Diverged(PixelwiseError):
    """The loss stayed non-finite although bad batches were left out."""

    exit_code = 4


class Interrupted(PixelwiseError):
    """Stopped on request; the state is saved and can be continued.

    No error to the user: `got` says how far the work has come, and the message leaves out what was expected.
    """

    exit_code = 75

    def __str__(self) -> str:
        """Return where the work stands and how to go on."""
        where = f"{printable(self.path)}: " if self.path is not None else ""
        return f"{where}{self.got}. {self.hint}"


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which known word was probably meant, as a sentence for the mend of an error."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    return f"{hint}Known: {', '.join(known)}."


def printable(path: Path | str) -> str:
    """Return `path` as one line of text that any terminal can show."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
