"""Graph of feature maps of a network, and its peak memory in inference."""

from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save


@dataclass(frozen=True)
class Map:
    """The output of a layer or `Merge`: channels, size along one axis, and input maps.

    `stride` is image pixels per pixel of the map; the first parent is the current path, the second the saved map.
    """

    element: LayerSpec | Merge | None
    channels: int
    size: int
    stride: int
    parents: tuple[int, ...]


def read_maps(layer_graph: LayerGraph, sizes: Sequence[int], size: int) -> list[Map]:
    """Return the image and all feature maps, in execution order.

    Parameters
    ----------
    layer_graph : LayerGraph
    sizes : sequence of int
        Result of `sizes_along(layer_graph, size)` or `sizes_with_rest(layer_graph, size)`.
    size : int
    """
    first = next(element for element in layer_graph if isinstance(element, LayerSpec))
    maps = [Map(None, first.in_channels, size, 1, ())]
    kept: dict[str, int] = {}
    here = 0
    for element, side in zip(layer_graph, sizes, strict=True):
        if isinstance(element, Save):
            kept[element.name] = here
            continue
        if isinstance(element, Branch):
            here = kept[element.name]
            continue
        if isinstance(element, LayerSpec):
            maps.append(Map(element, element.channels, side, _stride(element, maps[here].stride), (here,)))
        else:
            other = kept[element.name]
            maps.append(
                Map(element, _joined_channels(element, maps[here], maps[other]), side, maps[here].stride, (here, other))
            )
        here = len(maps) - 1
    return maps


def peak_values(maps: Sequence[Map], dimensions: int) -> int:
    """Return the peak number of values in memory in inference: input, output and maps that are still needed.

    Working memory of the layers is not included.
    """
    last = {parent: index for index, made in enumerate(maps) for parent in made.parents}
    values = [made.channels * made.size**dimensions for made in maps]
    return max(
        values[now] + sum(values[before] for before in range(now) if last.get(before, -1) >= now)
        for now in range(len(maps))
    )


def _stride(step: LayerSpec, before: int) -> int:
    return max(1, before // step.stride) if step.up else before * step.stride


def _joined_channels(join: Merge, here: Map, other: Map) -> int:
    if join.how == "concatenated":
        return here.channels + other.channels
    return other.channels if join.how == "multiplied" else here.channels
