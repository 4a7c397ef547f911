"""Drawings of networks: every one is legible and agrees with execution."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image
from torch.overrides import TorchFunctionMode

from pixelwise.drawing.graph import Node, read_nodes
from pixelwise.drawing.maps import read_maps
from pixelwise.drawing.network import draw_network, lay_out
from pixelwise.drawing.style import COLOURS, Box, arrow_kind
from pixelwise.drawing.writing import FONT, Drawing, Line, Point, Polygon, Text, to_png, to_svg
from pixelwise.geometry.layer_graph import sizes_with_remainder
from pixelwise.networks.architectures import (
    ARCHITECTURES,
    ENCODERS,
    SEGMENTERS,
    NetworkOptions,
    build,
    published_options,
    published_size,
    with_defaults_where_unread,
)
from pixelwise.networks.models import Network

Rectangle = tuple[float, float, float, float]
VARIANTS = [
    *(published_options(name) for name in ARCHITECTURES),
    *(published_options("unet", encoder) for encoder in ENCODERS),
    *(NetworkOptions(depth=depth) for depth in (1, 2, 6)),
    *(with_defaults_where_unread(NetworkOptions(name=name, base=8, depth=2, dimensions=3)) for name in SEGMENTERS),
    *(NetworkOptions(upsampling=way) for way in ("bilinear", "nearest")),
    NetworkOptions(name="unetplusplus", deep_supervision=True),
    NetworkOptions(name="unetplusplus", depth=6, deep_supervision=True),
    NetworkOptions(name="unetplusplus", depth=1),
    NetworkOptions(name="attention_unet", gates="aligned"),
    NetworkOptions(name="attention_unet", depth=1),
    NetworkOptions(encoder="resnet50", full_resolution=True, stem="deep", shortcut="D"),
    NetworkOptions(name="resnet56", shortcut="B"),
]


def name_of(options: NetworkOptions) -> str:
    changed = {k: v for k, v in vars(options).items() if v != getattr(NetworkOptions(), k)}
    return "-".join(str(value) for value in changed.values()) or "unet"


def on_meta(options: NetworkOptions) -> tuple[Network, int]:
    with torch.device("meta"):
        network = build(options).eval()
    return network, network.geometry().valid_size(64 if network.dimensions == 3 else published_size(options.name))


def nodes_of(network: Network, size: int) -> list[Node]:
    layer_graph = network.layer_graph()
    return read_nodes(read_maps(layer_graph, sizes_with_remainder(layer_graph, size), size))


def drawn(options: NetworkOptions) -> tuple[list[Node], tuple[Box, ...], Drawing]:
    network, size = on_meta(options)
    nodes = nodes_of(network, size)
    return nodes, lay_out(nodes, network.dimensions).boxes, draw_network(nodes, network.dimensions, ["name", "a", "b"])


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[1], other[1])


def inside(one: Rectangle, other: Rectangle) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one[2] <= other[2] and one[3] <= other[3]


def bounds(area: Polygon | Box) -> Rectangle:
    if isinstance(area, Box):
        return area.x, area.y, area.right, area.bottom
    xs, ys = zip(*area.points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def along(line: Line) -> Iterator[Point]:
    """Points of a line, close together."""
    shares = np.linspace(0, 1, 400)
    if line.curved:
        a, b, c, d = (np.array(point) for point in line.points)
        for t in shares:
            yield tuple((1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d)
    else:
        for one, other in pairwise(line.points):
            for t in shares:
                yield one[0] + t * (other[0] - one[0]), one[1] + t * (other[1] - one[1])


def faults(drawing: Drawing) -> list[str]:
    """Return legibility problems: text that overlaps text, box edges or lines, or is outside the drawing."""
    found: list[str] = []
    words = [(mark.text, mark.rectangle) for mark in drawing.words]
    areas = [bounds(mark) for mark in drawing.marks if isinstance(mark, Polygon)]
    paper = (0.0, 0.0, drawing.width, drawing.height)
    found += [f"{a} upon {b}" for (a, one), (b, other) in combinations(words, 2) if overlap(one, other)]
    found += [f"{a} on an edge" for a, r in words for b in areas if overlap(r, b) and not inside(r, b)]
    found += [f"{a} off the paper" for a, r in words if not inside(r, paper)]
    found += ["a box off the paper" for b in areas if not inside(b, paper)]
    for line in (mark for mark in drawing.marks if isinstance(mark, Line)):
        places = np.array(list(along(line)))
        off = ((places < 0) | (places > (drawing.width, drawing.height))).any()
        found += ["a line off the paper"] * bool(off)
        for text, (left, top, right, bottom) in words:
            under = (places > (left, top)).all(1) & (places < (right, bottom)).all(1)
            found += [f"a line through {text}"] * bool(under.any())
    return found


@pytest.mark.parametrize("options", VARIANTS, ids=name_of)
def test_every_network_has_a_legible_drawing(options: NetworkOptions) -> None:
    nodes, boxes, drawing = drawn(options)
    assert faults(drawing) == []
    assert not any(overlap(bounds(one), bounds(other)) for one, other in combinations(boxes, 2))
    # each box has its arrow
    assert len(boxes) <= len([node for node in nodes if node.kind != "gate"])
    assert {COLOURS[arrow_kind(node)] for node in nodes if node.kind not in ("input", "gate")} <= {
        mark.colour for mark in drawing.marks if isinstance(mark, Line)
    }


@given(
    name=st.sampled_from(["unet", "resunet", "resencunet", "unetplusplus", "attention_unet", "vnet"]),
    depth=st.integers(1, 6),
    base=st.integers(1, 64),
    times=st.integers(1, 9),
    channels=st.integers(1, 40),
    classes=st.integers(1, 3000),
    dimensions=st.sampled_from([2, 3]),
)
@settings(max_examples=30, deadline=None)
def test_any_width_depth_and_size_is_legible(
    name: str, depth: int, base: int, times: int, channels: int, classes: int, dimensions: int
) -> None:
    how = {"depth": depth, "base": base, "in_channels": channels, "classes": classes, "dimensions": dimensions}
    network, _ = on_meta(with_defaults_where_unread(NetworkOptions(name=name, **how)))
    size = network.geometry().legal_first + (times - 1) * network.geometry().legal_step
    assert faults(draw_network(nodes_of(network, size), dimensions, [name])) == []


@pytest.mark.parametrize(
    ("fault", "marks"),
    [
        ("256 upon 64", [Text(x=50.0, y=50.0, text="256"), Text(x=60.0, y=52.0, text="64")]),
        ("64 on an edge", [Text(x=50.0, y=50.0, text="64"), Polygon(points=((50.0, 0.0), (99.0, 99.0)), fill="none")]),
        ("64 off the paper", [Text(x=1.0, y=50.0, text="64")]),
        ("a line through 64", [Text(x=50.0, y=50.0, text="64"), Line(points=((0.0, 47.0), (99.0, 47.0)), colour="k")]),
        ("a line off the paper", [Line(points=((0.0, 47.0), (101.0, 47.0)), colour="k")]),
    ],
)
def test_control_problems_are_detected(fault: str, marks: list[Any]) -> None:
    assert faults(Drawing("", 100.0, 100.0, tuple(marks))) == [fault]


class Recorder(TorchFunctionMode):
    """Records channels and size of every map that a torch function returns."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[tuple[str, int, int]] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.ndim >= 2:
            name = getattr(function, "__name__", "")
            self.maps.append((name, out.shape[1], out.shape[2] if out.ndim > 2 else 1))
        return out


