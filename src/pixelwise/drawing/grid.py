"""Grid layout of nested networks: resolutions are rows, and each node is to the right of its inputs.

U-Net++ is drawn as the triangle of its paper (Zhou et al. 2018, arXiv 1807.10165, figure 1a).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.drawing.graph import Node, SkipConnection
from pixelwise.drawing.style import (
    COLOURS,
    GREY,
    SMALL,
    TEXT,
    Box,
    NetworkLayout,
    arrow_kind,
    fill_colour,
    size_text,
    tooltip,
)
from pixelwise.drawing.writing import Line, Mark, Polygon, Text, rectangle, text_width

HEIGHT, COLUMN_GAP, ROW_GAP = 36.0, 22.0, 56.0
ARC, ARC_STEP = 16.0, 9.0  # height of an arc over one node, and for each further node


@dataclass(frozen=True)
class _Stage:
    """Consecutive nodes of one resolution, drawn as one box."""

    nodes: tuple[int, ...]
    column: int


def is_nested(nodes: Sequence[Node]) -> bool:
    """Return whether a resolution has several concatenations, so that skips pass other nodes."""
    rows = [node.level for node in nodes if node.kind == "joined"]
    return len(rows) > len(set(rows))


def lay_out_grid(nodes: Sequence[Node], dimensions: int) -> NetworkLayout:
    """Lay out the stages of a network in a grid."""
    stages = _stages(nodes)
    heads = [s for s in stages if _is_output(s, nodes) and s.nodes[0] > 0]
    lifted = len(heads) > 1
    width = max(text_width(line, TEXT, True) for s in stages for line in _inside(s, nodes)) + 14
    arcs = [_arc_height(skip, stage, stages, nodes) for stage in stages for skip in nodes[stage.nodes[0]].skips]
    top = 8 + max(arcs, default=0.0) + (HEIGHT + 18 if lifted else 0)
    left = max(text_width(size_text(node.size, dimensions), SMALL) for node in nodes) + 12
    boxes: dict[int, Box] = {}
    for stage in stages:
        node = nodes[stage.nodes[-1]]
        column, y = stage.column, top + node.level * (HEIGHT + ROW_GAP)
        if lifted and stage in heads:
            column, y = column - 1, 8.0
        boxes[stage.nodes[-1]] = Box(node=node, x=left + column * (width + COLUMN_GAP), y=y, width=width, height=HEIGHT)
    marks: list[Mark] = [mark for stage in stages for mark in _arrows(stage, stages, nodes, boxes)]
    for stage in stages:
        marks += _box(stage, stage in heads, nodes, boxes[stage.nodes[-1]], dimensions)
    rows = {box.node.level: box for box in reversed(boxes.values())}
    marks += [
        Text(
            x=box.x - 7,
            y=box.middle[1] + 3,
            text=size_text(box.node.size, dimensions),
            size=SMALL,
            anchor="end",
            colour="#555555",
        )
        for box in rows.values()
    ]
    bottom = max(box.bottom for box in boxes.values())
    return NetworkLayout(tuple(boxes.values()), tuple(marks), max(box.right for box in boxes.values()), bottom + 10)


def _stages(nodes: Sequence[Node]) -> list[_Stage]:
    """Group the nodes into stages; the column of a stage is one more than those of its inputs."""
    groups: list[list[int]] = []
    used = {node.source for node in nodes} | {skip.node for node in nodes for skip in node.skips}
    for place, node in enumerate(nodes):
        begins = node.source in (None, 0) or node.kind == "joined" or node.source != place - 1
        begins = begins or nodes[node.source or 0].level != node.level or place not in used
        if begins:
            groups.append([place])
        else:
            groups[-1].append(place)
    columns: dict[int, int] = {}
    stages: list[_Stage] = []
    for group in groups:
        first = nodes[group[0]]
        before = [first.source, *(skip.node for skip in first.skips)]
        column = 1 + max((columns[place] for place in before if place is not None), default=-1)
        columns |= dict.fromkeys(group, column)
        stages.append(_Stage(tuple(group), column))
    return stages


def _stage_of(place: int, stages: Sequence[_Stage]) -> _Stage:
    return next(stage for stage in stages if place in stage.nodes)


def _is_output(stage: _Stage, nodes: Sequence[Node]) -> bool:
    """Return whether no node uses the output of a stage."""
    end = stage.nodes[-1]
    return all(node.source != end and end not in [skip.node for skip in node.skips] for node in nodes)


def _inside(stage: _Stage, nodes: Sequence[Node]) -> list[str]:
    """Return the text in a box: the name of the stage (the first word of its layer names) and its channels."""
    node = nodes[stage.nodes[-1]]
    return [node.layers[-1].name.split()[0] if node.layers else "image", str(node.channels)]


def _arc_height(skip: SkipConnection, stage: _Stage, stages: Sequence[_Stage], nodes: Sequence[Node]) -> float:
    """Return the height of the arc of a skip; 0 for a straight line, if there is nothing in between."""
    source = _stage_of(skip.node, stages)
    level = nodes[stage.nodes[0]].level
    between = [s for s in stages if source.column < s.column < stage.column and nodes[s.nodes[0]].level == level]
    return ARC + ARC_STEP * (len(between) - 1) if between else 0.0


def _arrows(stage: _Stage, stages: Sequence[_Stage], nodes: Sequence[Node], boxes: dict[int, Box]) -> list[Mark]:
    box, first = boxes[stage.nodes[-1]], nodes[stage.nodes[0]]
    if first.source is None:
        return []
    start = boxes[_stage_of(first.source, stages).nodes[-1]]
    (x0, y0), (x1, y1) = start.middle, box.middle
    quarter = box.width / 4
    colour = COLOURS[arrow_kind(first)]
    if y1 > y0:
        points = ((x0 + quarter, start.bottom), (x1 - quarter, box.y))
    elif y1 < y0:
        points = ((x0 + (quarter if x1 > x0 else 0), start.y), (x1 - (quarter if x1 > x0 else 0), box.bottom))
    else:
        points = ((start.right, y0), (box.x, y1))
    marks: list[Mark] = [Line(points=points, colour=colour, width=1.8)]
    for skip in first.skips:
        other = boxes[_stage_of(skip.node, stages).nodes[-1]]
        lift = _arc_height(skip, stage, stages, nodes)
        if not lift:
            marks.append(Line(points=((other.right, y1), (box.x, y1)), colour=GREY, width=1.2))
            continue
        a, b = (other.right - 6, other.y), (box.x + quarter / 2 + 3 * (lift - ARC) / ARC_STEP, box.y)
        high = 4 * lift / 3  # a cubic curve reaches three quarters of the height of its handles
        handles = (a[0] + 30, a[1] - high), (b[0] - 30, b[1] - high)
        marks.append(Line(points=(a, *handles, b), colour=GREY, width=1.2, curved=True, dashed=True))
    return marks


def _box(stage: _Stage, last: bool, nodes: Sequence[Node], box: Box, dimensions: int) -> list[Mark]:
    name, channels = _inside(stage, nodes)
    note = "; ".join(tooltip(nodes[place], dimensions) for place in stage.nodes)
    area = Polygon(points=rectangle(box.x, box.y, box.width, box.height), fill=fill_colour(box.node, last), note=note)
    x, y = box.middle
    return [area, Text(x=x, y=y - 3, text=name, size=TEXT, bold=True), Text(x=x, y=y + 10, text=channels, size=TEXT)]
