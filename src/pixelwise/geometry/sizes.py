"""Output size, receptive field, halo and valid sizes of a network, derived from its layer graph.

The U-Net of Ronneberger et al. 2015 (doi 10.1007/978-3-319-24574-4_28, figure 1) gives 572 -> 388.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import (
    GLOBAL,
    LayerGraph,
    LayerSpec,
    along,
    differs_by_axis,
    receptive_span,
    sizes_along,
    sizes_with_remainder,
    total_stride,
)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of a network along every axis, in pixels, for tiling, planning and model files.

    If the axes differ, `axes` has the sizes along each, and the others are the largest: what is valid for them is valid
    along every axis.

    Attributes
    ----------
    total_stride : int
        Product of the strides of the contracting path.
    reach : int
        Receptive radius: the largest distance from an output pixel to an input pixel it depends on.
    halo : int
        Smallest multiple of `total_stride` that a tile, whose edges are multiples of `total_stride`, must read beyond
        its valid region to be exact; 0 for valid convolutions, whose border covers it.
    margin : int
        Border removed per side: 92 for the U-Net of 2015, 0 for padded networks.
    legal_first, legal_step : int
        Valid input sizes are legal_first + k legal_step.
    receptive_field : int
        Input pixels that an output pixel depends on, at the worst position on the pooling grid.
    receptive_field_min : int
        The same at the best position; 0 if unknown.
    exact : bool
        False if a layer depends on the whole image, so that tiled and whole prediction differ.
    axes : tuple of Geometry
        Of each axis if they differ, else empty.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=16, reach=107, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=204
    ... )
    >>> geometry.is_valid(572), geometry.output_size(572), geometry.valid_size(600)
    (True, 388, 604)
    """

    total_stride: int
    reach: int
    halo: int
    margin: int
    legal_first: int
    legal_step: int
    receptive_field: int
    exact: bool = True
    receptive_field_min: int = field(default=0, compare=False)  # for display only: older model files lack it
    axes: "tuple[Geometry, ...]" = ()

    def along(self, axis: int) -> "Geometry":
        """Return the sizes along one axis."""
        return self.axes[axis] if self.axes else self

    def valid_sizes(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return `valid_size` of each side, along its axis."""
        return tuple(self.along(axis).valid_size(side) for axis, side in enumerate(sizes))

    def is_valid(self, size: int) -> bool:
        """Return whether `size` is a valid input size."""
        return size >= self.legal_first and (size - self.legal_first) % self.legal_step == 0

    def valid_size(self, size: int) -> int:
        """Return the smallest valid input size that is not below `size`."""
        steps = -(-max(0, size - self.legal_first) // self.legal_step)
        return self.legal_first + steps * self.legal_step

    def valid_size_below(self, size: int) -> int | None:
        """Return the largest valid input size that is not above `size`; None without one."""
        if size < self.legal_first:
            return None
        return size - (size - self.legal_first) % self.legal_step

    def output_size(self, size: int) -> int:
        """Return the size of the logits for a valid input size.

        Raises
        ------
        BadOption
            The size is not valid; the nearest valid ones are named.
        """
        self.check(size)
        return size - 2 * self.margin

    def check(self, size: int) -> None:
        """Raise `BadOption` if a size is not valid."""
        if not self.is_valid(size):
            below = self.valid_size_below(size)
            smaller = f", the nearest smaller one {below}" if below is not None else ""
            raise BadOption(
                f"a side of {self.legal_first} + k x {self.legal_step}",
                f"{size}",
                f"The nearest larger one is {self.valid_size(size)}{smaller}.",
            )


def derive_geometry(layer_graph: LayerGraph, exact: bool = True, smallest: int = 1) -> Geometry:
    """Derive all sizes of a network from its layer graph by exact interval arithmetic.

    Parameters
    ----------
    layer_graph : LayerGraph
        Layers from the image to the logits.
    exact : bool
        False if a layer depends on the whole image.
    smallest : int
        Minimum side of every map; 2 for instance normalisation, which cannot normalise a single pixel.

    Raises
    ------
    BadOption
        No size below 4096 is valid, or valid sizes do not repeat with the total stride.

    Examples
    --------
    >>> geometry = derive_geometry([LayerSpec(name="conv", kind="convolution", kernel=3)])
    >>> geometry.margin, geometry.receptive_field
    (1, 3)
    """
    stride = total_stride(layer_graph)
    first = _first_valid(layer_graph, stride, smallest)
    large = first + 64 * stride  # far from all borders
    sizes = sizes_along(layer_graph, large)
    if sizes is None:
        raise BadOption("valid sizes that repeat with the total stride", f"{large} as invalid", "Check the strides.")
    margin = (large - sizes[-1]) // 2
    middle = sizes[-1] // 2 // stride * stride
    lefts: list[int] = []
    rights: list[int] = []
    for phase in range(stride):
        low, high = receptive_span(layer_graph, sizes, large, middle + phase)
        lefts.append(middle + phase + margin - low)
        rights.append(high - (middle + phase + margin))
    need = max(max(a - p, b - (stride - 1 - p)) for p, (a, b) in enumerate(zip(lefts, rights, strict=True)))
    return Geometry(
        total_stride=stride,
        reach=max(*lefts, *rights),
        halo=0 if margin else -(-max(0, need) // stride) * stride,
        margin=margin,
        legal_first=first,
        legal_step=stride,
        receptive_field=max(a + b + 1 for a, b in zip(lefts, rights, strict=True)),
        receptive_field_min=min(a + b + 1 for a, b in zip(lefts, rights, strict=True)),
        exact=exact,
    )


def derive_axes_geometry(layer_graph: LayerGraph, dimensions: int, exact: bool = True, smallest: int = 1) -> Geometry:
    """Derive all sizes of a network whose layers may treat the axes differently; see `derive_geometry`.

    Examples
    --------
    >>> pool = LayerSpec(name="pool", kind="pooling", kernel=2, stride=2, axes=((1, 1, 0), (2, 2, 0)))
    >>> up = LayerSpec(name="up", kind="nearest", stride=2, axes=((1, 1, 0), (1, 2, 0)))
    >>> geometry = derive_axes_geometry([pool, up], 2)
    >>> geometry.total_stride, [geometry.along(axis).total_stride for axis in range(2)]
    (2, [1, 2])
    """
    if not differs_by_axis(layer_graph):
        return derive_geometry(layer_graph, exact, smallest)
    axes = tuple(derive_geometry(along(layer_graph, axis), exact, smallest) for axis in range(dimensions))
    if len(set(axes)) == 1:
        return axes[0]
    coarsest = max(axes, key=lambda axis: (axis.legal_step, axis.legal_first))
    step, first = coarsest.total_stride, coarsest.valid_size(max(axis.legal_first for axis in axes))
    if not all(axis.is_valid(first) and coarsest.legal_step % axis.legal_step == 0 for axis in axes):
        raise BadOption("strides of an axis that divide those of the others", f"{axes}", "Use strides of 1 and 2.")
    return replace(
        coarsest,
        legal_first=first,
        reach=max(axis.reach for axis in axes),
        halo=max(-(-axis.halo // step) * step for axis in axes),
        margin=max(axis.margin for axis in axes),
        receptive_field=max(axis.receptive_field for axis in axes),
        receptive_field_min=max(axis.receptive_field_min for axis in axes),
        axes=axes,
    )


def as_exact(geometry: Geometry) -> Geometry:
    """Return the geometry of a network whose normalisations no longer depend on the whole image.

    Examples
    --------
    >>> conv = LayerSpec(name="conv", kind="convolution", kernel=3, padding=1)
    >>> as_exact(derive_geometry([conv], exact=False)).exact
    True
    """
    return replace(geometry, exact=True, axes=tuple(replace(axis, exact=True) for axis in geometry.axes))


def derive_classifier_geometry(layer_graph: LayerGraph) -> Geometry:
    """Derive the sizes of a classifier, which accepts any size that leaves a pixel in every map.

    `reach` and `receptive_field` are those of the last map before the global average.

    Examples
    --------
    >>> conv = LayerSpec(name="conv", kind="convolution", kernel=3, stride=2, padding=1)
    >>> derive_classifier_geometry([conv, LayerSpec(name="mean", kind="global average")]).total_stride
    2
    """
    features = [e for e in layer_graph if not (isinstance(e, LayerSpec) and e.kind in GLOBAL)]
    stride = total_stride(features)
    size = 64 * stride
    sizes = sizes_along(features, size)
    if sizes is None:
        raise BadOption("a network that accepts multiples of its total stride", f"{size} as invalid", "Check it.")
    low, high = receptive_span(features, sizes, size, 0)
    return Geometry(
        total_stride=stride,
        reach=max(-low, high),
        halo=0,
        margin=0,
        legal_first=_first_with_rest(features),
        legal_step=1,
        receptive_field=high - low + 1,
        receptive_field_min=high - low + 1,
        exact=False,
    )


def _first_valid(layer_graph: LayerGraph, stride: int, smallest: int) -> int:
    for size in range(1, 4096 + stride):
        sizes = sizes_along(layer_graph, size, smallest)
        # strided padded layers round odd sizes up; a larger output would not be aligned with the input
        if sizes is not None and sizes[-1] <= size and (size - sizes[-1]) % 2 == 0:
            return size
    raise BadOption("a network with a valid size below 4096", "none", "Use fewer pooling layers.")


def _first_with_rest(layer_graph: LayerGraph) -> int:
    """Return the smallest size for which every map of a classifier has a pixel."""
    for size in range(1, 4096):
        if sizes_with_remainder(layer_graph, size) is not None:
            return size
    raise BadOption("a network with a valid size below 4096", "none", "Use fewer pooling layers.")
