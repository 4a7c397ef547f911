"""Sizes are derived, not guessed: what comes out of a chain of layers, and what an output pixel has seen.

A network tells its `Trail`: the steps in the order of computing, with a mark where a skip is taken and one where it is
joined. Convolution, pooling and up-sampling treat rows and columns alike and apart, so one axis is enough.

References: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", relations 6 and 14;
Ronneberger et al. 2015 (doi 10.1007/978-3-319-24574-4_28), figure 1, whose 572 -> 388 comes out of here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pixelwise.errors import BadOption

Kind = Literal["convolution", "pooling", "transposed", "bilinear", "nearest"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One layer along one axis.

    Sizes: (n - dilation (kernel - 1) - 1 + 2 padding) / stride + 1 going down, and
    (n - 1) stride - 2 padding + dilation (kernel - 1) + 1 for a transposed convolution; "bilinear" and "nearest"
    multiply by `stride`. Channels and parameters are carried along for tables.
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

    @property
    def up(self) -> bool:
        """True for layers that enlarge."""
        return self.kind in ("transposed", "bilinear", "nearest")

    @property
    def span(self) -> int:
        """Pixels from the first to the last one under the kernel."""
        return self.dilation * (self.kernel - 1) + 1

    def output_size(self, size: int) -> int:
        """Return the size of the output for an input of `size`; 0 or less when the input is too small."""
        if self.kind == "transposed":
            return (size - 1) * self.stride - 2 * self.padding + self.span
        if self.up:
            return size * self.stride
        return (size - self.span + 2 * self.padding) // self.stride + 1

    def fits(self, size: int) -> bool:
        """Tell whether the layer uses every pixel of `size`: a map pooled by 2 x 2 must have even sides.

        What the stride leaves over at the end may be padding: 7 x 7 of stride 2 and padding 3 takes even sides too.
        """
        if self.up:
            return size > 0
        room = size - self.span + 2 * self.padding
        return room >= 0 and room % self.stride <= self.padding

    def sees(self, first: int, last: int) -> tuple[int, int]:
        """Return the input pixels that the output pixels `first`...`last` depend on."""
        if self.kind == "nearest":
            return first // self.stride, last // self.stride
        if self.kind == "bilinear":  # align_corners=False: the source of o is (o + 1/2) / s - 1/2
            low = (2 * first + 1 - self.stride) // (2 * self.stride)
            high = (2 * last + 1 - self.stride) // (2 * self.stride) + 1
            return low, high
        if self.kind == "transposed":
            low = -((-(first + self.padding - self.span + 1)) // self.stride)
            return low, (last + self.padding) // self.stride
        return first * self.stride - self.padding, last * self.stride - self.padding + self.span - 1

    def arithmetic(self, size: int) -> str:
        """Write the sum behind `output_size(size)`, such as "(572 - 3 + 0) / 1 + 1 = 570"."""
        out = self.output_size(size)
        if self.kind == "transposed":
            return f"({size} - 1) x {self.stride} - {2 * self.padding} + {self.span} = {out}"
        if self.up:
            return f"{size} x {self.stride} = {out}"
        return f"({size} - {self.span} + {2 * self.padding}) / {self.stride} + 1 = {out}"


@dataclass(frozen=True)
class Skip:
    """Here the map is kept for later under `name`."""

    name: str


@dataclass(frozen=True)
class Join:
    """Here the map kept under `name` comes in again, cut to its centre when it is larger."""

    name: str


Trail = Sequence[Step | Skip | Join]


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
    exact : bool
        False when a layer looks at the whole image, so that tiles cannot equal the whole.
    """

    total_stride: int
    reach: int
    halo: int
    margin: int
    legal_first: int
    legal_step: int
    receptive_field: int
    exact: bool = True

    def is_legal(self, size: int) -> bool:
        """Tell whether the network takes inputs of `size`."""
        return size >= self.legal_first and (size - self.legal_first) % self.legal_step == 0

    def legal_size(self, size: int) -> int:
        """Return the smallest legal input size that is not below `size`."""
        steps = -(-max(0, size - self.legal_first) // self.legal_step)
        return self.legal_first + steps * self.legal_step

    def output_size(self, size: int) -> int:
        """Return the size of the logits for a legal input size.

        Raises
        ------
        BadOption
            The size is not legal; the nearest legal one is named.
        """
        self.check(size)
        return size - 2 * self.margin

    def check(self, size: int) -> None:
        """Refuse a size that is not legal."""
        if not self.is_legal(size):
            raise BadOption(
                f"a side of {self.legal_first} + k x {self.legal_step}",
                f"{size}",
                f"The nearest larger one is {self.legal_size(size)}.",
            )


def sizes_along(trail: Trail, size: int, smallest: int = 1) -> list[int] | None:
    """Return the size after each element of `trail`, or None when `size` is not legal or a map is below `smallest`."""
    kept: dict[str, int] = {}
    sizes: list[int] = []
    for element in trail:
        if isinstance(element, Step):
            if not element.fits(size):
                return None
            size = element.output_size(size)
            if size < smallest:
                return None
        elif isinstance(element, Skip):
            kept[element.name] = size
        elif kept[element.name] < size or (kept[element.name] - size) % 2:
            return None
        sizes.append(size)
    return sizes


def derive_geometry(trail: Trail, exact: bool = True, smallest: int = 1) -> Geometry:
    """Derive all sizes of a network from its trail by exact interval arithmetic.

    Parameters
    ----------
    trail : sequence of Step, Skip, Join
    exact : bool
        False when the network also looks at the whole image.
    smallest : int
        Least side of every map on the way; 2 for instance normalisation, which cannot normalise a single pixel.

    Raises
    ------
    BadOption
        No size below 4096 passes through, or legal sizes do not repeat with the total stride.
    """
    stride = total_stride(trail)
    first = _first_legal(trail, stride, smallest)
    large = first + 64 * stride  # far from all borders
    sizes = sizes_along(trail, large)
    if sizes is None:
        raise BadOption("legal sizes that repeat with the total stride", f"{large} to be illegal", "Check the strides.")
    margin = (large - sizes[-1]) // 2
    middle = sizes[-1] // 2 // stride * stride
    lefts: list[int] = []
    rights: list[int] = []
    for phase in range(stride):
        low, high = _seen(trail, sizes, large, middle + phase)
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
        exact=exact,
    )


