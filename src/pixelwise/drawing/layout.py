"""U-shaped layout of a network drawing, or a staircase for classifiers, in execution order.

Layers of one resolution are in a row, coarser rows below. A downsampled box is below its source, an upsampled one to
the right of all previous boxes. The height represents the size, the width the channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelwise.drawing.graph import Node
from pixelwise.drawing.style import (
    COLOURS,
    GREY,
    MAX_BOX_WIDTH,
    MAX_HEIGHT,
    MIN_BOX_WIDTH,
    MIN_HEIGHT,
    PURPLE,
    SMALL,
    TEXT,
    Box,
    NetworkLayout,
    arrow_kind,
    diamond,
    map_marks,
    shortcut_arc,
    size_text,
)
from pixelwise.drawing.writing import Line, Mark, Polygon, Text, rectangle, text_width

GAP = 24.0  # between boxes of a row: the length of an arrow
ROW_GAP = 58.0  # between rows: text below a box, an arrow, text above the next one
BESIDE = 5.0  # between an arrow and the text beside it
GATE_ROOM = 24.0  # between a gate and the following concatenation
FAR = 1e9  # an empty row ends here, to the left
POWER = 0.65  # exponent of sizes and channels, so that the smallest remain visible
Rows = dict[int, float]


@dataclass(frozen=True)
class _Slot:
    """Extent of a box and its text to both sides of its centre."""

    left: float
    right: float


def lay_out_path(nodes: Sequence[Node], dimensions: int) -> NetworkLayout:
    """Lay out the nodes of a network with at most one concatenation per row."""
    sizes = [_box_size(node, nodes) for node in nodes]
    heights: Rows = {}
    for node, (_, height) in zip(nodes, sizes, strict=True):
        if node.kind != "gate":
            heights[node.level] = max(heights.get(node.level, 0.0), height)
    centres: Rows = {}
    bottom = 14.0 - ROW_GAP
    for level in sorted(heights):
        centres[level] = bottom + ROW_GAP + heights[level] / 2
        bottom += ROW_GAP + heights[level]
    boxes = _place(nodes, sizes, centres, dimensions)
    marks: list[Mark] = []
    for place in boxes:
        marks += _arrows(place, nodes, boxes)
    for place, box in boxes.items():
        marks += map_marks(box, dimensions, place == len(nodes) - 1, _skip_fractions(nodes, box.node))
        marks += _crop_marks(nodes, box, boxes)
    for place in boxes:
        marks += _gate_marks(place, nodes, boxes, dimensions)
        marks += _labels(place, nodes, boxes, dimensions)
    words = [mark.rectangle for mark in marks if isinstance(mark, Text)]
    width = max([box.right for box in boxes.values()] + [r[2] for r in words])
    return NetworkLayout(tuple(boxes.values()), tuple(marks), width, bottom + 26)


def _box_size(node: Node, nodes: Sequence[Node]) -> tuple[float, float]:
    """Return the width and height of a node's box."""
    maps = [other for other in nodes if not other.is_vector]
    if node.is_vector:
        largest_vector = max(other.channels for other in nodes if other.is_vector)
        return 7.0, MIN_HEIGHT + 76 * (node.channels / largest_vector) ** 0.5
    widest, largest = max(other.channels for other in maps), max(other.size for other in maps)
    width = MIN_BOX_WIDTH + (MAX_BOX_WIDTH - MIN_BOX_WIDTH) * (node.channels / widest) ** POWER
    return width, max(MIN_HEIGHT, MAX_HEIGHT * (node.size / largest) ** POWER)


def _is_downsampled(node: Node, nodes: Sequence[Node]) -> bool:
    return node.source is not None and nodes[node.source].level < node.level


def _is_upsampled(node: Node, nodes: Sequence[Node]) -> bool:
    return node.source is not None and nodes[node.source].level > node.level


