"""Sizes are derived, not guessed: what comes out of a chain of layers, and what an output pixel has seen.

References: Ronneberger et al. 2015 (doi 10.1007/978-3-319-24574-4_28), figure 1, whose 572 -> 388 comes out of here.
"""

from dataclasses import dataclass, field

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import (
    GLOBAL,
    LayerGraph,
    LayerSpec,
    seen,
    sizes_along,
    sizes_with_rest,
    total_stride,
)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What tiles, plans and model files need to know of a network; sizes along one axis, in pixels.

    Attributes
    ----------
    total_stride : int
        Product of the strides going down.
    reach : int
        Largest distance from an output pixel's own place to an input pixel it depends on.
    halo : int
        Smallest multiple of `total_stride` that a tile, whose edges lie on multiples of `total_stride`, must read
        beyond what it keeps to be exact; 0 for valid convolutions, whose margin does it.
    margin : int
        Pixels lost per side: 92 for the U-Net of 2015, 0 for padded networks.
    legal_first, legal_step : int
        Legal input sizes are legal_first + k legal_step.
    receptive_field : int
        Input pixels that an output pixel depends on, at the worst place on the pooling grid.
    receptive_field_min : int
        The same at the best place; 0 where it was not derived.
    exact : bool
        False when a layer looks at the whole image, so that tiles cannot equal the whole.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=16, reach=107, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=204
    ... )
    >>> geometry.is_legal(572), geometry.output_size(572), geometry.legal_size(600)
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
    receptive_field_min: int = field(default=0, compare=False)  # told, not used: older model files lack it

    def is_legal(self, size: int) -> bool:
        """Tell whether the network takes inputs of `size`."""
        return size >= self.legal_first and (size - self.legal_first) % self.legal_step == 0

    def legal_size(self, size: int) -> int:
        """Return the smallest legal input size that is not below `size`."""
        steps = -(-max(0, size - self.legal_first) // self.legal_step)
        return self.legal_first + steps * self.legal_step

    def legal_size_below(self, size: int) -> int | None:
        """Return the largest legal input size that is not above `size`; None where there is none."""
        if size < self.legal_first:
            return None
        return size - (size - self.legal_first) % self.legal_step

    def output_size(self, size: int) -> int:
        """Return the size of the logits for a legal input size.

        Raises
        ------
        BadOption
            The size is not legal; the nearest legal ones are named.
        """
        self.check(size)
        return size - 2 * self.margin

    def check(self, size: int) -> None:
        """Refuse a size that is not legal."""
        if not self.is_legal(size):
            below = self.legal_size_below(size)
            smaller = f", the nearest smaller one {below}" if below is not None else ""
            raise BadOption(
                f"a side of {self.legal_first} + k x {self.legal_step}",
                f"{size}",
                f"The nearest larger one is {self.legal_size(size)}{smaller}.",
            )


def derive_geometry(layer_graph: LayerGraph, exact: bool = True, smallest: int = 1) -> Geometry:
    """Derive all sizes of a network from its layer graph by exact interval arithmetic.

    Parameters
    ----------
    layer_graph : LayerGraph
        Steps from the image to the logits.
    exact : bool
        False when the network also looks at the whole image.
    smallest : int
        Least side of every map on the way; 2 for instance normalisation, which cannot normalise a single pixel.

    Raises
    ------
    BadOption
        No size below 4096 passes through, or legal sizes do not repeat with the total stride.

    Examples
    --------
    >>> geometry = derive_geometry([LayerSpec(name="conv", kind="convolution", kernel=3)])
    >>> geometry.margin, geometry.receptive_field
    (1, 3)
    """
    stride = total_stride(layer_graph)
    first = _first_legal(layer_graph, stride, smallest)
    large = first + 64 * stride  # far from all borders
    sizes = sizes_along(layer_graph, large)
    if sizes is None:
        raise BadOption("legal sizes that repeat with the total stride", f"{large} to be illegal", "Check the strides.")
    margin = (large - sizes[-1]) // 2
    middle = sizes[-1] // 2 // stride * stride
    lefts: list[int] = []
    rights: list[int] = []
    for phase in range(stride):
        low, high = seen(layer_graph, sizes, large, middle + phase)
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


def derive_classifier_geometry(layer_graph: LayerGraph) -> Geometry:
    """Derive what is known of a network that ends in one value per class: it takes any size that leaves a pixel.

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
        raise BadOption("a network that takes multiples of its total stride", f"{size} to be illegal", "Check it.")
    low, high = seen(features, sizes, size, 0)
    return Geometry(
        total_stride=stride,
        reach=max(-low, high),
        halo=0,
        margin=0,
        legal_first=_first_without_rest(features),
        legal_step=1,
        receptive_field=high - low + 1,
        receptive_field_min=high - low + 1,
        exact=False,
    )


def _first_legal(layer_graph: LayerGraph, stride: int, smallest: int) -> int:
    for size in range(1, 4096 + stride):
        sizes = sizes_along(layer_graph, size, smallest)
        # strided padded layers round odd sizes up; coming back larger, the output would not lie on the input
        if sizes is not None and sizes[-1] <= size and (size - sizes[-1]) % 2 == 0:
            return size
    raise BadOption("a network that takes some size below 4096", "none", "Use fewer poolings.")


def _first_without_rest(layer_graph: LayerGraph) -> int:
    """Return the least size from which on every map of a classifier has a pixel."""
    for size in range(1, 4096):
        if sizes_with_rest(layer_graph, size) is not None:
            return size
    raise BadOption("a network that takes some size below 4096", "none", "Use fewer poolings.")