def total_stride(trail: Trail) -> int:
    """Return the largest product of strides on the way down."""
    now = most = 1
    for element in trail:
        if isinstance(element, Step):
            now = now // element.stride if element.up else now * element.stride
            most = max(most, now)
    return most


def _first_legal(trail: Trail, stride: int, smallest: int) -> int:
    for size in range(1, 4096 + stride):
        sizes = sizes_along(trail, size, smallest)
        # strided padded layers round odd sizes up; coming back larger, the output would not lie on the input
        if sizes is not None and sizes[-1] <= size and (size - sizes[-1]) % 2 == 0:
            return size
    raise BadOption("a network that takes some size below 4096", "none", "Use fewer poolings.")


def _seen(trail: Trail, sizes: Sequence[int], size: int, pixel: int) -> tuple[int, int]:
    """Walk back from one output pixel to the input pixels it depends on."""
    low = high = pixel
    pending: dict[str, tuple[int, int]] = {}
    before = [size, *sizes[:-1]]
    kept = {e.name: s for e, s in zip(trail, sizes, strict=True) if isinstance(e, Skip)}
    for element, here in zip(reversed(trail), reversed(before), strict=True):
        if isinstance(element, Step):
            low, high = element.sees(low, high)
        elif isinstance(element, Join):
            crop = (kept[element.name] - here) // 2
            pending[element.name] = (low + crop, high + crop)
        elif element.name in pending:
            first, last = pending.pop(element.name)
            low, high = min(low, first), max(high, last)
    return low, high
