"""Where to cut a network for exact tiles: the cuts, the regions and the tiles with the least work within the memory.

The work of a choice is counted, halos included; choices are all sets of levels and the sizes of `REGIONS` and `CORES`.
A network is cut only if that saves much of the work of exact tiles of the whole network.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

from pixelwise.geometry.layer_graph import Span
from pixelwise.geometry.regions import Step, cut_span, make_step, output_spans, read_span
from pixelwise.geometry.subgraphs import Cost, MapKey, NetworkStages, Subgraph, subgraphs_at
from pixelwise.geometry.tiles import Side, padded_sizes, read_pixels
from pixelwise.runtimes.base import RuntimeMemory

MAX_FRACTION = 0.6  # of the work of tiles of the whole network, above which it is not cut
REGIONS = (16384, 8192, 6144, 5120, 4096, 3072, 2560, 2048, 1536, 1024)  # sides of regions, in pixels of the image
# sides of the valid regions of tiles, in pixels of the image
CORES = (4096, 3584, 3072, 2560, 2048, 1536, 1280, 1024, 768, 512, 384, 256)
IMAGE_CORES = (1024, 896, 768, 640, 512, 384, 256)  # the same for tiles that read the image: several wait in queues
VOLUME_REGIONS = (512, 448, 384, 320, 256, 224, 192, 160, 128, 96, 64)  # the same for volumes, in voxels
VOLUME_CORES = (384, 320, 256, 224, 192, 160, 128, 112, 96, 80, 64, 48, 32)
VOLUME_IMAGE_CORES = (192, 160, 128, 112, 96, 80, 64, 48, 32)
MIN_MEMORY = 640 * 2**20  # bytes: about those of the smallest tile of a whole deep network
MIN_VOLUME_MEMORY = 400 * 2**20  # bytes: the same for volumes
VALUE_BYTES = 4  # a float32
DISK_WORK = 150  # multiply-adds in the time in which a value is written to a file, or read from it
MAX_STORED = 4  # maps in a file


@dataclass(frozen=True)
class CutPlan:
    """How to compute a cut network.

    Attributes
    ----------
    steps : tuple of Step
        In the order of computation; the first reads the image, the last returns the logits.
    cores : tuple of int
        Side of the valid region of the tiles of each step.
    region : int
        Side of the regions of the image that are computed one after the other.
    work : float
        Multiply-adds for the image, with moved values counted as some (see `subgraphs.VALUE_WORK`).
    bytes : int
        Expected memory of the kept maps and of a tile.
    fraction : float
        `work` relative to that of tiles of the whole network.
    stored : frozenset
        Maps that are kept in a file instead of memory.
    stored_bytes : int
        Of these maps.
    """

    steps: tuple[Step, ...]
    cores: tuple[int, ...]
    region: int
    work: float
    bytes: int
    fraction: float = 1.0
    stored: frozenset[MapKey] = frozenset()
    stored_bytes: int = 0

    @property
    def cuts(self) -> tuple[int, ...]:
        """The levels at which the network is cut."""
        return tuple(step.subgraph.target for step in self.steps if step.subgraph.output[0] == "encoder")

    @property
    def read(self) -> int:
        """Side of the largest tile of the image that is read."""
        return max(
            core + 2 * step.halo for step, core in zip(self.steps, self.cores, strict=True) if not step.subgraph.source
        )

    def __str__(self) -> str:
        """Return the plan in one sentence."""
        levels = ", ".join(str(level) for level in self.cuts)
        stored = f", {self.stored_bytes / 1e9:.1f} GB of maps in a temporary file" if self.stored else ""
        return (
            f"The network is cut at encoder level {levels}, which keeps tiles exact with less work: "
            f"regions of {self.region} pixels, tiles of {self.cores[-1]}{stored}."
        )


@dataclass(frozen=True)
class _Lengths:
    """Of a step along one axis: all pixels read by tiles of each core, the longest output, and the longest read.

    `total` are all pixels of the outputs.
    """

    read: dict[int, int]
    output: int
    tile: dict[int, int]
    total: int


def plan_cuts(
    stages: NetworkStages,
    size: tuple[int, ...],
    memory: int,
    *,
    core: Side,
    last_core: int | None = None,
    required: bool = False,
    scratch: int = 0,
    factor: float = RuntimeMemory.factor,
) -> CutPlan | None:
    """Return the cheapest way to compute a cut network, or None if cutting does not save much.

    Parameters
    ----------
    size : tuple of int
        Of the image: (height, width), or (depth, height, width) for a network of three spatial axes.
    memory : int
        Bytes for the kept maps and a tile; at least `MIN_MEMORY`, for volumes `MIN_VOLUME_MEMORY`.
    core : int or sequence of int
        Side of the valid region of the tiles of the whole network that would be used without cuts.
    last_core : int, optional
        Required side of the tiles of the last step.
    required : bool
        Tiles of the whole network do not fit into the memory: any cut is better.
    scratch : int
        Bytes of maps that may be kept in a file.
    factor : float
        See `RuntimeMemory`.
    """
    best: CutPlan | None = None
    whole = _step(stages, Subgraph(0, 0)).cost
    uncut = whole.work * read_pixels(size, core, stages.geometry)
    limit = math.inf if required else MAX_FRACTION * uncut
    memory = max(memory, MIN_MEMORY if stages.dimensions == 2 else MIN_VOLUME_MEMORY)
    padded = padded_sizes(size, stages.geometry)
    for cuts in _cut_sets(stages.cut_levels):
        steps = tuple(_step(stages, subgraph) for subgraph in subgraphs_at(cuts))
        for region in _regions(padded, last_core or stages.geometry.total_stride, stages.dimensions):
            if _least_work(steps, size, padded, region) >= (limit if best is None else best.work):
                continue
            choices = [_cores(step, last_core, stages.dimensions) for step in steps]
            sides = list(zip(size, padded, strict=True))
            along = {each: _lengths(steps, choices, *each, region) for each in dict.fromkeys(sides)}
            lengths = [along[each] for each in sides]
            for stored in _stored_sets(stages, cuts, scratch):
                most = limit if best is None else best.work
                plan = _plan(stages, steps, choices, lengths, region, _Limits(memory, scratch, most, factor), stored)
                if plan is not None and plan.work < most:
                    best = replace(plan, fraction=plan.work / uncut)
    return best


def _stored_sets(stages: NetworkStages, cuts: Sequence[int], scratch: int) -> Iterator[frozenset[MapKey]]:
    """Yield sets of the finest encoder maps, which are the largest and wait longest, from none to `MAX_STORED`."""
    levels = [level for level in cuts if level < stages.deepest] if scratch else []
    for count in range(min(len(levels), MAX_STORED) + 1):
        yield frozenset(("encoder", level) for level in levels[:count])


@lru_cache(maxsize=512)
def _step(stages: NetworkStages, subgraph: Subgraph) -> Step:
    """Return `make_step`, which the plans of all images share."""
    return make_step(stages, subgraph)


def _cut_sets(levels: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for count in range(1, len(levels) + 1):
        yield from combinations(levels, count)


def _regions(padded: tuple[int, ...], multiple: int, dimensions: int) -> Iterator[int]:
    yield -(-max(padded) // multiple) * multiple
    sides = REGIONS if dimensions == 2 else VOLUME_REGIONS
    yield from (side // multiple * multiple for side in sides if multiple <= side < max(padded))


@dataclass(frozen=True)
class _Limits:
    """Bytes in memory and in a file, the work that a plan must stay below, and the memory of a tile per value."""

    memory: int
    scratch: int
    work: float
    factor: float

    def tile_bytes(self, cost: Cost, pixels: int) -> int:
        """Return the memory of a tile."""
        return int(VALUE_BYTES * self.factor * cost.values * pixels)


def _plan(
    stages: NetworkStages,
    steps: Sequence[Step],
    choices: Sequence[Sequence[int]],
    lengths: Sequence[Sequence[_Lengths]],
    region: int,
    limits: _Limits,
    stored: frozenset[MapKey],
) -> CutPlan | None:
    """Choose the largest tiles that fit into memory beside the maps that are kept at each step."""
    last_use = {key: index for index, step in enumerate(steps) for key in step.subgraph.inputs}
    kept: dict[MapKey, float] = {}
    cores: list[int] = []
    work = peak = on_disk = 0.0
    for index, step in enumerate(steps):
        axes = [axis[index] for axis in lengths]
        key = step.subgraph.output
        values = 0.0 if key == ("decoder", 0) else _map_values(stages, key) * math.prod(axis.output for axis in axes)
        if key in stored:
            on_disk += VALUE_BYTES * values
            work += DISK_WORK * _map_values(stages, key) * math.prod(axis.total for axis in axes)
        elif values:
            kept[key] = VALUE_BYTES * values
        if step.identity:
            kept.pop(step.subgraph.inputs[0], None)  # the map goes on under another name
            cores.append(choices[index][0])
            continue
        free = limits.memory - sum(kept.values())
        tiles = ((c, limits.tile_bytes(step.cost, math.prod(axis.tile[c] for axis in axes))) for c in choices[index])
        core, used = next(((c, size) for c, size in tiles if size <= free), (0, 0))
        if not core:
            return None
        cores.append(core)
        moved = DISK_WORK * sum(_map_values(stages, key) for key in step.subgraph.inputs if key in stored)
        work += (step.cost.work + moved) * math.prod(axis.read[core] for axis in axes)
        if work >= limits.work or on_disk > limits.scratch:
            return None
        peak = max(peak, sum(kept.values()) + used)
        kept = {name: size for name, size in kept.items() if last_use.get(name, index) > index}
    return CutPlan(tuple(steps), tuple(cores), region, work, int(peak), stored=stored, stored_bytes=int(on_disk))


def _map_values(stages: NetworkStages, key: MapKey) -> float:
    """Return the values of a map per pixel of the image."""
    return stages.channels_of(key) / stages.strides[key[1]] ** stages.dimensions


def _cores(step: Step, last_core: int | None, dimensions: int) -> tuple[int, ...]:
    if step.subgraph.output == ("decoder", 0) and last_core is not None:
        return (last_core,)
    reads_image = step.subgraph.source == 0
    if dimensions == 2:
        sides = IMAGE_CORES if reads_image else CORES
    else:
        sides = VOLUME_IMAGE_CORES if reads_image else VOLUME_CORES
    return tuple(dict.fromkeys(-(-side // step.multiple) * step.multiple for side in sides))


def _lengths(
    steps: Sequence[Step], choices: Sequence[Sequence[int]], size: int, padded: int, region: int
) -> list[_Lengths]:
    """Add up along one axis what each step reads in all regions, for each choice of its tiles."""
    counts = _distinct_regions(size, region, sum(step.halo for step in steps))
    regions = [output_spans(steps, span, padded) for span in counts]
    return [
        _length(step, cores, areas, tuple(counts.values()), padded)
        for step, cores, areas in zip(steps, choices, zip(*regions, strict=True), strict=True)
    ]


def _distinct_regions(size: int, region: int, halo: int) -> dict[Span, int]:
    """Return the regions along an axis, each with how many are like it: those far from both edges are alike."""
    regions = cut_span((0, size), region)
    near = 2 + -(-halo // region)
    if len(regions) <= 2 * near:
        return dict.fromkeys(regions, 1)
    ends = dict.fromkeys([*regions[:near], *regions[-near:]], 1)
    return ends | {regions[near]: len(regions) - 2 * near}


def _least_work(steps: Sequence[Step], size: tuple[int, ...], padded: tuple[int, ...], region: int) -> float:
    """Return the work of the outputs of all regions, which tiles of any size exceed by their halos."""
    totals = [[1] * len(steps)]
    halo = sum(step.halo for step in steps)
    for side, whole in dict.fromkeys(zip(size, padded, strict=True)):
        counts = _distinct_regions(side, region, halo)
        areas = zip(*(output_spans(steps, span, whole) for span in counts), strict=True)
        total = [
            sum(count * (stop - start) for (start, stop), count in zip(spans, counts.values(), strict=True))
            for spans in areas
        ]
        totals += [total] * list(zip(size, padded, strict=True)).count((side, whole))
    return sum(step.cost.work * math.prod(axis[index] for axis in totals) for index, step in enumerate(steps))


def _length(step: Step, cores: Sequence[int], areas: Sequence[Span], counts: Sequence[int], padded: int) -> _Lengths:
    """Add up what a step reads in areas, of which there are several alike."""
    read: dict[int, int] = {}
    tile: dict[int, int] = {}
    for core in cores:
        lengths = [
            [stop - start for start, stop in (read_span(step, span, padded) for span in cut_span(area, core))]
            for area in areas
        ]
        read[core] = sum(count * sum(each) for count, each in zip(counts, lengths, strict=True))
        tile[core] = max(max(each) for each in lengths)
    sides = [stop - start for start, stop in areas]
    total = sum(count * side for count, side in zip(counts, sides, strict=True))
    return _Lengths(read, max(sides), tile, total)
