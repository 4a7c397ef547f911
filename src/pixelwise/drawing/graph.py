"""Nodes of a network drawing: feature maps grouped into blocks, each drawn as one box.

A residual block, an attention gate, and the concatenation of an upsampled map with its skips are one node each. They
are found in the layer graph, so that new architectures need no code here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pixelwise.drawing.maps import Map
from pixelwise.geometry.layer_graph import GLOBAL, LayerSpec, Merge

LONGEST_RUN = 4  # if a run of equal layers is longer than this ...
PAIR = 2  # ... all runs longer than this are drawn as one box


@dataclass(frozen=True)
class SkipConnection:
    """A skip connection: its source node, and its attention gate, if any."""

    node: int
    gate: int | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One box of the drawing.

    Attributes
    ----------
    kind : str
        "input", "residual", "gate", "joined", or the kind of its only layer.
    channels, size : int
        Of the output map.
    level : int
        0 is the finest resolution, the next coarser one is 1.
    source : int or None
        Index of the previous node on the main path; of a gate, of its gating signal.
    layers : tuple of LayerSpec
        All layers of the node.
    skips : tuple of SkipConnection
        Concatenated maps; of a gate, the skip that it weights.
    repeated : int
        Number of equal consecutive layers or blocks that it represents.
    """

    kind: str
    channels: int
    size: int
    level: int
    source: int | None
    layers: tuple[LayerSpec, ...]
    skips: tuple[SkipConnection, ...] = ()
    repeated: int = 1

    @property
    def is_vector(self) -> bool:
        """Whether the output is a vector: after a global average."""
        return self.kind in GLOBAL

    @property
    def first_strided(self) -> LayerSpec | None:
        """The first layer with a stride, or else the first layer."""
        return next((layer for layer in self.layers if layer.stride > 1), self.layers[0] if self.layers else None)


@dataclass(frozen=True)
class _Group:
    """Maps of one node, the last of which is its output, and the previous map on the main path."""

    kind: str
    maps: frozenset[int]
    source: int | None
    skips: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        return max(self.maps)


def read_nodes(maps: Sequence[Map]) -> list[Node]:
    """Return the nodes in execution order; the first one is the image."""
    users = _users(maps)
    groups = _gates(maps, users)
    groups += _residuals(maps, _inside(groups))
    groups += _concatenations(maps, users, _inside(groups), {m for g in groups if g.kind == "gate" for m in g.maps})
    taken = _inside(groups)
    for index, feature_map in enumerate(maps):
        if index not in taken:
            kind = feature_map.element.kind if isinstance(feature_map.element, LayerSpec) else "input"
            groups.append(_Group(kind, frozenset([index]), feature_map.parents[0] if feature_map.parents else None))
    groups.sort(key=lambda group: group.end)
    nodes = _number(groups, maps)
    return _shorten(nodes) if max(map(len, _runs(nodes)), default=0) > LONGEST_RUN else nodes


def _users(maps: Sequence[Map]) -> list[list[int]]:
    users: list[list[int]] = [[] for _ in maps]
    for index, feature_map in enumerate(maps):
        for parent in feature_map.parents:
            users[parent].append(index)
    return users


def _inside(groups: Iterable[_Group]) -> set[int]:
    return {index for group in groups for index in group.maps}


def _is_merge(feature_map: Map, how: str) -> bool:
    return isinstance(feature_map.element, Merge) and feature_map.element.how == how


def _gates(maps: Sequence[Map], users: Sequence[Sequence[int]]) -> list[_Group]:
    """Find each attention gate: the product of a skip with coefficients, and all maps used only by it."""
    groups: list[_Group] = []
    for index, feature_map in enumerate(maps):
        if not _is_merge(feature_map, "multiplied"):
            continue
        inside = {index}
        for before in range(index - 1, 0, -1):
            if users[before] and inside.issuperset(users[before]):
                inside.add(before)
        skip = feature_map.parents[1]
        signals = {parent for member in inside for parent in maps[member].parents} - inside - {skip}
        end = index
        while len(users[end]) == 1 and isinstance(maps[users[end][0]].element, LayerSpec):
            end = users[end][0]
            inside.add(end)
        groups.append(_Group("gate", frozenset(inside), max(signals, default=skip), (skip,)))
    return groups


