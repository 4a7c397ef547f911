"""Line drawings of polygons, lines and text, written as SVG or PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from xml.sax.saxutils import escape, quoteattr

from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

FONT = "DejaVu Sans"
HEAD = 6.0  # length of an arrow head
PNG_SCALE = 1.6  # pixels of the PNG per unit of the drawing
# Character widths of DejaVu Sans; other common sans-serif fonts are narrower.
NARROW, WIDE = set("ijl.,:;'|!()[] -ft/I"), set("mwMW@%+=<>×→")

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Polygon:
    """A filled polygon; `note` is its tooltip."""

    points: tuple[Point, ...]
    fill: str
    stroke: str = "#333333"
    width: float = 0.8
    dashed: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A polyline, or a cubic Bezier curve of four points; an arrow has its head at the end."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.5
    dashed: bool = False
    curved: bool = False
    arrow: bool = True


@dataclass(frozen=True, kw_only=True)
class Text:
    """One line of text; `y` is its baseline, `anchor` the position of `x` as in SVG."""

    x: float
    y: float
    text: str
    size: float = 9.0
    anchor: str = "middle"
    colour: str = "#222222"
    bold: bool = False

    @property
    def rectangle(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, large enough for any common font."""
        width = text_width(self.text, self.size, self.bold)
        left = {"start": self.x, "middle": self.x - width / 2, "end": self.x - width}[self.anchor]
        return left, self.y - 0.78 * self.size, left + width, self.y + 0.24 * self.size


Mark = Polygon | Line | Text


@dataclass(frozen=True)
class Drawing:
    """Marks in drawing order, on a white background of `width` x `height`."""

    title: str
    width: float
    height: float
    marks: tuple[Mark, ...]

    @property
    def words(self) -> list[Text]:
        """All text of the drawing."""
        return [mark for mark in self.marks if isinstance(mark, Text)]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the maximum width of a text."""
    units = sum(0.42 if c in NARROW else 1.0 if c in WIDE else 0.7 if c.isupper() else 0.645 for c in text)
    return units * size * (1.12 if bold else 1.0)


def rectangle(x: float, y: float, width: float, height: float) -> tuple[Point, ...]:
    """Return the corners of an upright rectangle."""
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def to_svg(drawing: Drawing) -> str:
    """Return a drawing as a self-contained SVG."""
    size = f"{_number(drawing.width)} {_number(drawing.height)}"
    wide, high = size.split()
    elements = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{wide}" height="{high}" '
        f'font-family="{FONT}, Verdana, sans-serif" role="img">',
        f"<title>{escape(drawing.title)}</title>",
        f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
    ]
    for mark in drawing.marks:
        if isinstance(mark, Polygon):
            elements.append(_svg_area(mark))
        elif isinstance(mark, Line):
            elements += _svg_line(mark)
        else:
            elements.append(_svg_words(mark))
    return "\n".join([*elements, "</svg>"]) + "\n"


def to_png(drawing: Drawing) -> bytes:
    """Return a drawing as PNG data."""
    figure = Figure(figsize=(drawing.width / 100, drawing.height / 100), dpi=100 * PNG_SCALE, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    for order, mark in enumerate(drawing.marks):
        if isinstance(mark, Text):
            side = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
            weight = "bold" if mark.bold else "normal"
            text = axes.text(mark.x, mark.y, mark.text, ha=side, va="baseline", zorder=order)
            text.set(fontsize=_points(mark.size), family=FONT, color=mark.colour, weight=weight)
            continue
        for patch in _patches(mark):
            patch.set_zorder(order)
            axes.add_patch(patch)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _points(units: float) -> float:
    """Convert drawing units, 100 per inch, to typographic points, 72 per inch."""
    return units * 0.72


def _patches(mark: Polygon | Line) -> list[PathPatch]:
    style = (0, (3.5, 2.5)) if mark.dashed else "solid"
    if isinstance(mark, Polygon):
        outline = Outline([*mark.points, mark.points[0]], closed=True)
        kwargs = {"facecolor": mark.fill, "edgecolor": mark.stroke, "linewidth": _points(mark.width)}
        return [PathPatch(outline, linestyle=style, joinstyle="miter", **kwargs)]
    shaft, head = _shaft_and_head(mark)
    codes = [Outline.MOVETO, *[Outline.CURVE4 if mark.curved else Outline.LINETO] * (len(shaft) - 1)]
    kwargs = {"facecolor": "none", "edgecolor": mark.colour, "linewidth": _points(mark.width), "capstyle": "butt"}
    patches = [PathPatch(Outline(shaft, codes), linestyle=style, **kwargs)]
    if head:
        patches.append(PathPatch(Outline([*head, head[0]], closed=True), facecolor=mark.colour, linewidth=0))
    return patches


def _svg_area(mark: Polygon) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in mark.points)
    style = f'fill="{mark.fill}" stroke="{mark.stroke}" stroke-width="{_number(mark.width)}"{_dashes(mark.dashed)}'
    if not mark.note:
        return f'<polygon points="{points}" {style}/>'
    return f'<polygon points="{points}" {style}><title>{escape(mark.note)}</title></polygon>'


def _svg_line(mark: Line) -> list[str]:
    shaft, head = _shaft_and_head(mark)
    first, *rest = (f"{_number(x)},{_number(y)}" for x, y in shaft)
    path = f"M{first} {'C' if mark.curved else 'L'}{' '.join(rest)}"
    style = f'stroke="{mark.colour}" stroke-width="{_number(mark.width)}"{_dashes(mark.dashed)}'
    elements = [f'<path d="{path}" fill="none" {style}/>']
    if head:
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in head)
        elements.append(f'<polygon points="{points}" fill="{mark.colour}"/>')
    return elements


def _svg_words(mark: Text) -> str:
    weight = ' font-weight="bold"' if mark.bold else ""
    place = f'x="{_number(mark.x)}" y="{_number(mark.y)}" font-size="{_number(mark.size)}"'
    return f'<text {place} text-anchor="{mark.anchor}" fill={quoteattr(mark.colour)}{weight}>{escape(mark.text)}</text>'


def _shaft_and_head(line: Line) -> tuple[list[Point], list[Point]]:
    """Return the shaft of an arrow, which ends inside the head, and the three corners of the head."""
    shaft = list(line.points)
    if not line.arrow:
        return shaft, []
    (x, y), (fx, fy) = shaft[-1], _before(shaft)
    length = max(((x - fx) ** 2 + (y - fy) ** 2) ** 0.5, 1e-6)
    dx, dy = (x - fx) / length, (y - fy) / length
    half = HEAD * 0.42
    base = (x - HEAD * dx, y - HEAD * dy)
    shaft[-1] = (x - 0.8 * HEAD * dx, y - 0.8 * HEAD * dy)
    return shaft, [(x, y), (base[0] - half * dy, base[1] + half * dx), (base[0] + half * dy, base[1] - half * dx)]


def _before(points: Sequence[Point]) -> Point:
    """Return the last point that differs from the end, for the direction."""
    return next((point for point in reversed(points[:-1]) if point != points[-1]), points[0])


def _dashes(dashed: bool) -> str:
    return ' stroke-dasharray="4 3"' if dashed else ""


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
