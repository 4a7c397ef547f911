"""Options of network architectures."""

from dataclasses import dataclass
from typing import Literal

from pixelwise.errors import BadOption

NormalisationName = Literal["batch", "group", "instance", "none"]
ShortcutPadding = Literal["end", "both"]

EXAMPLES = {"strides": "[1, 2, 2]", "kernels": "[1, 3, 3]"}  # of a level of a volume with thick slices
LIMITS = (
    ("in_channels", 1, 4096),
    ("classes", 1, 100_000),
    ("depth", 1, 8),
    ("base", 1, 1024),
    ("max_width", 1, 8192),
    ("dimensions", 2, 3),
    ("context", 0, 16),
)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Options of network architectures.

    Each network reads some of them, see `architectures.options_read`; `build` raises an error if others are set.

    Attributes
    ----------
    name : str
        A key of `ARCHITECTURES`.
    in_channels : int
        Channels of the images, such as 3 for colour images.
    classes : int
        Channels of the logits, one for each class.
    depth : int
        Number of times the size is halved (4 in the paper of 2015).
    base : int
        Channels of the finest stage, which double at each halving up to `max_width`.
    max_width : int
        Maximum number of channels of a stage.
    normalisation : {"batch", "group", "instance", "none"}
        Layer after each convolution: "batch" over the images of a batch, "group" over groups of channels of one image,
        "instance" over each channel of one image.
    upsampling : {"auto", "transposed", "bilinear", "nearest"}
        Upsampling in the decoder: transposed convolution or interpolation. "auto" is the published one.
    dropout : float
        Dropout probability at the end of the contracting path.
    encoder : str
        "plain", or a ResNet or VGG that replaces the contracting path of `unet`.
    full_resolution : bool
        Additional skip at the size of the image, for encoders whose first stage halves it.
    deep_supervision : bool
        Heads on all columns of U-Net++.
    gates : {"published", "aligned"}
        Attention gates: on the coarser grid as published, or on the grid of the skip as in common reimplementations.
    dimensions : {2, 3}
        Spatial axes of the images: 2 for images, 3 for volumes.
    strides : tuple of tuple of int
        For each of the `depth` halvings, fine to coarse, the stride along each axis: 2, or 1 where the axis is left as
        it is because its voxels are long. Empty: 2 along all axes.
    kernels : tuple of tuple of int
        For each of the `depth` + 1 stages, fine to coarse, the extent of its convolutions along each axis: 3, or 1 for
        convolutions within the slices. Empty: 3 along all axes. For V-Net 3 stands for its 5.
    context : int
        Neighbouring slices on each side that are channels of the network beside the slice that it segments, for kernels
        that stay within slices. The first convolution then spans 2 `context` + 1 slices, without padding.
    stem : {"auto", "7x7", "deep", "3x3"}
        First layers of a ResNet: one convolution of 7 x 7 with stride 2, three of 3 x 3 instead, or one of 3 x 3 that
        keeps the size. "auto" is the published one.
    shortcut : {"auto", "A", "B", "C", "D"}
        Shortcuts of ResNet blocks that change the number of channels: zero-padded channels (A), a 1 x 1 convolution
        only there (B), in every block (C), or after 2 x 2 average pooling (D). "auto" is the published one.
    shortcut_padding : {"end", "both"}
        Position of the zero channels of shortcut A: all after the input channels, or half before and half after, as in
        akamaster/pytorch_resnet_cifar10. The paper does not specify it; weights trained with one do not work with the
        other.
    stride_first : bool
        ResNet variant: True is the paper's V1, False the V1.5 of published weights.
    zero_init_residual : bool
        Initialise each ResNet block as its shortcut.

    Raises
    ------
    BadOption
        A number is out of range.

    Examples
    --------
    >>> NetworkOptions(encoder="resnet34").full_name
    'unet on resnet34'
    """

    name: str = "unet"
    in_channels: int = 1
    classes: int = 2
    depth: int = 4
    base: int = 32
    max_width: int = 1024
    normalisation: NormalisationName = "batch"
    upsampling: Literal["auto", "transposed", "bilinear", "nearest"] = "auto"
    dropout: float = 0.0
    encoder: str = "plain"
    full_resolution: bool = False
    deep_supervision: bool = False
    gates: Literal["published", "aligned"] = "published"
    dimensions: int = 2
    strides: tuple[tuple[int, ...], ...] = ()
    kernels: tuple[tuple[int, ...], ...] = ()
    context: int = 0
    stem: Literal["auto", "7x7", "deep", "3x3"] = "auto"
    shortcut: Literal["auto", "A", "B", "C", "D"] = "auto"
    shortcut_padding: ShortcutPadding = "end"
    stride_first: bool = False
    zero_init_residual: bool = False

    @property
    def full_name(self) -> str:
        """The name with the encoder, if the contracting path is replaced."""
        return self.name if self.encoder == "plain" else f"{self.name} on {self.encoder}"

    def __post_init__(self) -> None:
        """Validate the numbers."""
        for name, minimum, maximum in LIMITS:
            if not minimum <= getattr(self, name) <= maximum:
                got = f"{getattr(self, name)}"
                raise BadOption(f"network.{name} in {minimum}...{maximum}", got, f"Change network.{name}.")
        if not 0 <= self.dropout < 1:
            raise BadOption("network.dropout in [0, 1)", f"{self.dropout}", "Change network.dropout.")
        for name, allowed in (("strides", {1, 2}), ("kernels", {1, 3})):
            rows: tuple[tuple[int, ...], ...] = getattr(self, name)
            if not all(row and set(row) <= allowed and (name == "kernels" or 2 in row) for row in rows):
                expected = f"network.{name} of {' or '.join(map(str, allowed))} along each axis"
                expected += ", a 2 in each row" if name == "strides" else ""
                hint = f"For example {EXAMPLES[name]} for each level, or []."
                raise BadOption(expected, f"{[list(row) for row in rows]}", hint)

    def stride(self, level: int) -> int | tuple[int, ...]:
        """Return the stride between stage `level` and the next coarser one; along each axis if they differ.

        Raises
        ------
        BadOption
            `strides` fits neither `depth` nor `dimensions`.
        """
        self._check_rows("strides", self.strides, self.depth)
        return self.strides[level] if self.strides else 2

    def kernel(self, level: int, extent: int = 3) -> int | tuple[int, ...]:
        """Return the kernel of the convolutions of a stage; along each axis, `extent` or 1, if they differ.

        Raises
        ------
        BadOption
            `kernels` fits neither `depth` nor `dimensions`.
        """
        self._check_rows("kernels", self.kernels, self.depth + 1)
        return tuple(extent if kernel == 3 else 1 for kernel in self.kernels[level]) if self.kernels else extent

    @property
    def slice_axis(self) -> int | None:
        """The axis along which no convolution reads neighbours and nothing is pooled; None in all other networks."""
        rows = (*self.kernels, *self.strides)
        if not self.kernels or not self.strides or len({len(row) for row in rows}) > 1:
            return None
        return next((axis for axis in range(len(rows[0])) if all(row[axis] == 1 for row in rows)), None)

    def first_convolution(self) -> tuple[int | tuple[int, ...], int | tuple[int, ...]]:
        """Return kernel and padding of the first convolution: that of its stage, or one that spans the context.

        A convolution over neighbouring slices is the same as one within a slice whose channels are those slices.

        Raises
        ------
        BadOption
            There is a context, but no axis along which all kernels and strides are 1; or as in `kernel`.

        Examples
        --------
        >>> flat = {"depth": 1, "dimensions": 3, "strides": ((1, 2, 2),), "kernels": ((1, 3, 3), (1, 3, 3))}
        >>> NetworkOptions(context=2, **flat).first_convolution()
        ((5, 3, 3), (0, 1, 1))
        """
        kernel = self.kernel(0)
        if not self.context:
            return kernel, 1 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)
        axis = self.slice_axis
        if axis is None or isinstance(kernel, int):
            hint = "For example network.kernels=[[1,3,3],[1,3,3]] network.strides=[[1,2,2]] network.depth=1."
            raise BadOption("network.kernels and network.strides of 1 along an axis, for a context", "others", hint)
        sides = list(kernel)
        sides[axis] = 2 * self.context + 1
        return tuple(sides), tuple(0 if place == axis else side // 2 for place, side in enumerate(sides))

    def _check_rows(self, name: str, rows: tuple[tuple[int, ...], ...], count: int) -> None:
        """Check that there is a row for each level, with a number for each axis."""
        if rows and not (len(rows) == count and all(len(row) == self.dimensions for row in rows)):
            expected = f"network.{name} of {count} rows with {self.dimensions} numbers for depth {self.depth}"
            got = f"{[list(row) for row in rows]}"
            raise BadOption(expected, got, f"For example {EXAMPLES[name]} for each level of a volume, or [].")
