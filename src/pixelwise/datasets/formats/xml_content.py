"""Read XML that other programs wrote: bounded, with errors that name the file and the line in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from xml.parsers import expat

from pixelwise.errors import BadDataset, printable

MAX_BYTES = 1 << 30
_MAX_DEPTH = 32
_CHUNK = 1 << 20
Attributes = dict[str, str]


@dataclass
class XmlReading:
    """The state of one file while it is parsed; formats override the handlers of tags and text.

    Examples
    --------
    >>> XmlReading(Path("x.xml")).error("a number `x`", "nothing").got
    'nothing'
    """

    path: Path
    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate, repr=False)
    open_elements: list[str] = field(default_factory=list[str])

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle a start tag."""
        self.open_elements.append(name)
        if len(self.open_elements) > _MAX_DEPTH:
            raise self.error("elements of usual depth", f"more than {_MAX_DEPTH} levels")

    def end(self, name: str) -> None:
        """Handle an end tag."""
        self.open_elements.pop()

    def characters(self, text: str) -> None:
        """Handle a part of the text of an element."""

    def error(self, expected: str, got: str, hint: str = "Export the file again.") -> BadDataset:
        """Return the error for the current line."""
        return BadDataset(f"{expected} in line {self.parser.CurrentLineNumber}", printable(got)[:80], hint, self.path)

    def parse(self) -> None:
        """Parse the file, without document types, which may define entities.

        Raises
        ------
        BadDataset
            The file cannot be read, is larger than 1 GB, is not XML, or has a document type.
        """

        def refuse_doctype(*_: object) -> None:
            raise self.error("no document type", "one that may define entities")

        self.parser.StartDoctypeDeclHandler = refuse_doctype
        self.parser.StartElementHandler = cast(Callable[[str, Attributes], object], self.start)
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        try:
            if self.path.stat().st_size > MAX_BYTES:
                got = f"{self.path.stat().st_size:,} bytes"
                raise BadDataset(f"a file of at most {MAX_BYTES:,} bytes", got, "Split it.", self.path)
            with self.path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self.parser.Parse(chunk, False)
                self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            got, hint = expat.ErrorString(error.code), "The file may be truncated; export it again."
            raise BadDataset(f"valid XML in line {error.lineno}", got, hint, self.path) from error
        except (LookupError, ValueError) as error:  # what expat makes of the encoding that the file names
            got, hint = printable(str(error)), "Export the file again."
            raise BadDataset("an encoding such as UTF-8", got, hint, self.path) from error
        except OSError as error:
            got = (error.strerror or str(error)).lower()
            raise BadDataset("a readable file", got, "Check it.", self.path) from error
