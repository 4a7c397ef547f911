"""Passes that measure the statistics of normalisations over a whole image, tile by tile.

Instance and group normalisation (Ulyanov et al. 2016, arXiv 1607.08022; Wu & He 2018, arXiv 1803.08494) divide by the
standard deviation of the whole map, which a tile does not contain. Their statistics depend only on layers before them:
measured in the order of the layers, each pass over the image fixes those of one normalisation, and once all are fixed
the network treats every tile like the whole image.

A pass starts from the image, or from maps that an earlier pass has stored for the whole image. Which maps are stored
is a choice between memory and work: coarse maps are small, so that all maps from some stride on are stored.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from pixelwise.geometry.layer_graph import LayerSpec, Span
from pixelwise.geometry.subgraphs import VALUE_WORK

CORES = (4096, 2048, 1024, 512, 256, 128)  # sides of the valid regions of tiles, in pixels of the image
VOLUME_CORES = (384, 256, 192, 128, 96, 64, 48, 32)  # the same for volumes, in voxels
VALUE_BYTES = 4  # a float32
MEMORY_FACTOR = 2.0  # memory of a tile relative to the values alive at once
MOMENT_READS = 3  # how often the values of a measured map are read, and those of a stored one moved


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation of a network; it computes the value of its own number from values of smaller numbers.

    Attributes
    ----------
    inputs : tuple of int
        Numbers of the values that it reads; empty for the image, which is value 0.
    strides : tuple of int
        Pixels of the image per pixel of the value, along each axis.
    layers : tuple of LayerSpec
        The layer along each axis; empty if a pixel depends on the same pixel of the inputs only.
    products : float
        Multiply-adds per pixel of the image.
    groups : int
        Number of groups of channels that a whole-image normalisation treats alike; 0 for all other operations.
    joins : bool
        Whether it combines two maps: what is added up in a residual network is read again later.
    """

    inputs: tuple[int, ...]
    strides: tuple[int, ...]
    channels: int
    layers: tuple[LayerSpec, ...] = ()
    products: float = 0.0
    groups: int = 0
    joins: bool = False

    @property
    def values(self) -> float:
        """Values per pixel of the image."""
        return self.channels / math.prod(self.strides)


OperationGraph = Sequence[Operation]


@dataclass(frozen=True, kw_only=True)
class StatisticsPass:
    """One pass over the image, for the statistics of one normalisation.

    Attributes
    ----------
    norm : int
        The normalisation.
    target : int
        The value that is measured.
    operations : tuple of int
        What is computed for each tile, in order; empty if the target is stored.
    reads : tuple of int
        Stored values, or the image, that the tiles read.
    stores : tuple of int
        Computed values that later passes read.
    halo, multiple : tuple of int
        Along each axis: pixels of the image that a tile reads beyond its valid region, and those at whose multiples
        tiles start.
    """

    norm: int
    target: int
    operations: tuple[int, ...]
    reads: tuple[int, ...]
    stores: tuple[int, ...]
    halo: tuple[int, ...]
    multiple: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StatisticsPlan:
    """All passes over an image, the sides of their tiles, their work in multiply-adds, and their memory in bytes."""

    passes: tuple[StatisticsPass, ...]
    cores: tuple[tuple[int, ...], ...]
    work: float
    bytes: int
    _drops: tuple[tuple[int, ...], ...] = field(default=())

    def drops(self, index: int) -> tuple[int, ...]:
        """Return the stored values that no pass after number `index` reads."""
        return self._drops[index]


