"""One function per paper, all its numbers in one place; ARCHITECTURES can be read."""

from collections.abc import Callable
from dataclasses import dataclass

from pixelwise.errors import BadOption, nearest
from pixelwise.networks.blocks import Head, NormalisationName, Upsampling, initialise
from pixelwise.networks.decoders import UNetDecoder
from pixelwise.networks.encoders import PlainEncoder
from pixelwise.networks.models import Segmenter


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What can be chosen of a network.

    `depth` counts the poolings (4 in the paper), `base` the channels of the finest stage, which double at each
    pooling up to `max_width`. `dropout` is applied at the end of the contracting path. `unet2015` is the paper's:
    it takes `in_channels`, `classes`, `base` and `dropout`, and is valid and without normalisation whatever else is
    given.
    """

    name: str = "unet"
    in_channels: int = 1
    classes: int = 2
    depth: int = 4
    base: int = 32
    max_width: int = 1024
    normalisation: NormalisationName = "batch"
    upsampling: Upsampling = "transposed"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no network."""
        for name, least, most in (
            ("in_channels", 1, 4096),
            ("classes", 1, 4096),
            ("depth", 1, 8),
            ("base", 1, 1024),
            ("max_width", 1, 8192),
        ):
            if not least <= getattr(self, name) <= most:
                came = f"{getattr(self, name)}"
                raise BadOption(f"network.{name} in {least}...{most}", came, f"Change network.{name}.")
        if not 0 <= self.dropout < 1:
            raise BadOption("network.dropout in [0, 1)", f"{self.dropout}", "Change network.dropout.")


def unet2015(options: NetworkOptions) -> Segmenter:
    """U-Net: Convolutional Networks for Biomedical Image Segmentation (Ronneberger, Fischer, Brox 2015).

    doi 10.1007/978-3-319-24574-4_28, figure 1 and section 2: five resolutions, two valid 3 x 3 convolutions with
    ReLU at each, 2 x 2 maximum between them, 2 x 2 up-convolutions that halve the channels, skips cut to their centre,
    a 1 x 1 convolution at the end: 23 convolutional layers, 31,030,658 parameters (1 -> 2), 572 -> 388. Dropout 0.5 at
    the end of the contracting path (section 3.1): after the last two of its stages, as in the released network.
    """
    widths = [options.base * 2**stage for stage in range(5)]
    dropout = options.dropout or 0.5
    encoder = PlainEncoder(
        options.in_channels,
        widths,
        padding=0,
        normalisation="none",
        dropouts=[0.0, 0.0, 0.0, dropout, dropout],
    )
    decoder = UNetDecoder(widths, widths[:-1], padding=0, normalisation="none", upsampling="transposed")
    return _finish(Segmenter(encoder, decoder, Head(decoder.channels, options.classes), exact=True))


def unet(options: NetworkOptions) -> Segmenter:
    """U-Net with padded convolutions: logits are as large as the image.

    The common open form: 3 x 3 convolutions with padding 1, normalisation, ReLU. With interpolation instead of
    transposed convolutions the channels must shrink elsewhere: the coarsest stage and the decoder's outputs are
    half as wide (17,263,042 parameters for 3 -> 2 at base 64 against 31,037,698).
    """
    widths = [min(options.base * 2**stage, options.max_width) for stage in range(options.depth + 1)]
    outputs = widths[:-1]
    if options.upsampling != "transposed":
        widths[-1] = max(1, widths[-1] // 2)
        outputs = [max(1, width // 2) for width in outputs]
        outputs[:1] = widths[:1]
    dropouts = [0.0] * options.depth + [options.dropout]
    encoder = PlainEncoder(
        options.in_channels, widths, padding=1, normalisation=options.normalisation, dropouts=dropouts
    )
    decoder = UNetDecoder(
        widths,
        outputs,
        padding=1,
        normalisation=options.normalisation,
        upsampling=options.upsampling,
    )
    exact = options.normalisation in ("batch", "none")
    # the coarsest map needs more than one pixel to have a deviation
    smallest = 2 if options.normalisation == "instance" else 1
    head = Head(decoder.channels, options.classes)
    return _finish(Segmenter(encoder, decoder, head, exact=exact, smallest=smallest))


ARCHITECTURES: dict[str, Callable[[NetworkOptions], Segmenter]] = {"unet2015": unet2015, "unet": unet}


def build(options: NetworkOptions) -> Segmenter:
    """Build a registered network with freshly drawn weights.

    Raises
    ------
    BadOption
        The name is not registered; the nearest one is named.
    """
    if options.name not in ARCHITECTURES:
        raise BadOption("a registered network", f"`{options.name}`", nearest(options.name, list(ARCHITECTURES)))
    return ARCHITECTURES[options.name](options)


def _finish(network: Segmenter) -> Segmenter:
    initialise(network)
    return network