def _residuals(maps: Sequence[Map], taken: set[int]) -> list[_Group]:
    """Find each residual block: a sum and both of its paths, back to their common input."""
    groups: list[_Group] = []
    for index, feature_map in enumerate(maps):
        if index in taken or not _is_merge(feature_map, "added"):
            continue
        one, other = (_ancestors(maps, parent) for parent in feature_map.parents)
        common = max(one & other)
        maps_of = {before for before in one | other if before > common} | {index}
        groups.append(_Group("residual", frozenset(maps_of), common))
    return groups


def _ancestors(maps: Sequence[Map], index: int) -> set[int]:
    result: set[int] = set()
    waiting = [index]
    while waiting:
        current = waiting.pop()
        if current not in result:
            result.add(current)
            waiting += maps[current].parents
    return result


def _concatenations(
    maps: Sequence[Map], users: Sequence[Sequence[int]], taken: set[int], gates: set[int]
) -> list[_Group]:
    """Find consecutive concatenations, with the upsampling layer before them if only they use it."""
    groups: list[_Group] = []
    done: set[int] = set()
    for index in range(len(maps) - 1, 0, -1):
        if index in done or not _is_merge(maps[index], "concatenated"):
            continue
        inside, skips, current = {index}, [maps[index].parents[1]], maps[index].parents[0]
        while _is_merge(maps[current], "concatenated"):
            inside.add(current)
            skips.insert(0, maps[current].parents[1])
            current = maps[current].parents[0]
        element = maps[current].element
        alone = current not in taken and (inside | gates).issuperset(users[current])
        if isinstance(element, LayerSpec) and element.up and alone:
            inside.add(current)
            current = maps[current].parents[0]
        done |= inside
        groups.append(_Group("joined", frozenset(inside), current, tuple(skips)))
    return groups


def _number(groups: Sequence[_Group], maps: Sequence[Map]) -> list[Node]:
    owner = {index: place for place, group in enumerate(groups) for index in group.maps}
    strides = sorted({maps[group.end].stride for group in groups})
    nodes: list[Node] = []
    for group in groups:
        feature_map = maps[group.end]
        elements = [maps[index].element for index in sorted(group.maps)]
        nodes.append(
            Node(
                kind=group.kind,
                channels=feature_map.channels,
                size=feature_map.size,
                level=strides.index(feature_map.stride),
                source=None if group.source is None else owner[group.source],
                layers=tuple(element for element in elements if isinstance(element, LayerSpec)),
                skips=tuple(_skip_connection(owner[skip], groups, owner) for skip in group.skips),
            )
        )
    return nodes


def _skip_connection(place: int, groups: Sequence[_Group], owner: dict[int, int]) -> SkipConnection:
    gate = groups[place]
    return SkipConnection(owner[gate.skips[0]], place) if gate.kind == "gate" else SkipConnection(place)


def _runs(nodes: Sequence[Node]) -> list[list[int]]:
    """Return the indices of equal consecutive layers or blocks that nothing else uses."""
    uses = [0] * len(nodes)
    for node in nodes:
        for place in [node.source, *(skip.node for skip in node.skips)]:
            if place is not None:
                uses[place] += 1
    runs: list[list[int]] = []
    for place, node in enumerate(nodes):
        before = nodes[runs[-1][-1]] if runs else None
        last = runs[-1][-1] if runs else 0
        if before and node.source == last and uses[last] == 1 and _same(before, node):
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _same(one: Node, other: Node) -> bool:
    """Return whether two consecutive nodes are equal and do not change the size."""
    alike = (one.kind, one.channels, one.size) == (other.kind, other.channels, other.size)
    halving = one.first_strided is not None and one.first_strided.stride > 1
    return alike and not halving and one.kind in ("convolution", "residual")


def _shorten(nodes: Sequence[Node]) -> list[Node]:
    """Replace each long run by its last node and renumber the nodes."""
    runs = [boxes for run in _runs(nodes) for boxes in ([run] if len(run) > PAIR else [[place] for place in run])]
    place = {old: new for new, run in enumerate(runs) for old in run}
    short: list[Node] = []
    for run in runs:
        first, last = nodes[run[0]], nodes[run[-1]]
        skips = tuple(SkipConnection(place[s.node], None if s.gate is None else place[s.gate]) for s in last.skips)
        layers = tuple(layer for old in run for layer in nodes[old].layers)
        source = None if first.source is None else place[first.source]
        short.append(replace(last, source=source, layers=layers, skips=skips, repeated=len(run)))
    return short