def _has_downsampled(place: int, nodes: Sequence[Node]) -> bool:
    return any(node.source == place and _is_downsampled(node, nodes) and node.kind != "gate" for node in nodes)


def _lower_text(place: int, nodes: Sequence[Node], dimensions: int) -> list[str]:
    """Return the lines below a box: its size if it changes or is the output, and the number of repetitions."""
    node = nodes[place]
    before = None if node.source is None else nodes[node.source]
    new = before is None or place == len(nodes) - 1 or (before.level, before.size) != (node.level, node.size)
    lines = [size_text(node.size, dimensions)] if new and not node.is_vector else []
    return [*lines, f"× {node.repeated}"] if node.repeated > 1 else lines


def _slot(place: int, nodes: Sequence[Node], width: float, dimensions: int) -> _Slot:
    """Measure the extent of a box and its text to both sides of its centre."""
    node = nodes[place]
    above = text_width(str(node.channels), TEXT)
    below = max((text_width(line, SMALL, True) for line in _lower_text(place, nodes, dimensions)), default=0.0)
    left = right = width / 2
    if _is_downsampled(node, nodes):
        left = max(left, BESIDE + above)
    else:
        left, right = max(left, above / 2), max(right, above / 2)
    if _has_downsampled(place, nodes):
        right = max(right, BESIDE + below)
    elif _is_upsampled(node, nodes):
        left = max(left, BESIDE + below)
    else:
        left, right = max(left, below / 2), max(right, below / 2)
    return _Slot(left, right)


def _place(
    nodes: Sequence[Node], sizes: Sequence[tuple[float, float]], centres: Rows, dimensions: int
) -> dict[int, Box]:
    boxes: dict[int, Box] = {}
    right: dict[int, float] = {}  # right end of each box with its text
    rows: Rows = {}
    for place, node in enumerate(nodes):
        if node.kind == "gate":
            continue
        (width, height), slot = sizes[place], _slot(place, nodes, sizes[place][0], dimensions)
        start = rows.get(node.level, -FAR) + GAP  # left limit of the text
        if node.source is not None:
            start = max(start, boxes[node.source].x if _is_downsampled(node, nodes) else right[node.source] + GAP)
            if any(skip.gate is not None for skip in node.skips):
                start += GATE_ROOM
        middle = start + slot.left if node.source is not None else 0.0
        if _is_downsampled(node, nodes) and node.source is not None:
            middle = max(rows.get(node.level, -FAR) + GAP + slot.left, boxes[node.source].middle[0])
        boxes[place] = Box(
            node=node, x=middle - width / 2, y=centres[node.level] - height / 2, width=width, height=height
        )
        right[place] = rows[node.level] = middle + slot.right
    shift = -min(box.middle[0] - _slot(place, nodes, box.width, dimensions).left for place, box in boxes.items())
    return {place: replace(box, x=box.x + shift) for place, box in boxes.items()}


def _skip_fractions(nodes: Sequence[Node], node: Node) -> list[float]:
    """Return the fraction of channels of each skip in a concatenated map."""
    if node.kind != "joined":
        return []
    return [nodes[skip.node].channels / node.channels for skip in node.skips]


def _arrow_x(box: Box, nodes: Sequence[Node]) -> float:
    """Return the x of an arrow from below: the centre of the upsampled channels of a concatenated map."""
    return box.x + box.width * (1 + sum(_skip_fractions(nodes, box.node))) / 2


