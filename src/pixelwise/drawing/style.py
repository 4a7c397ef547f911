"""Style of network drawings: dimensions, colours, legend and frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelwise.drawing.graph import Node
from pixelwise.drawing.writing import Drawing, Line, Mark, Point, Polygon, Text, rectangle, text_width
from pixelwise.geometry.layer_graph import LayerSpec
from pixelwise.text import pluralise

# Okabe & Ito 2008, "Color universal design": colour-blind safe palette
BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILLION, PURPLE, BLACK = (
    "#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#000000",
)  # fmt: skip
GREY, PALE = "#7A7A7A", "#F4F4F4"
MAP_FILL, COPY_FILL, OUT_FILL = "#D3E5F2", "#FFFFFF", "#CBEADF"

TEXT, SMALL = 9.0, 8.0  # font sizes
MAX_HEIGHT, MIN_HEIGHT = 150.0, 14.0  # heights of boxes
MAX_BOX_WIDTH, MIN_BOX_WIDTH = 46.0, 5.0  # widths of boxes
MARGIN = 24.0
TITLE_ROOM = 82.0
LEGEND_LINE, SAMPLE = 18.0, 30.0
MIN_WIDTH = 560.0

COLOURS = {
    "convolution": BLUE,
    "pointwise": BLACK,
    "strided": ORANGE,
    "residual": BLUE,
    "pooling": VERMILLION,
    "average": VERMILLION,
    "subsampling": VERMILLION,
    "transposed": GREEN,
    "bilinear": SKY,
    "nearest": SKY,
    "global average": GREY,
    "linear": BLACK,
}
LEGEND = {
    "convolution": "convolution {}",
    "residual": "residual block, kernels {}",
    "strided": "convolution {}, stride 2",
    "pooling": "max pooling {}, stride 2",
    "average": "average pooling {}",
    "subsampling": "subsampling by 2",
    "transposed": "transposed convolution {}, stride 2",
    "bilinear": "linear upsampling by 2",
    "nearest": "nearest-neighbour upsampling by 2",
    "pointwise": "convolution {}",
    "global average": "global average pooling",
    "linear": "linear layer",
}
Kernel = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A node with its position: `x`, `y` is the upper left corner."""

    node: Node
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """Centre."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class NetworkLayout:
    """Boxes and marks of a network between (0, 0) and (width, height), without title and legend."""

    boxes: tuple[Box, ...]
    marks: tuple[Mark, ...]
    width: float
    height: float


def arrow_kind(node: Node) -> str:
    """Return the kind of the arrow into a node; a key of `COLOURS`."""
    layer = node.first_strided
    if layer is None or (node.kind == "joined" and not layer.up):
        return "residual" if node.kind == "residual" else "convolution"
    if layer.kind != "convolution":
        return layer.kind
    if layer.stride > 1:
        return "strided"
    if node.kind == "residual":
        return "residual"
    return "pointwise" if layer.kernel == 1 else "convolution"


def fill_colour(node: Node, last: bool) -> str:
    """Return the colour of a node's box; `last` for the output."""
    return OUT_FILL if last else PALE if node.kind == "input" else MAP_FILL


def tooltip(node: Node, dimensions: int) -> str:
    """Return the tooltip of a box."""
    names = [layer.name for layer in node.layers]
    shown = ", ".join(names if len(names) <= 6 else [*names[:3], "...", names[-1]]) or "image"
    size = "" if node.is_vector else f", {' x '.join([str(node.size)] * dimensions)}"
    return f"{shown}: {pluralise(node.channels, 'channel')}{size}"


def size_text(size: int, dimensions: int) -> str:
    """Return the size of a map as text: 572²."""
    return f"{size}{'²' if dimensions == 2 else '³'}"


def legend(nodes: Sequence[Node], dimensions: int, cropped: bool) -> list[tuple[str, str]]:
    """Return the entries of the legend: key of the sample, and text."""
    kernels: dict[str, set[Kernel]] = {}
    for node in nodes:
        if node.kind not in ("input", "gate"):
            key = arrow_kind(node)
            kernels.setdefault(key, set()).update(_kernels(node, key))
    entries = [(key, words.format(_sides(kernels[key], dimensions))) for key, words in LEGEND.items() if key in kernels]
    if any(node.kind == "residual" for node in nodes):
        entries.append(("shortcut", "shortcut, added"))
    if any(node.skips for node in nodes):
        entries.append(("skip", "skip: centre-cropped, concatenated" if cropped else "skip: concatenated"))
    if any(node.kind == "gate" for node in nodes):
        entries.append(("gate", "attention gate: weights the skip"))
    if any(node.repeated > 1 for node in nodes):
        entries.append(("repeated", "repeated layers or blocks"))
    return entries


