"""HTML building blocks of the report; text is escaped, and nothing is loaded from the network."""

import base64
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from pixelwise.errors import PixelwiseError
from pixelwise.progress import Progress
from pixelwise.workflow.reporting.style import STYLE

CODE = re.compile("`([^`]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def page(title: str, parts: Sequence[str]) -> str:
    """Return the HTML page; `parts` are HTML fragments."""
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{view}<title>{escape(title)}</title>'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def heading(text: str) -> str:
    """Return a section heading."""
    return f"<h2>{escape(text)}</h2>"


def section(title: str, parts: Sequence[str]) -> str:
    """Return HTML fragments under a heading."""
    return "\n".join(["<section>", heading(title), *parts, "</section>"])


def warning(title: str, sentences: Sequence[str]) -> str:
    """Return a warning box."""
    return f'<div class="warning" role="note"><b>{escape(title)}</b>{paragraphs(sentences)}</div>'


def paragraphs(sentences: Sequence[str]) -> str:
    """Return a paragraph per sentence; text between backticks, such as a command, is set as code.

    Options such as --epochs do not break across lines.

    Examples
    --------
    >>> paragraphs(["Run `pixelwise report A&B`."])
    '<p>Run <code>pixelwise report A&amp;B</code>.</p>'
    """
    unbroken = (OPTION.sub(r'<span class="flag">\g<0></span>', escape(sentence)) for sentence in sentences)
    texts = (CODE.sub(r"<code>\1</code>", sentence) for sentence in unbroken)
    return "\n".join(f"<p>{text}</p>" for text in texts)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", digits: int = 4) -> str:
    """Return a table; numbers are right-aligned, floats have `digits` decimals, None is a dash."""
    numeric = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(names))]

    def cells(tag: str, values: Sequence[Any]) -> str:
        kinds = [' class="n"' if number else "" for number in numeric]
        return "".join(f"<{tag}{k}>{escape(show(v, digits))}</{tag}>" for k, v in zip(kinds, values, strict=True))

    lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
    label = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{label}<tr>{cells("th", names)}</tr>{"".join(lines)}</table></div>'


def folded(title: str, sentences: Sequence[str]) -> str:
    """Return a collapsed section of sentences."""
    return fold(title, [paragraphs(sentences)])


def fold(title: str, parts: Sequence[str]) -> str:
    """Return a collapsed section of HTML fragments."""
    return "\n".join([f"<details><summary>{escape(title)}</summary>", *parts, "</details>"])


def show(value: Any, digits: int = 4) -> str:
    """Format a value: floats with `digits` decimals, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def picture(content: bytes, kind: str, caption: str = "", css: str = "") -> str:
    """Return a figure with an embedded picture; `kind` is png, gif or svg+xml."""
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{_image(content, kind, caption, css)}{note}</figure>"


def _image(content: bytes, kind: str, text: str, css: str = "") -> str:
    data = base64.b64encode(content).decode("ascii")
    name = f' class="{escape(css)}"' if css else ""
    return f'<img{name} alt="{escape(text)}" src="data:image/{kind};base64,{data}">'


def key(entries: Sequence[tuple[str, tuple[int, int, int]]]) -> str:
    """Return a legend of colours."""
    items = "".join(
        f'<li><span style="background:rgb({r},{g},{b})"></span>{escape(name)}</li>' for name, (r, g, b) in entries
    )
    return f'<ul class="key">{items}</ul>'


def charts(drawn: Sequence[tuple[str, bytes]]) -> str:
    """Return charts (title, SVG) side by side, or stacked on a narrow page."""
    figures = [
        f"<figure><figcaption>{escape(title)}</figcaption>{_image(content, 'svg+xml', title)}</figure>"
        for title, content in drawn
    ]
    return f'<div class="charts">{"".join(figures)}</div>'


def try_section(what: str, make: Callable[[], list[str]], progress: Progress) -> list[str]:
    """Return the HTML fragments of `make`.

    Any error is caught and reported on the page and as a message, so that the rest of the page is still written.
    """
    try:
        return make()
    except Exception as error:
        expected = isinstance(error, PixelwiseError)
        reason = str(error) if expected else f"a record is damaged ({type(error).__name__}: {error})"
        text = f"{what} could not be shown: {reason}"
        progress.message(text)
        return [paragraphs([text])]


def empty_classes(empty: dict[str, Any]) -> list[str]:
    """Return the classes without a score, and how empty classes and images are counted."""
    absent = empty.get("classes_nowhere")
    text = [f"Without a score (in neither ground truth nor prediction): {', '.join(absent)}."] if absent else []
    policy = empty.get("policy")
    return [paragraphs(text), folded("How empty classes and images are counted", policy)] if policy else []
