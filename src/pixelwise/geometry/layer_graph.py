"""The layer graph of a network: its layers in execution order, with marks where paths branch and merge.

A layer is a `LayerSpec`. `Save` stores the current map under a name, `Branch` starts another path from a saved map, and
`Merge` combines the current map with a saved one: with these three, any graph is a flat list. Convolution, pooling and
upsampling treat the axes separately, and mostly alike, so one axis is enough; `along` returns the graph along an axis
where they differ.

Reference: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", relations 6 and 14.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal[
    "convolution", "pooling", "average", "subsampling", "transposed", "bilinear", "nearest", "global average", "linear"
]
MergeMode = Literal["concatenated", "added", "multiplied"]
GLOBAL = ("global average", "linear")
MAIN = ""  # name of the first input of a layer graph
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer along one axis.

    Sizes: (n - dilation (kernel - 1) - 1 + 2 padding) / stride + 1, rounded down, or up if `ceil`; (n - 1) stride - 2
    padding + dilation (kernel - 1) + 1 for a transposed convolution; "bilinear" and "nearest" multiply by `stride`;
    "global average" and "linear" return one value. "pooling" is the maximum, "average" the mean, "subsampling" keeps
    one pixel of each stride. Channels and parameters are for tables. `axes` has (kernel, stride, padding) of each axis
    if they differ; the layer itself is then that of the largest numbers.

    Examples
    --------
    >>> conv = LayerSpec(name="conv", kind="convolution", kernel=3)
    >>> conv.output_size(572)
    570
    >>> conv.input_span(0, 0)
    (0, 2)
    """

    name: str
    kind: Kind
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    in_channels: int = 0
    channels: int = 0
    parameters: int = 0
    ceil: bool = False
    axes: tuple[tuple[int, int, int], ...] = ()

    def along(self, axis: int) -> "LayerSpec":
        """Return the layer along one axis.

        Examples
        --------
        >>> conv = LayerSpec(name="conv", kind="convolution", **axis_fields((1, 3, 3), (1, 2, 2), (0, 1, 1)))
        >>> conv.along(0).output_size(10), conv.along(1).output_size(10)
        (10, 5)
        """
        if not self.axes:
            return self
        kernel, stride, padding = self.axes[axis]
        return replace(self, kernel=kernel, stride=stride, padding=padding, axes=())

    def kernel_size(self, dimensions: int) -> int:
        """Return the number of positions of the kernel, over all axes."""
        return math.prod(kernel for kernel, _, _ in self.axes) if self.axes else self.kernel**dimensions

    @property
    def up(self) -> bool:
        """Whether the layer upsamples."""
        return self.kind in ("transposed", "bilinear", "nearest")

    @property
    def span(self) -> int:
        """Extent of the dilated kernel in pixels."""
        return self.dilation * (self.kernel - 1) + 1

    def output_size(self, size: int) -> int:
        """Return the size of the output for an input of `size`; 0 or less if the input is too small."""
        if self.kind == "transposed":
            return (size - 1) * self.stride - 2 * self.padding + self.span
        if self.up:
            return size * self.stride
        if self.kind in GLOBAL:
            return min(size, 1)
        free = size - self.span + 2 * self.padding
        return -(-free // self.stride) + 1 if self.ceil else free // self.stride + 1

    def fits(self, size: int) -> bool:
        """Return whether the layer uses every pixel of `size`: a map pooled by 2 x 2 must have even sides.

        The remainder of the stride may be padding (7 x 7 of stride 2 and padding 3 accepts even sides too) or pixels
        between the kernels (1 x 1 of stride 2).
        """
        if self.up or self.kind in GLOBAL:
            return size > 0
        free = size - self.span + 2 * self.padding
        return free >= 0 and (self.ceil or free % self.stride <= self.padding + max(0, self.stride - self.span))

    def input_span(self, first: int, last: int) -> tuple[int, int]:
        """Return the input pixels that the output pixels `first`...`last` depend on."""
        if self.kind in ("nearest", "bilinear") and self.stride == 1:  # an axis that is not upsampled
            return first, last
        if self.kind == "nearest":
            return first // self.stride, last // self.stride
        if self.kind == "bilinear":  # align_corners=False: output o is sampled at (o + 1/2) / s - 1/2
            low = (2 * first + 1 - self.stride) // (2 * self.stride)
            high = (2 * last + 1 - self.stride) // (2 * self.stride) + 1
            return low, high
        if self.kind == "transposed":
            low = -((-(first + self.padding - self.span + 1)) // self.stride)
            return low, (last + self.padding) // self.stride
        return first * self.stride - self.padding, last * self.stride - self.padding + self.span - 1

    def arithmetic(self, size: int) -> str:
        """Return the formula of `output_size(size)` as text, such as "(572 - 3 + 0) / 1 + 1 = 570"."""
        out = self.output_size(size)
        if self.kind == "transposed":
            return f"({size} - 1) x {self.stride} - {2 * self.padding} + {self.span} = {out}"
        if self.up:
            return f"{size} x {self.stride} = {out}"
        if self.kind in GLOBAL:
            return f"{size} -> {out}"
        return f"({size} - {self.span} + {2 * self.padding}) / {self.stride} + 1 = {out}"


@dataclass(frozen=True)
class Save:
    """Saves the current map under `name`; a name may be reused."""

    name: str


@dataclass(frozen=True)
class Branch:
    """Starts another path: the map saved under `name` becomes the current one."""

    name: str


@dataclass(frozen=True)
class Merge:
    """Combines the current map with the one saved under `name`.

    A concatenated map may be larger by an even number of pixels and is then centre-cropped; maps that are added or
    multiplied have equal sizes.
    """

    name: str
    how: MergeMode = "concatenated"


LayerGraph = Sequence[LayerSpec | Save | Branch | Merge]


def axis_fields(kernels: Sequence[int], strides: Sequence[int], paddings: Sequence[int]) -> dict[str, Any]:
    """Return the fields of a `LayerSpec` for the kernel, stride and padding of each axis.

    Examples
    --------
    >>> axis_fields((3, 3), (1, 1), (1, 1))
    {'kernel': 3, 'stride': 1, 'padding': 1}
    >>> axis_fields((1, 3), (1, 2), (0, 1))["axes"]
    ((1, 1, 0), (3, 2, 1))
    """
    largest = {"kernel": max(kernels), "stride": max(strides), "padding": max(paddings)}
    axes = tuple(zip(kernels, strides, paddings, strict=True))
    return largest if len(set(axes)) == 1 else {**largest, "axes": axes}


def along(layer_graph: LayerGraph, axis: int) -> LayerGraph:
    """Return the graph along one axis.

    Examples
    --------
    >>> pool = LayerSpec(name="pool", kind="pooling", **axis_fields((1, 2, 2), (1, 2, 2), (0, 0, 0)))
    >>> total_stride(along([pool], 0)), total_stride(along([pool], 2))
    (1, 2)
    """
    return [element.along(axis) if isinstance(element, LayerSpec) else element for element in layer_graph]


def differs_by_axis(layer_graph: LayerGraph) -> bool:
    """Return whether a layer treats the axes differently."""
    return any(isinstance(element, LayerSpec) and bool(element.axes) for element in layer_graph)


def sizes_along(layer_graph: LayerGraph, size: int, smallest: int = 1) -> list[int] | None:
    """Return the size after each element, or None if `size` is not valid or a map is below `smallest`.

    Examples
    --------
    >>> conv = LayerSpec(name="a", kind="convolution", kernel=3)
    >>> pool = LayerSpec(name="b", kind="pooling", kernel=2, stride=2)
    >>> sizes_along([conv, pool], 12), sizes_along([conv, pool], 13)
    ([10, 5], None)
    """
    saved: dict[str, int] = {}
    sizes: list[int] = []
    for element in layer_graph:
        if isinstance(element, LayerSpec):
            if not element.fits(size):
                return None
            size = element.output_size(size)
            if size < smallest and element.kind not in GLOBAL:
                return None
        elif isinstance(element, Save):
            saved[element.name] = size
        elif isinstance(element, Branch):
            size = saved[element.name]
        elif not _can_merge(saved[element.name] - size, element.how):
            return None
        sizes.append(size)
    return sizes


def sizes_with_remainder(layer_graph: LayerGraph, size: int) -> list[int] | None:
    """Return the size after each element, allowing strides with a remainder; None if a map vanishes.

    Examples
    --------
    >>> sizes_with_remainder([LayerSpec(name="pool", kind="pooling", kernel=2, stride=2)], 13)
    [6]
    """
    saved: dict[str, int] = {}
    sizes: list[int] = []
    for element in layer_graph:
        if isinstance(element, LayerSpec):
            size = element.output_size(size)
        elif isinstance(element, Branch):
            size = saved[element.name]
        elif isinstance(element, Save):
            saved[element.name] = size
        if size < 1:
            return None
        sizes.append(size)
    return sizes


def _can_merge(surplus: int, how: MergeMode) -> bool:
    return surplus == 0 or (how == "concatenated" and surplus > 0 and surplus % 2 == 0)


def total_stride(layer_graph: LayerGraph) -> int:
    """Return the largest product of strides on the contracting path.

    Examples
    --------
    >>> pool = LayerSpec(name="pool", kind="pooling", kernel=2, stride=2)
    >>> total_stride([pool, pool, LayerSpec(name="up", kind="nearest", stride=2)])
    4
    """
    current = largest = 1
    saved: dict[str, int] = {}
    for element in layer_graph:
        if isinstance(element, LayerSpec):
            current = max(1, current // element.stride) if element.up else current * element.stride
            largest = max(largest, current)
        elif isinstance(element, Save):
            saved[element.name] = current
        elif isinstance(element, Branch):
            current = saved[element.name]
    return largest


def receptive_span(layer_graph: LayerGraph, sizes: Sequence[int], size: int, pixel: int) -> tuple[int, int]:
    """Return the first and last input pixel that an output pixel depends on.

    Parameters
    ----------
    layer_graph : LayerGraph
        Layers from the input to the output.
    sizes : sequence of int
        Result of `sizes_along(layer_graph, size)`.
    size : int
        Of the input.
    pixel : int
        Index in the output; it may be outside.

    Examples
    --------
    >>> conv = LayerSpec(name="a", kind="convolution", kernel=3)
    >>> pool = LayerSpec(name="b", kind="pooling", kernel=2, stride=2)
    >>> receptive_span([conv, pool], [10, 5], 12, 0)
    (0, 3)
    """
    spans = input_spans(layer_graph, pixel, _crops(layer_graph, sizes))
    return spans.get(MAIN) or (0, size - 1)


def input_spans(layer_graph: LayerGraph, pixel: int, crops: Mapping[int, int] | None = None) -> dict[str, Span]:
    """Return the first and last pixel of each input that an output pixel depends on.

    Parameters
    ----------
    layer_graph : LayerGraph
        Layers from one input or several to the output. Maps that are used but not saved in it are inputs too.
    pixel : int
        Index in the output; it may be outside.
    crops : mapping, optional
        How many pixels are cropped on each side of the map of a `Merge`, by its index; 0 without an entry.

    Returns
    -------
    dict
        A span per input, in its own pixels; the key of the first one is `MAIN`. Inputs that are not used are missing.

    Examples
    --------
    >>> conv = LayerSpec(name="conv", kind="convolution", kernel=3, padding=1)
    >>> input_spans([conv, LayerSpec(name="up", kind="nearest", stride=2), Merge("skip"), conv], 4)
    {'': (0, 3), 'skip': (3, 5)}
    """
    crops = crops or {}
    span: Span | None = (pixel, pixel)
    pending: dict[str, Span | None] = {}
    for index in reversed(range(len(layer_graph))):
        element = layer_graph[index]
        if isinstance(element, LayerSpec):
            span = element.input_span(*span) if span else None
        elif isinstance(element, Save):
            span = _union(span, pending.pop(element.name, None))
        elif isinstance(element, Branch):
            pending[element.name] = _union(pending.get(element.name), span)
            span = None
        elif span:
            crop = crops.get(index, 0)
            pending[element.name] = _union(pending.get(element.name), (span[0] + crop, span[1] + crop))
    return {name: found for name, found in {MAIN: span, **pending}.items() if found}


def _crops(layer_graph: LayerGraph, sizes: Sequence[int]) -> dict[int, int]:
    """Return for each `Merge` how many pixels the saved map is cropped by on each side."""
    saved: dict[str, int] = {}
    crops: dict[int, int] = {}
    for index, (element, here) in enumerate(zip(layer_graph, sizes, strict=True)):
        if isinstance(element, Save):
            saved[element.name] = here
        elif isinstance(element, Merge):
            crops[index] = (saved[element.name] - here) // 2
    return crops


def _union(one: Span | None, other: Span | None) -> Span | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