def _kernels(node: Node, key: str) -> set[Kernel]:
    if key == "residual":
        return {_kernel(layer) for layer in node.layers if layer.kind == "convolution"}
    layer: LayerSpec | None = node.first_strided
    return {_kernel(layer)} if layer else set()


def _kernel(layer: LayerSpec) -> Kernel:
    """Return the kernel along each axis, or once if all are alike."""
    return tuple(kernel for kernel, _, _ in layer.axes) or (layer.kernel,)


def _sides(kernels: set[Kernel], dimensions: int) -> str:
    each = (kernel if len(kernel) > 1 else kernel * dimensions for kernel in sorted(kernels))
    return ", ".join(" × ".join(map(str, kernel)) for kernel in each)


def frame(layout: NetworkLayout, titles: Sequence[str], entries: Sequence[tuple[str, str]]) -> Drawing:
    """Add a title above a layout and a legend below it."""
    wide = max(text_width(title, 17.0 if i == 0 else 10.0, i == 0) for i, title in enumerate(titles))
    width = max(layout.width, wide, MIN_WIDTH) + 2 * MARGIN
    marks: list[Mark] = [
        Text(
            x=MARGIN,
            y=MARGIN + (12 if i == 0 else 14 + 17 * i),
            text=title,
            size=17.0 if i == 0 else 10.0,
            anchor="start",
            bold=i == 0,
            colour="#111111" if i == 0 else "#444444",
        )
        for i, title in enumerate(titles)
    ]
    shift = (width - layout.width) / 2, TITLE_ROOM + 4
    marks += [translated(mark, *shift) for mark in layout.marks]
    below = shift[1] + layout.height + 18
    column = SAMPLE + 12 + max((text_width(words, TEXT) for _, words in entries), default=0) + 18
    columns = max(1, min(len(entries), int((width - 2 * MARGIN + 18) // column)))
    rows = -(-len(entries) // columns)
    for index, (key, words) in enumerate(entries):
        x, y = MARGIN + index // rows * column, below + index % rows * LEGEND_LINE
        marks += [*_sample(key, x, y), Text(x=x + SAMPLE + 10, y=y + 3, text=words, size=TEXT, anchor="start")]
    return Drawing(titles[0], width, below + (rows - 1) * LEGEND_LINE + MARGIN, tuple(marks))


def translated(mark: Mark, dx: float, dy: float) -> Mark:
    """Return a translated mark."""
    if isinstance(mark, Text):
        return replace(mark, x=mark.x + dx, y=mark.y + dy)
    return replace(mark, points=tuple((x + dx, y + dy) for x, y in mark.points))


def diamond(x: float, y: float) -> Polygon:
    """Return the symbol of an attention gate."""
    half = 6.5
    points = ((x - half, y), (x, y - half), (x + half, y), (x, y + half))
    return Polygon(points=points, fill=YELLOW, stroke=BLACK, note="attention gate")


def shortcut_arc(start: Point, end: Point, lift: Point) -> Line:
    """Return the arc of a shortcut from `start` to `end`, offset by the vector `lift`."""
    (x0, y0), (x1, y1), (lx, ly) = start, end, lift
    return Line(points=(start, (x0 + lx, y0 + ly), (x1 + lx, y1 + ly), end), colour=PURPLE, width=1.4, curved=True)


def _sample(key: str, x: float, y: float) -> list[Mark]:
    if key == "shortcut":
        return [shortcut_arc((x, y + 4), (x + SAMPLE, y + 4), (0.0, -13.0))]
    if key == "gate":
        return [diamond(x + SAMPLE / 2, y)]
    if key == "repeated":
        return [Text(x=x + SAMPLE / 2, y=y + 3, text="× n", size=SMALL, colour=PURPLE, bold=True)]
    colour = GREY if key == "skip" else COLOURS[key]
    return [Line(points=((x, y), (x + SAMPLE, y)), colour=colour, width=1.2 if key == "skip" else 1.8)]


def map_marks(box: Box, dimensions: int, last: bool, copied: Sequence[float] = ()) -> list[Mark]:
    """Return the box of a map; `copied` are the fractions of its width that are skips, from the left."""
    note = tooltip(box.node, dimensions)
    marks: list[Mark] = [
        Polygon(points=rectangle(box.x, box.y, box.width, box.height), fill=fill_colour(box.node, last), note=note)
    ]
    x = box.x
    for share in copied:
        marks.append(Polygon(points=rectangle(x, box.y, share * box.width, box.height), fill=COPY_FILL, note=note))
        x += share * box.width
    return marks
