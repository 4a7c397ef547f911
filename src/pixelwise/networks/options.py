"""What can be chosen of a network."""

from dataclasses import dataclass
from typing import Literal

from pixelwise.errors import BadOption

NormalisationName = Literal["batch", "group", "instance", "none"]
ShortcutPadding = Literal["end", "both"]

LIMITS = (
    ("in_channels", 1, 4096),
    ("classes", 1, 100_000),
    ("depth", 1, 8),
    ("base", 1, 1024),
    ("max_width", 1, 8192),
    ("dimensions", 2, 3),
)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What can be chosen of a network.

    No network reads all of it: `architectures.options_read` says which options one reads, and `build` refuses others
    that are set.

    Attributes
    ----------
    name : str
        A key of `ARCHITECTURES`.
    in_channels : int
        Channels of the images, such as 3 for colour images.
    classes : int
        Channels of the logits, one for each class.
    depth : int
        How often the size is halved (4 in the paper of 2015).
    base : int
        Channels of the finest stage, which double at each halving up to `max_width`.
    max_width : int
        Most channels that a stage has.
    normalisation : {"batch", "group", "instance", "none"}
        Layer after each convolution: "batch" over the images of a batch, "group" over groups of channels of one image,
        "instance" over each channel of one image.
    upsampling : {"auto", "transposed", "bilinear", "nearest"}
        How the decoder doubles the size: by a transposed convolution, or by interpolation. "auto" is what the network
        was published with.
    dropout : float
        Share of the features that is set to 0 at the end of the contracting path while training.
    encoder : str
        "plain", or a ResNet or VGG in the place of the contracting path of `unet`.
    full_resolution : bool
        One more skip at the size of the image, for encoders whose first stage halves it.
    deep_supervision : bool
        Heads on all of U-Net++'s columns.
    gates : {"published", "aligned"}
        Of the Attention U-Net: on the coarser grid as published, or on the skip's own as in the popular port.
    dimensions : {2, 3}
        Spatial axes of the images: 2 for images, 3 for volumes.
    stem : {"auto", "7x7", "deep", "3x3"}
        First layers of a ResNet: one convolution of 7 x 7 with stride 2, three of 3 x 3 in its place, or one of 3 x 3
        that keeps the size. "auto" is the published one.
    shortcut : {"auto", "A", "B", "C", "D"}
        Of ResNets, where a block changes the number of channels: zero channels are added (A), a 1 x 1 convolution
        there alone (B), in every block (C), or after an average over 2 x 2 (D). "auto" is the published one.
    shortcut_padding : {"end", "both"}
        Of shortcut A, where the zero channels are: all behind the old ones, or half before and half behind them, as in
        akamaster/pytorch_resnet_cifar10. The paper does not say; weights learned with one are useless with the other.
    stride_first : bool
        Of ResNets: True is the paper's V1, False the V1.5 of published weights.
    zero_init_residual : bool
        Of ResNets: each block begins as its shortcut.

    Raises
    ------
    BadOption
        A number makes no network.

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
    stem: Literal["auto", "7x7", "deep", "3x3"] = "auto"
    shortcut: Literal["auto", "A", "B", "C", "D"] = "auto"
    shortcut_padding: ShortcutPadding = "end"
    stride_first: bool = False
    zero_init_residual: bool = False

    @property
    def full_name(self) -> str:
        """The name for people, with the encoder that takes the place of the contracting path, if one does."""
        return self.name if self.encoder == "plain" else f"{self.name} on {self.encoder}"

    def __post_init__(self) -> None:
        """Refuse numbers that make no network."""
        for name, least, most in LIMITS:
            if not least <= getattr(self, name) <= most:
                got = f"{getattr(self, name)}"
                raise BadOption(f"network.{name} in {least}...{most}", got, f"Change network.{name}.")
        if not 0 <= self.dropout < 1:
            raise BadOption("network.dropout in [0, 1)", f"{self.dropout}", "Change network.dropout.")