def find_passes(graph: OperationGraph, stored: Collection[int]) -> tuple[StatisticsPass, ...]:
    """Return a pass for each normalisation, in order, if the values in `stored` are stored once they are computed.

    Parameters
    ----------
    stored : collection of int
        Numbers of values.

    Examples
    --------
    A convolution and a normalisation, twice; the second pass starts from the map that the first one stores:

    >>> conv = LayerSpec(name="conv", kind="convolution", kernel=3, padding=1)
    >>> image = Operation(inputs=(), strides=(1, 1), channels=1)
    >>> graph = [image]
    >>> for number in (0, 2):
    ...     graph.append(Operation(inputs=(number,), strides=(1, 1), channels=4, layers=(conv, conv)))
    ...     graph.append(Operation(inputs=(number + 1,), strides=(1, 1), channels=4, groups=4))
    >>> [(each.operations, each.reads, each.stores, each.halo) for each in find_passes(graph, {1})]
    [((1,), (0,), (1,), (1, 1)), ((2, 3), (1,), (), (1, 1))]
    >>> [(each.operations, each.halo) for each in find_passes(graph, {})][1]
    ((1, 2, 3), (2, 2))
    """
    available: set[int] = set()
    found: list[tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = []
    for norm, operation in enumerate(graph):
        if not operation.groups:
            continue
        (target,) = operation.inputs
        operations, reads = _needed(graph, target, available)
        stores = tuple(index for index in operations if index in stored)
        available |= set(stores)
        found.append((norm, target, operations, reads, stores))
    last_read = {index: number for number, (*_, reads, _) in enumerate(found) for index in reads}
    passes: list[StatisticsPass] = []
    for number, (norm, target, operations, reads, stores) in enumerate(found):
        stores = tuple(index for index in stores if last_read.get(index, -1) > number)
        multiple = _multiple(graph, (*operations, *reads))
        halo = tuple(_halo(graph, operations, reads, (target, *stores), a, multiple[a]) for a in range(len(multiple)))
        passes.append(
            StatisticsPass(
                norm=norm,
                target=target,
                operations=operations,
                reads=reads,
                stores=stores,
                halo=halo,
                multiple=multiple,
            )
        )
    return tuple(passes)


def plan_statistics(graph: OperationGraph, size: tuple[int, ...], memory: int) -> StatisticsPlan | None:
    """Return the passes with the least work that fit into the memory; None if none fit.

    Parameters
    ----------
    size : tuple of int
        Of the padded image.
    memory : int
        Bytes for the stored maps and a tile.
    """
    best: StatisticsPlan | None = None
    for stored in _stored_sets(graph):
        plan = _plan(graph, find_passes(graph, stored), size, memory)
        if plan is not None and (best is None or plan.work < best.work):
            best = plan
    return best


def network_work(graph: OperationGraph) -> float:
    """Return the work of the whole network per pixel of the image, as `subgraphs.count_cost` counts it."""
    return sum(_work(graph, index) for index in range(1, len(graph)))


def cut_axis(size: int, core: int) -> list[Span]:
    """Return the valid regions of the tiles along an axis of `size` pixels."""
    return [(start, min(start + core, size)) for start in range(0, size, core)]


def _needed(graph: OperationGraph, target: int, available: Collection[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what must be computed for a value, in order, and the available values, or the image, that this reads."""
    operations: set[int] = set()
    reads: set[int] = set()
    waiting = [target]
    while waiting:
        index = waiting.pop()
        if index in available or not graph[index].inputs:
            reads.add(index)
        elif index not in operations:
            operations.add(index)
            waiting.extend(graph[index].inputs)
    return tuple(sorted(operations)), tuple(sorted(reads))


def _multiple(graph: OperationGraph, indices: Sequence[int]) -> tuple[int, ...]:
    """Return the coarsest stride along each axis."""
    return tuple(math.lcm(*strides) for strides in zip(*(graph[index].strides for index in indices), strict=True))


def _halo(
    graph: OperationGraph,
    operations: Sequence[int],
    reads: Sequence[int],
    outputs: Sequence[int],
    axis: int,
    multiple: int,
) -> int:
    """Return how far beyond its valid region a tile must read along an axis, a multiple of `multiple`.

    As in `NetworkStages.halo`, from the span that the outputs in one step of `multiple` pixels depend on.
    """
    spans: dict[int, Span] = {index: (0, multiple // graph[index].strides[axis] - 1) for index in outputs}
    for index in reversed(operations):
        if index not in spans:
            continue
        low, high = spans[index]
        operation = graph[index]
        if operation.layers:
            low, high = operation.layers[axis].input_span(low, high)
        for source in operation.inputs:
            known = spans.get(source, (low, high))
            spans[source] = min(known[0], low), max(known[1], high)
    need = 0
    for index in reads:
        if index in spans:
            low, high = spans[index]
            stride = graph[index].strides[axis]
            need = max(need, -low * stride, (high + 1) * stride - multiple)
    return -(-need // multiple) * multiple


def _stored_sets(graph: OperationGraph) -> Iterator[set[int]]:
    """Yield sets of values that may be stored: those of all maps from some stride on, and none."""
    targets = {operation.inputs[0] for operation in graph if operation.groups}
    candidates = {index for index, each in enumerate(graph) if index and (index in targets or each.joins)}
    pixels = {index: math.prod(graph[index].strides) for index in candidates}
    for least in sorted(set(pixels.values())):
        yield {index for index in candidates if pixels[index] >= least}
    yield set()


def _plan(
    graph: OperationGraph, passes: tuple[StatisticsPass, ...], size: tuple[int, ...], memory: int
) -> StatisticsPlan | None:
    """Choose the largest tiles that fit into the memory beside what is stored during each pass."""
    pixels = math.prod(size)
    last_read = {index: number for number, each in enumerate(passes) for index in each.reads}
    stored: set[int] = set()
    cores: list[tuple[int, ...]] = []
    drops: list[tuple[int, ...]] = []
    work, peak = 0.0, 0
    for number, each in enumerate(passes):
        stored |= set(each.stores)
        kept = int(VALUE_BYTES * pixels * sum(graph[index].values for index in stored))
        tile = MEMORY_FACTOR * VALUE_BYTES * _live_values(graph, each)
        choices = ((core, int(tile * _window(each, core, size))) for core in _cores(each, size))
        core, used = next(((core, used) for core, used in choices if kept + used <= memory), ((), 0))
        if not core:
            return None
        cores.append(core)
        peak = max(peak, kept + used)
        work += _pass_work(graph, each, core, size)
        drops.append(tuple(index for index in sorted(stored) if last_read[index] <= number))
        stored -= set(drops[-1])
    return StatisticsPlan(passes=passes, cores=tuple(cores), work=work, bytes=peak, _drops=tuple(drops))


def _cores(each: StatisticsPass, size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the sides of the valid regions of tiles, large ones first: multiples of those of the pass."""
    for side in CORES if len(size) == 2 else VOLUME_CORES:
        yield tuple(
            min(-(-side // multiple), -(-whole // multiple)) * multiple
            for multiple, whole in zip(each.multiple, size, strict=True)
        )


def _window(each: StatisticsPass, core: tuple[int, ...], size: tuple[int, ...]) -> int:
    """Return the pixels that the largest tile reads."""
    sides = zip(core, each.halo, size, strict=True)
    return math.prod(min(side + 2 * halo, whole) for side, halo, whole in sides)


def _live_values(graph: OperationGraph, each: StatisticsPass) -> float:
    """Return the most values alive at once, per pixel of a tile."""
    last_use = {index: number for number in each.operations for index in graph[number].inputs}
    alive = {index: graph[index].values for index in each.reads}
    peak = sum(alive.values())
    for number in each.operations:
        alive[number] = graph[number].values
        peak = max(peak, sum(alive.values()))
        alive = {index: values for index, values in alive.items() if last_use.get(index, -1) > number}
    return peak


def _pass_work(graph: OperationGraph, each: StatisticsPass, core: tuple[int, ...], size: tuple[int, ...]) -> float:
    """Return the work of a pass over an image, halos included."""
    read = 1.0
    for axis, side in enumerate(size):
        spans = cut_axis(side, core[axis])
        read *= sum(min(side, stop + each.halo[axis]) - max(0, start - each.halo[axis]) for start, stop in spans)
    computed = sum(_work(graph, index) for index in each.operations)
    moved = sum(graph[index].values for index in (*each.reads, *each.stores))
    moved += MOMENT_READS * graph[each.target].values
    return read * (computed + VALUE_WORK * moved)


def _work(graph: OperationGraph, index: int) -> float:
    operation = graph[index]
    moved = operation.values + sum(graph[source].values for source in operation.inputs)
    return operation.products + VALUE_WORK * moved
