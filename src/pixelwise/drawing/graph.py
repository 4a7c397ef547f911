"""What a person sees in the maps of a network: few nodes, each of them one box of the drawing.

A residual block, an attention gate, and the joint of an up-sampled map with its skips are one node each. All is read
off the layer graph's marks and kinds of steps, so that a new architecture is drawn without a line of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pixelwise.drawing.maps import Map
from pixelwise.geometry.layer_graph import GLOBAL, LayerSpec, Merge

LONGEST_RUN = 4  # where more equal layers than these follow each other ...
PAIR = 2  # ... all runs of more than a pair are drawn as one box


@dataclass(frozen=True)
class SkipConnection:
    """A kept map that comes in again: the node it comes from, and the gate it passes, if any."""

    node: int
    gate: int | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """What is drawn as one box.

    Attributes
    ----------
    kind : str
        "input", "residual", "gate", "joined", or the kind of its only step.
    channels, size : int
        Of the map that comes out.
    level : int
        0 is the finest resolution, the next coarser one is 1.
    source : int or None
        Place of the node that the main path comes from; of a gate, where its signal comes from.
    steps : tuple of Step
        All steps inside.
    skips : tuple of Skipped
        What is joined in; of a gate, the one skip that it weights.
    repeated : int
        How many equal layers or blocks in a row it stands for.
    """

    kind: str
    channels: int
    size: int
    level: int
    source: int | None
    steps: tuple[LayerSpec, ...]
    skips: tuple[SkipConnection, ...] = ()
    repeated: int = 1

    @property
    def is_vector(self) -> bool:
        """Whether no map is left: behind a global average."""
        return self.kind in GLOBAL

    @property
    def entering(self) -> LayerSpec | None:
        """The step that changes the size on the way in, or else the first one."""
        return next((step for step in self.steps if step.stride > 1), self.steps[0] if self.steps else None)


@dataclass(frozen=True)
class _Group:
    """Maps that become one node, the last one being what comes out, and the map the main path comes from."""

    kind: str
    maps: frozenset[int]
    source: int | None
    skips: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        return max(self.maps)


def read_nodes(maps: Sequence[Map]) -> list[Node]:
    """Return what is to be drawn, in the order of computing; the first node is the image."""
    users = _users(maps)
    groups = _gates(maps, users)
    groups += _residuals(maps, _inside(groups))
    groups += _joints(maps, users, _inside(groups), {m for g in groups if g.kind == "gate" for m in g.maps})
    taken = _inside(groups)
    for index, made in enumerate(maps):
        if index not in taken:
            kind = made.element.kind if isinstance(made.element, LayerSpec) else "input"
            groups.append(_Group(kind, frozenset([index]), made.parents[0] if made.parents else None))
    groups.sort(key=lambda group: group.end)
    nodes = _number(groups, maps)
    return _shorten(nodes) if max(map(len, _runs(nodes)), default=0) > LONGEST_RUN else nodes


def _users(maps: Sequence[Map]) -> list[list[int]]:
    users: list[list[int]] = [[] for _ in maps]
    for index, made in enumerate(maps):
        for parent in made.parents:
            users[parent].append(index)
    return users


def _inside(groups: Iterable[_Group]) -> set[int]:
    return {index for group in groups for index in group.maps}


def _is_join(made: Map, how: str) -> bool:
    return isinstance(made.element, Merge) and made.element.how == how


def _gates(maps: Sequence[Map], users: Sequence[Sequence[int]]) -> list[_Group]:
    """Find each product of a skip with coefficients, with all maps that are there for it alone."""
    groups: list[_Group] = []
    for index, made in enumerate(maps):
        if not _is_join(made, "multiplied"):
            continue
        inside = {index}
        for before in range(index - 1, 0, -1):
            if users[before] and inside.issuperset(users[before]):
                inside.add(before)
        skip = made.parents[1]
        signals = {parent for member in inside for parent in maps[member].parents} - inside - {skip}
        end = index
        while len(users[end]) == 1 and isinstance(maps[users[end][0]].element, LayerSpec):
            end = users[end][0]
            inside.add(end)
        groups.append(_Group("gate", frozenset(inside), max(signals, default=skip), (skip,)))
    return groups


def _residuals(maps: Sequence[Map], taken: set[int]) -> list[_Group]:
    """Find each sum with both of its paths, back to where they part."""
    groups: list[_Group] = []
    for index, made in enumerate(maps):
        if index in taken or not _is_join(made, "added"):
            continue
        one, other = (_ancestors(maps, parent) for parent in made.parents)
        parting = max(one & other)
        maps_of = {before for before in one | other if before > parting} | {index}
        groups.append(_Group("residual", frozenset(maps_of), parting))
    return groups


def _ancestors(maps: Sequence[Map], index: int) -> set[int]:
    found: set[int] = set()
    waiting = [index]
    while waiting:
        now = waiting.pop()
        if now not in found:
            found.add(now)
            waiting += maps[now].parents
    return found


def _joints(maps: Sequence[Map], users: Sequence[Sequence[int]], taken: set[int], gates: set[int]) -> list[_Group]:
    """Find each row of concatenations, with the up-sampling in front of it that is there for it alone."""
    groups: list[_Group] = []
    done: set[int] = set()
    for index in range(len(maps) - 1, 0, -1):
        if index in done or not _is_join(maps[index], "concatenated"):
            continue
        inside, skips, now = {index}, [maps[index].parents[1]], maps[index].parents[0]
        while _is_join(maps[now], "concatenated"):
            inside.add(now)
            skips.insert(0, maps[now].parents[1])
            now = maps[now].parents[0]
        element = maps[now].element
        alone = now not in taken and (inside | gates).issuperset(users[now])
        if isinstance(element, LayerSpec) and element.up and alone:
            inside.add(now)
            now = maps[now].parents[0]
        done |= inside
        groups.append(_Group("joined", frozenset(inside), now, tuple(skips)))
    return groups


def _number(groups: Sequence[_Group], maps: Sequence[Map]) -> list[Node]:
    owner = {index: place for place, group in enumerate(groups) for index in group.maps}
    strides = sorted({maps[group.end].stride for group in groups})
    nodes: list[Node] = []
    for group in groups:
        made = maps[group.end]
        elements = [maps[index].element for index in sorted(group.maps)]
        nodes.append(
            Node(
                kind=group.kind,
                channels=made.channels,
                size=made.size,
                level=strides.index(made.stride),
                source=None if group.source is None else owner[group.source],
                steps=tuple(element for element in elements if isinstance(element, LayerSpec)),
                skips=tuple(_skipped(owner[skip], groups, owner) for skip in group.skips),
            )
        )
    return nodes


def _skipped(place: int, groups: Sequence[_Group], owner: dict[int, int]) -> SkipConnection:
    gate = groups[place]
    return SkipConnection(owner[gate.skips[0]], place) if gate.kind == "gate" else SkipConnection(place)


def _runs(nodes: Sequence[Node]) -> list[list[int]]:
    """Return the places of equal layers or blocks that follow each other and that nothing else looks at."""
    watched = [0] * len(nodes)
    for node in nodes:
        for place in [node.source, *(skip.node for skip in node.skips)]:
            if place is not None:
                watched[place] += 1
    runs: list[list[int]] = []
    for place, node in enumerate(nodes):
        before = nodes[runs[-1][-1]] if runs else None
        last = runs[-1][-1] if runs else 0
        if before and node.source == last and watched[last] == 1 and _same(before, node):
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _same(one: Node, other: Node) -> bool:
    """Tell whether two nodes that follow each other look the same; what changes the size stands alone."""
    alike = (one.kind, one.channels, one.size) == (other.kind, other.channels, other.size)
    halving = one.entering is not None and one.entering.stride > 1
    return alike and not halving and one.kind in ("convolution", "residual")


def _shorten(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with each long run as its last one, numbered anew."""
    runs = [part for run in _runs(nodes) for part in ([run] if len(run) > PAIR else [[place] for place in run])]
    place = {old: new for new, run in enumerate(runs) for old in run}
    short: list[Node] = []
    for run in runs:
        first, last = nodes[run[0]], nodes[run[-1]]
        skips = tuple(SkipConnection(place[s.node], None if s.gate is None else place[s.gate]) for s in last.skips)
        steps = tuple(step for old in run for step in nodes[old].steps)
        source = None if first.source is None else place[first.source]
        short.append(replace(last, source=source, steps=steps, skips=skips, repeated=len(run)))
    return short
