"""Where the maps of a cut network are computed for a region of the image, and in which tiles.

A subgraph is an exact map between areas of the padded image: to compute its output in an area, it reads its inputs in
that area and its halo. Going backwards from a region of the logits gives the area of each map. All areas are spans in
pixels of the image, at multiples of the stride of the coarsest map of the subgraph, and end at the edge of the padded
image, where the padding of the network acts as for the whole image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from pixelwise.geometry.layer_graph import Span
from pixelwise.geometry.subgraphs import Cost, MapKey, NetworkStages, Subgraph
from pixelwise.geometry.tiles import Tile


@dataclass(frozen=True, kw_only=True)
class Step:
    """A subgraph to compute: its halo, the multiple at which its tiles start, and its cost per pixel.

    `identity`: it has no layers, so that its output is its input.
    """

    subgraph: Subgraph
    halo: int
    multiple: int
    cost: Cost
    identity: bool = False


def make_step(stages: NetworkStages, subgraph: Subgraph) -> Step:
    """Return a subgraph with the numbers that tiling needs."""
    return Step(
        subgraph=subgraph,
        halo=stages.halo(subgraph),
        multiple=stages.step_of(subgraph),
        cost=stages.cost(subgraph),
        identity=stages.is_identity(subgraph),
    )


def output_spans(steps: Sequence[Step], region: Span, size: int) -> tuple[Span, ...]:
    """Return along one axis where each step must be computed for the logits of a region.

    Parameters
    ----------
    steps : sequence of Step
        In the order of computation.
    region : (start, stop)
        In an image of `size`, which is padded to a valid size of the network.

    Examples
    --------
    >>> from pixelwise.geometry.subgraphs import Cost, subgraphs_at
    >>> steps = [
    ...     Step(subgraph=part, halo=halo, multiple=4, cost=Cost(0.0, 0.0))
    ...     for part, halo in zip(subgraphs_at([1]), (4, 8, 4), strict=True)
    ... ]
    >>> output_spans(steps, (10, 20), 40)
    ((0, 32), (4, 24), (8, 20))
    """
    needed: dict[MapKey, Span] = {("decoder", 0): region}
    spans: list[Span] = []
    for step in reversed(steps):
        low, high = needed[step.subgraph.output]
        start, stop = low // step.multiple * step.multiple, -(-high // step.multiple) * step.multiple
        spans.append((start, min(stop, size)))
        read = read_span(step, spans[-1], size)
        for key in step.subgraph.inputs:
            known = needed.get(key, read)
            needed[key] = min(known[0], read[0]), max(known[1], read[1])
    return tuple(reversed(spans))


def read_span(step: Step, span: Span, size: int) -> Span:
    """Return what a step reads along one axis to compute its output in `span`."""
    return max(0, span[0] - step.halo), min(size, span[1] + step.halo)


def cut_span(span: Span, core: int) -> list[Span]:
    """Cut a span into spans of `core` pixels; the last one may be shorter."""
    return [(start, min(start + core, span[1])) for start in range(span[0], span[1], core)]


def step_tiles(step: Step, area: tuple[Span, ...], core: int, size: tuple[int, ...]) -> list[Tile]:
    """Return the tiles that compute a step in an area: a span per axis.

    `read`, `keep` and `write` are in pixels of the image; `keep` is relative to `read`. `core` is a multiple of that of
    the step.
    """
    tiles: list[Tile] = []
    for write in product(*(cut_span(span, core) for span in area)):
        read = tuple(read_span(step, span, side) for span, side in zip(write, size, strict=True))
        keep = tuple((span[0] - first, span[1] - first) for span, (first, _) in zip(write, read, strict=True))
        tiles.append(Tile(read, keep, write))
    return tiles


def region_grid(size: tuple[int, ...], region: int) -> list[tuple[Span, ...]]:
    """Divide an image into regions of `region` pixels per side."""
    return list(product(*(cut_span((0, side), region) for side in size)))
