"""U-Nets with a ResNet or VGG encoder."""

from functools import partial

from pixelwise.errors import BadOption, nearest
from pixelwise.networks.blocks import ConvBlock, Head, Up, initialise
from pixelwise.networks.decoders import UNetDecoder
from pixelwise.networks.encoders import (
    RESNET_BLOCKS,
    VGG_COUNTS,
    Encoder,
    FullResolutionEncoder,
    make_vgg_encoder,
    resnet_encoder_of,
)
from pixelwise.networks.models import Segmenter, make_segmenter
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.vgg import initialise_vgg

ENCODERS = (
    *(f"resnet{depth}" for depth in RESNET_BLOCKS),
    *(f"vgg{depth}{norm}" for depth in VGG_COUNTS for norm in ("", "_bn")),
)


def unet_on_encoder(options: NetworkOptions) -> Segmenter:
    """Build a U-Net with a ResNet or VGG encoder, as in segmentation_models.pytorch.

    Five stages of upsampling x 2 (nearest), the skip, two 3 x 3 convolutions with normalisation; widths 16, 8, 4, 2, 1
    times `base` (16 there); a 3 x 3 head. The last stage of a ResNet has no skip unless `full_resolution`.

    `normalisation` is that of the decoder. `full_resolution` is for encoders whose first skip is smaller than the
    image: ResNets.

    Raises
    ------
    BadOption
        As in `make_encoder`.

    Examples
    --------
    >>> network = unet_on_encoder(NetworkOptions(encoder="resnet18", in_channels=3, classes=1, base=16))
    >>> sum(parameter.numel() for parameter in network.parameters())  # as in segmentation_models.pytorch
    14328209
    """
    encoder = make_encoder(options)
    if encoder.strides[0] > 1 and options.full_resolution:
        block = ConvBlock("full", options.in_channels, options.base, normalisation=options.normalisation)
        encoder = FullResolutionEncoder(block, options.base, encoder)
    skips = [0] * (encoder.strides[0] > 1) + list(encoder.channels)
    widths = [options.base * 2**level for level in range(len(skips) - 1)]
    make_block = partial(ConvBlock, normalisation=options.normalisation)
    deepest = encoder.channels[-1]
    centre = make_block("centre", deepest, deepest) if encoder.ends_on_pooling else None
    decoder = UNetDecoder(
        skips,
        widths,
        make_up=partial(Up, upsampling="nearest" if options.upsampling == "auto" else options.upsampling),
        make_block=make_block,
        centre=centre,
    )
    head = Head(widths[0], options.classes, kernel=3)
    initialise(decoder)
    initialise(head)
    return make_segmenter(encoder, decoder, head, normalisation=options.normalisation)


def make_encoder(options: NetworkOptions) -> Encoder:
    """Build the ResNet or VGG encoder `options.encoder`.

    Raises
    ------
    BadOption
        The encoder is unknown (the nearest one is suggested), or the stem is "3x3", which is for classifiers only.

    Examples
    --------
    >>> encoder = make_encoder(NetworkOptions(encoder="vgg11"))
    >>> encoder.channels
    (64, 128, 256, 512, 512, 512)
    """
    name = options.encoder
    if name not in ENCODERS:
        raise BadOption("a registered encoder", f"`{name}`", nearest(name, ["plain", *ENCODERS]))
    if name.startswith("resnet"):
        if options.stem == "3x3":
            raise BadOption("network.stem in auto, 7x7, deep for an encoder", options.stem, "Change network.stem.")
        return resnet_encoder_of(options, int(name.removeprefix("resnet")))
    depth = int(name.removeprefix("vgg").removesuffix("_bn"))
    vgg = make_vgg_encoder(options.in_channels, depth, normalised=name.endswith("_bn"))
    initialise_vgg(vgg)
    return vgg