def _arrows(place: int, nodes: Sequence[Node], boxes: dict[int, Box]) -> list[Mark]:
    """Return the arrows into a box."""
    box, node = boxes[place], nodes[place]
    if node.source is None:
        return []
    start = boxes[node.source]
    colour, residual = COLOURS[arrow_kind(node)], node.kind == "residual"
    (x0, y0), (x1, y1) = start.middle, box.middle
    marks: list[Mark] = []
    if _is_downsampled(node, nodes):
        middle = (start.bottom + box.y) / 2
        points = (
            ((x0, start.bottom), (x1, box.y))
            if x0 == x1
            else ((x0, start.bottom), (x0, middle), (x1, middle), (x1, box.y))
        )
        marks.append(Line(points=points, colour=colour, width=1.8))
        if residual:
            marks.append(shortcut_arc((x1 - 2, middle - 13), (x1 - 2, middle + 11), (-15.0, 0.0)))
    elif _is_upsampled(node, nodes):
        arrow_x = _arrow_x(box, nodes)
        marks.append(Line(points=((start.right, y0), (arrow_x, y0), (arrow_x, box.bottom)), colour=colour, width=1.8))
    else:
        marks.append(Line(points=((start.right, y0), (box.x, y1)), colour=colour, width=1.8))
        if residual:
            marks.append(shortcut_arc((start.right + 2, y0 - 2), (box.x - 4, y1 - 2), (0.0, -13.0)))
    for skip in node.skips:
        other = boxes[skip.node]
        marks.append(Line(points=((other.right, other.middle[1]), (box.x, y1)), colour=GREY, width=1.2))
    return marks


def _crop_marks(nodes: Sequence[Node], box: Box, boxes: dict[int, Box]) -> list[Mark]:
    """Return a dashed rectangle in a map that is cropped before a concatenation."""
    marks: list[Mark] = []
    for node in nodes:
        for skip in node.skips:
            if boxes.get(skip.node) is box and node.kind == "joined" and node.size < box.node.size:
                height = box.height * node.size / box.node.size
                y = box.middle[1] - height / 2
                points = rectangle(box.x + 1.5, y, box.width - 3, height)
                marks.append(Polygon(points=points, fill="none", stroke="#222222", width=0.9, dashed=True))
    return marks


def _gate_marks(place: int, nodes: Sequence[Node], boxes: dict[int, Box], dimensions: int) -> list[Mark]:
    """Return the gates before a concatenation, each with its gating signal."""
    box, marks = boxes[place], list[Mark]()
    slot = _slot(place, nodes, box.width, dimensions)
    for skip in nodes[place].skips:
        if skip.gate is None or nodes[skip.gate].source is None:
            continue
        signal = nodes[skip.gate].source
        start = boxes[nodes[place].source or 0]
        x, y = box.middle[0] - max(slot.left + 9, box.width / 2 + GATE_ROOM), box.middle[1]
        low = start.middle[1]
        if signal == place:  # the upsampled map is the signal
            low = box.bottom + 20
            marks.append(
                Line(points=((_arrow_x(box, nodes), low), (x, low), (x, y + 6)), colour=GREY, dashed=True, width=1.1)
            )
        else:
            marks.append(Line(points=((x, low), (x, y + 6)), colour=GREY, dashed=True, width=1.1))
        marks.append(diamond(x, y))
    return marks


def _labels(place: int, nodes: Sequence[Node], boxes: dict[int, Box], dimensions: int) -> list[Mark]:
    box, node = boxes[place], nodes[place]
    x, y = box.middle[0], box.y - 4
    down = _is_downsampled(node, nodes)
    marks: list[Mark] = [
        Text(x=x - BESIDE if down else x, y=y, text=str(node.channels), size=TEXT, anchor="end" if down else "middle")
    ]
    anchor, x = "middle", x
    if _has_downsampled(place, nodes):
        anchor, x = "start", x + BESIDE
    elif _is_upsampled(node, nodes):
        anchor, x = "end", _arrow_x(box, nodes) - BESIDE
    for line, text in enumerate(_lower_text(place, nodes, dimensions)):
        times = text.startswith("×")
        marks.append(
            Text(
                x=x,
                y=box.bottom + 10 + 11 * line,
                text=text,
                size=SMALL,
                anchor=anchor,
                colour=PURPLE if times else "#555555",
                bold=times,
            )
        )
    return marks
