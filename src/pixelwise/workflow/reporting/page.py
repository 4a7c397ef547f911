"""The report's page: pieces of HTML, everything from the data escaped, nothing loaded from elsewhere."""

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from pixelwise.errors import PixelwiseError
from pixelwise.progress import Progress

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0072b2; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-bottom: 1px solid var(--line); }
.headline { font-size: 1.25rem; margin: .4rem 0 1.4rem; } .headline b { font-size: 2.4rem; color: var(--accent); }
table { border-collapse: collapse; margin: .8rem 0; font-size: .92rem; } caption { text-align: left; font-weight: 600; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.case { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem; margin: .3rem 0 1.2rem; }
.case img, .film { width: 100%; image-rendering: auto; border-radius: 4px; background: #000; }
figure { margin: 0; } figcaption { font-size: .8rem; opacity: .75; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .8rem; }
.photos img { width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 4px; background: #000; }
.photos img.small { image-rendering: pixelated; }
.key span { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin: 0 .35em 0 1em;
  outline: 1px solid var(--line); }
.curves { background: #fff; border-radius: 6px; padding: .4rem; } .curves img { max-width: 100%; }
details { margin: .6rem 0; font-size: .92rem; } summary { cursor: pointer; }
.scroll { overflow-x: auto; } code { background: var(--soft); padding: 0 .25em; border-radius: 3px; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return the whole page; `parts` are finished HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def heading(text: str) -> str:
    """Return a section heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraphs(sentences: Sequence[str]) -> str:
    """Return a paragraph per sentence."""
    return "\n".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", digits: int = 4) -> str:
    """Return a table; numbers are aligned right, floats have `digits` decimals, None is shown as a dash."""
    numeric = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(names))]

    def cells(tag: str, values: Sequence[Any]) -> str:
        kinds = [' class="n"' if number else "" for number in numeric]
        return "".join(f"<{tag}{k}>{escape(show(v, digits))}</{tag}>" for k, v in zip(kinds, values, strict=True))

    lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
    label = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{label}<tr>{cells("th", names)}</tr>{"".join(lines)}</table></div>'


def folded(title: str, sentences: Sequence[str]) -> str:
    """Return sentences that a click on `title` unfolds."""
    return f"<details><summary>{escape(title)}</summary>{paragraphs(sentences)}</details>"


def show(value: Any, digits: int = 4) -> str:
    """Write a value for people: floats with `digits` decimals, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def picture(content: bytes, kind: str, caption: str = "", css: str = "") -> str:
    """Return a figure with the picture inside the page; `kind` is png, gif or svg+xml."""
    data = base64.b64encode(content).decode("ascii")
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    name = f' class="{escape(css)}"' if css else ""
    return f'<figure><img{name} alt="{escape(caption)}" src="data:image/{kind};base64,{data}">{note}</figure>'


def key(entries: Sequence[tuple[str, tuple[int, int, int]]]) -> str:
    """Return a legend of colours."""
    spans = "".join(f'<span style="background:rgb({r},{g},{b})"></span>{escape(name)}' for name, (r, g, b) in entries)
    return f'<p class="key">{spans}</p>'


def attempt(what: str, make: Callable[[], list[str]], progress: Progress) -> list[str]:
    """Return the parts that `make` returns.

    Whatever is wrong with the records of a run, the rest of the page is worth having: so any error is caught here,
    and told on the page and to the user.
    """
    try:
        return make()
    except Exception as error:
        ours = isinstance(error, PixelwiseError)
        reason = str(error) if ours else f"a record is damaged ({type(error).__name__}: {error})"
        told = f"{what} could not be shown: {reason}"
        progress.tell(told)
        return [paragraphs([told])]


def empty_classes(found: dict[str, Any]) -> list[str]:
    """Say which classes have no score, and how what is empty was counted."""
    nowhere = found.get("classes_nowhere")
    told = [f"In neither truth nor prediction, so without a score: {', '.join(nowhere)}."] if nowhere else []
    policy = found.get("policy")
    return [paragraphs(told), folded("How empty classes and images were counted", policy)] if policy else []
