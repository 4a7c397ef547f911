"""Graph of feature maps of a network, and its peak memory in inference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save


@dataclass(frozen=True)
class Map:
    """The output of a layer or `Merge`: channels, size along the last axis, and input maps.

    `stride` is image pixels per pixel of the map; the first parent is the current path, the second the saved map.
    `axes` are the sizes along all axes if they differ.
    """

    element: LayerSpec | Merge | None
    channels: int
    size: int
    stride: int
    parents: tuple[int, ...]
    axes: tuple[int, ...] = ()


def read_maps(
    layer_graph: LayerGraph, sizes: Sequence[int], size: int, axes: Sequence[Sequence[int]] = ()
) -> list[Map]:
    """Return the image and all feature maps, in execution order.

    Parameters
    ----------
    sizes : sequence of int
        Result of `sizes_along(layer_graph, size)` or `sizes_with_rest(layer_graph, size)`.
    axes : sequence of sequence of int
        `sizes` along each axis, if they differ.
    """
    each = list(zip(*axes, strict=True)) if axes else [()] * len(sizes)
    first = next(element for element in layer_graph if isinstance(element, LayerSpec))
    maps = [Map(None, first.in_channels, size, 1, ())]
    saved: dict[str, int] = {}
    current = 0
    for element, side, sides in zip(layer_graph, sizes, each, strict=True):
        if isinstance(element, Save):
            saved[element.name] = current
            continue
        if isinstance(element, Branch):
            current = saved[element.name]
            continue
        if isinstance(element, LayerSpec):
            stride = _stride(element, maps[current].stride)
            maps.append(Map(element, element.channels, side, stride, (current,), sides))
        else:
            other = saved[element.name]
            maps.append(
                Map(
                    element,
                    _merged_channels(element, maps[current], maps[other]),
                    side,
                    maps[current].stride,
                    (current, other),
                    sides,
                )
            )
        current = len(maps) - 1
    return maps


def peak_values(maps: Sequence[Map], dimensions: int) -> int:
    """Return the peak number of values in memory in inference: input, output and maps that are still needed.

    Working memory of the layers is not included.
    """
    last = {parent: index for index, feature_map in enumerate(maps) for parent in feature_map.parents}
    values = [
        feature_map.channels * (math.prod(feature_map.axes) if feature_map.axes else feature_map.size**dimensions)
        for feature_map in maps
    ]
    return max(
        values[now] + sum(values[before] for before in range(now) if last.get(before, -1) >= now)
        for now in range(len(maps))
    )


def _stride(layer: LayerSpec, before: int) -> int:
    return max(1, before // layer.stride) if layer.up else before * layer.stride


def _merged_channels(merge: Merge, current: Map, other: Map) -> int:
    if merge.how == "concatenated":
        return current.channels + other.channels
    return other.channels if merge.how == "multiplied" else current.channels