@pytest.mark.parametrize("options", VARIANTS, ids=name_of)
def test_boxes_agree_with_the_executed_maps(options: NetworkOptions) -> None:
    network, size = on_meta(options)
    nodes = nodes_of(network, size)
    boxes = lay_out(nodes, network.dimensions).boxes
    with Recorder() as real, torch.device("meta"):
        network.forward_heads(torch.zeros(1, nodes[0].channels, *[size] * network.dimensions))
    maps = {(channels, side) for _, channels, side in real.maps}
    assert {(box.node.channels, box.node.size) for box in boxes[1:]} <= maps
    joined = Counter((node.channels, node.size) for node in nodes if node.kind == "joined")
    assert joined <= Counter((channels, side) for name, channels, side in real.maps if name == "cat")
    # all layers are in boxes
    steps = [layer for node in nodes for layer in node.layers]
    assert sum(step.parameters for step in steps) == sum(p.numel() for p in network.parameters())
    assert Counter(step.name for step in steps) == Counter(layer.name for layer in network.layers(size))


def test_the_figure_of_2015() -> None:
    """Channels and sizes along the U, from figure 1 of Ronneberger et al. 2015."""
    nodes, boxes, drawing = drawn(published_options("unet2015"))
    maps = [(node.channels, node.size) for node in nodes]
    assert maps[:3] == [(1, 572), (64, 570), (64, 568)]
    assert maps[3:6] == [(64, 284), (128, 282), (128, 280)]
    assert maps[6:9] == [(128, 140), (256, 138), (256, 136)]
    assert maps[9:12] == [(256, 68), (512, 66), (512, 64)]
    assert maps[12:15] == [(512, 32), (1024, 30), (1024, 28)]
    assert maps[15:18] == [(1024, 56), (512, 54), (512, 52)]
    assert maps[18:21] == [(512, 104), (256, 102), (256, 100)]
    assert maps[21:24] == [(256, 200), (128, 198), (128, 196)]
    assert maps[24:] == [(128, 392), (64, 390), (64, 388), (2, 388)]
    assert [node.level for node in nodes] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3 + [3] * 3 + [2] * 3 + [
        1
    ] * 3 + [0] * 4
    heights, widths = [box.height for box in boxes], [box.width for box in boxes]
    assert heights[0] == max(heights)
    assert min(heights) == heights[14]
    assert widths[14] == widths[15] == max(widths)
    # four skips are centre-cropped
    dashed = [bounds(mark) for mark in drawing.marks if isinstance(mark, Polygon) and mark.dashed]
    assert len(dashed) == 4
    assert (dashed[0][3] - dashed[0][1]) / heights[2] == pytest.approx(392 / 568)
    assert "skip: centre-cropped, concatenated" in [word.text for word in drawing.words]
    assert "skip: concatenated" in [word.text for word in drawn(published_options("unet"))[2].words]


def test_blocks_concatenations_and_gates_are_one_node_each() -> None:
    kinds = [node.kind for node in drawn(published_options("resnet18"))[0]]
    assert kinds == ["input", "convolution", "pooling", *["residual"] * 8, "global average", "linear"]
    gated = drawn(published_options("attention_unet"))[0]
    assert [node.kind for node in gated].count("gate") == 3
    joined = [node for node in gated if node.kind == "joined"]
    assert [gated[node.skips[0].node].channels for node in joined] == [512, 256, 128, 64]
    assert [node.skips[0].gate is not None for node in joined] == [True, True, True, False]
    nested = drawn(replace(published_options("unetplusplus"), depth=3))[0]
    assert [len(node.skips) for node in nested if node.kind == "joined"] == [1, 1, 1, 2, 2, 3]


def test_long_runs_are_one_box_with_their_number() -> None:
    nodes, _, drawing = drawn(published_options("resnet152"))
    assert [node.repeated for node in nodes if node.kind == "residual"] == [3, 1, 7, 1, 35, 1, 1, 1]
    assert {"× 3", "× 7", "× 35"} <= {word.text for word in drawing.words}
    assert {node.repeated for node in drawn(published_options("resnet18"))[0]} == {1}


def test_the_nodes_of_unetplusplus_form_a_triangle() -> None:
    _, boxes, _ = drawn(published_options("unetplusplus"))
    rows = [[box for box in boxes[1:-1] if box.node.level == level] for level in range(5)]
    assert [len(row) for row in rows] == [5, 4, 3, 2, 1]
    for upper, lower in pairwise(rows):
        assert upper[0].bottom < lower[0].y
        assert all(one.x < two.x < three.x for one, two, three in zip(upper, lower, upper[1:], strict=False))


@pytest.mark.parametrize("name", ["unet2015", "unetplusplus", "attention_unet", "vnet", "resnet20", "vgg16"])
def test_files_are_self_contained(name: str) -> None:
    drawing = drawn(published_options(name))[2]
    svg = to_svg(drawing)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {element.tag.partition("}")[2] for element in root.iter()} <= {
        "svg",
        "title",
        "rect",
        "polygon",
        "path",
        "text",
    }
    rest = svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not any(word in rest for word in ("href", "url(", "://", "<script", "@import"))
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == [word.text for word in drawing.words]
    with Image.open(BytesIO(to_png(drawing))) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(drawing.width / drawing.height, rel=0.01)
    assert (pixels < 200).any(2).mean() > 0.005, "something is drawn"
    assert (pixels[[0, -1]] == 255).all(), "nothing runs into the edge"


def test_text_is_escaped() -> None:
    drawing = Drawing("a < b & c", 90.0, 30.0, (Text(x=9.0, y=20.0, text="x < y & z"),))
    assert "x < y & z" in "".join(ElementTree.fromstring(to_svg(drawing)).itertext())


def test_text_is_not_wider_than_estimated() -> None:
    """Compared with the outlines of the font."""
    words = {replace(word, x=0.0, y=0.0) for options in VARIANTS for word in drawn(options)[2].words}
    for word in words:
        font = FontProperties(family=FONT, weight="bold" if word.bold else "normal")
        real = TextPath((0, 0), word.text, size=word.size, prop=font).get_extents()
        left, top, right, bottom = word.rectangle
        assert real.width <= right - left, word.text
        assert real.y1 <= -top, word.text
        assert -real.y0 <= bottom, word.text
