"""Segmentation networks: one function per paper, with all its numbers."""

import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from pixelwise.networks.attention import AlignedGate, GridGate
from pixelwise.networks.blocks import Chain, ConvBlock, ConvLayer, Head, Pool, Up, initialise
from pixelwise.networks.decoders import Gate, MakeBlock, MakeUp, NestedDecoder, UNetDecoder
from pixelwise.networks.encoders import StagedEncoder
from pixelwise.networks.layers import Upsampling
from pixelwise.networks.models import NestedSegmenter, Segmenter, make_segmenter
from pixelwise.networks.options import NetworkOptions, NormalisationName
from pixelwise.networks.residual_unet import PreActivationUnit, ResEncBlock, VNetStage
from pixelwise.networks.unet_on_encoder import unet_on_encoder


def unet2015(options: NetworkOptions) -> Segmenter:
    """U-Net of 2015: valid convolutions, cropped skips, 572 -> 388.

    Ronneberger, Fischer, Brox 2015, "U-Net: convolutional networks for biomedical image segmentation", doi
    10.1007/978-3-319-24574-4_28, figure 1 and section 2: five resolutions, two valid 3 x 3 convolutions with ReLU at
    each, 2 x 2 max pooling between them, 2 x 2 up-convolutions that halve the channels, centre-cropped skips, a 1 x 1
    convolution at the end: 23 convolutional layers, 31,030,658 parameters (1 -> 2). Dropout 0.5 at the end of the
    contracting path (section 3.1): after the last two of its stages, as in the released network.

    A dropout of 0 means the paper's 0.5.

    Examples
    --------
    >>> unet2015(NetworkOptions(name="unet2015", base=2)).geometry().margin
    92
    """
    widths = [options.base * 2**stage for stage in range(5)]
    dropout = options.dropout or 0.5
    dropouts = [0.0, 0.0, 0.0, dropout, dropout]
    encoder = _plain_encoder(options, widths, dropouts, padding=0, normalisation="none")
    decoder = UNetDecoder(
        widths,
        widths[:-1],
        make_up=_ups(options, "transposed", alike=True),
        make_block=_blocks(options, padding=0, normalisation="none"),
    )
    return _finish(options, encoder, decoder, normalisation="none")


def unet(options: NetworkOptions) -> Segmenter:
    """U-Net with padding: logits have the size of the image; on a ResNet or VGG with encoder=resnet34 and similar.

    The common padded form of Ronneberger et al. 2015: 3 x 3 convolutions with padding 1, normalisation, ReLU. With
    interpolation instead of transposed convolutions, the coarsest stage and the decoder outputs have half the channels
    (17,263,042 parameters for 3 -> 2 at base 64 instead of 31,037,698).

    With an encoder it is built by `unet_on_encoder`.

    Examples
    --------
    >>> unet(NetworkOptions(base=2, depth=3)).geometry().total_stride
    8
    """
    if options.encoder != "plain":
        return unet_on_encoder(options)
    upsampling = _upsampling(options, "transposed")
    widths = _widths(options)
    outputs = widths[:-1]
    if upsampling != "transposed":
        widths[-1] = max(1, widths[-1] // 2)
        outputs = [max(1, width // 2) for width in outputs]
        outputs[:1] = widths[:1]
    encoder = _plain_encoder(options, widths, [0.0] * options.depth + [options.dropout])
    make_block = _blocks(options, halving=upsampling != "transposed")
    decoder = UNetDecoder(widths, outputs, make_up=_ups(options, upsampling), make_block=make_block)
    return _finish(options, encoder, decoder)


def unet3d(options: NetworkOptions) -> Segmenter:
    """3D U-Net of 2016: valid convolutions, channels that double before each pooling, 132 -> 44.

    Cicek, Abdulkadir, Lienkamp, Brox, Ronneberger 2016, "3D U-Net: learning dense volumetric segmentation from sparse
    annotation", arXiv 1606.06650, figure 2 and section 2: four resolutions, two valid 3 x 3 x 3 convolutions at each,
    of 32 and 64, 64 and 128, 128 and 256, 256 and 512 channels, so that there is no bottleneck; batch normalisation
    before each ReLU; 2 x 2 x 2 up-convolutions that keep the channels. Of the 19,075,523 parameters (3 -> 3) the paper
    counts 19,069,955: all but those of the normalisation and the biases of the up-convolutions.

    Examples
    --------
    >>> unet3d(NetworkOptions(name="unet3d", base=2, dimensions=3)).geometry().margin
    44
    """
    widths = [2 * options.base * 2**stage for stage in range(4)]
    middles = [width // 2 for width in widths]
    encoder = _plain_encoder(options, widths, [0.0] * 4, padding=0, normalisation="batch", middles=middles, bias=True)
    decoder = UNetDecoder(
        widths,
        widths[:-1],
        make_up=_ups(options, "transposed", alike=True, keeps=True),
        make_block=_blocks(options, padding=0, normalisation="batch", bias=True),
    )
    return _finish(options, encoder, decoder, normalisation="batch")


def resunet(options: NetworkOptions) -> Segmenter:
    """Deep ResUNet: pre-activation residual units, strides instead of pooling, nearest upsampling.

    Zhang, Liu, Wang 2018, "Road extraction by deep residual U-Net", doi 10.1109/LGRS.2018.2802944, table 1: depth 3,
    base 64. The 3 x 3 convolutions and the head have 7,780,096 parameters of its 8,220,993 (3 -> 1).

    Examples
    --------
    >>> resunet(NetworkOptions(name="resunet", base=2, depth=3)).geometry().total_stride
    8
    """
    widths = _widths(options)
    unit = partial(PreActivationUnit, normalisation=options.normalisation, dimensions=options.dimensions)
    stages = [unit("enc1", options.in_channels, widths[0], first=True, kernel=options.kernel(0))]
    stages += [
        unit(f"enc{i}", low, high, stride=options.stride(i - 2), kernel=options.kernel(i - 1))
        for i, (low, high) in enumerate(pairwise(widths), 2)
    ]

    def make_block(name: str, in_channels: int, channels: int) -> nn.Module:
        return unit(name, in_channels, channels, kernel=options.kernel(_level(name)))

    make_up = _ups(options, _upsampling(options, "nearest"))
    decoder = UNetDecoder(widths, widths[:-1], make_up=make_up, make_block=make_block)
    return _finish(options, StagedEncoder(stages, widths), decoder)


def resencunet(options: NetworkOptions) -> Segmenter:
    """Residual-encoder U-Net: a deep residual encoder and a thin decoder.

    The ResEnc form of nnU-Net (Isensee et al. 2024, "nnU-Net revisited", arXiv 2404.09556): a stem, 1, 3, 4, 6, 6, ...
    basic blocks of ResNet-D per stage, widths that double up to 512, transposed convolutions to the channels of the
    skip, one convolution per decoder stage, LeakyReLU of slope 0.01. Published with instance normalisation.

    Examples
    --------
    >>> options = NetworkOptions(name="resencunet", base=2, depth=2, normalisation="instance")
    >>> resencunet(options).geometry().exact
    False
    """
    widths = _widths(options)
    counts = [(1, 3, 4)[stage] if stage < 3 else 6 for stage in range(len(widths))]
    kwargs = {"normalisation": options.normalisation, "activation": _leaky, "dimensions": options.dimensions}
    stages: list[nn.Module] = []
    source = widths[0]
    for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
        blocks: list[nn.Module] = []
        kernel = options.kernel(stage)
        if stage == 0:
            first, padding = options.first_convolution()
            stem = {"kernel": first, "padding": padding, "bias": True, **kwargs}
            blocks.append(ConvLayer("stem", options.in_channels, width, **stem))  # type: ignore[arg-type]
        for place in range(count):
            stride = options.stride(stage - 1) if stage > 0 and place == 0 else 1
            name = f"enc{stage + 1}.{place}"
            blocks.append(ResEncBlock(name, source, width, stride=stride, kernel=kernel, **kwargs))  # type: ignore[arg-type]
            source = width
        stages.append(Chain(*blocks))

    def make_block(name: str, in_channels: int, channels: int) -> nn.Module:
        kernel = options.kernel(_level(name))
        return ConvLayer(f"{name} conv", in_channels, channels, kernel=kernel, bias=True, **kwargs)  # type: ignore[arg-type]

    decoder = UNetDecoder(widths, widths[:-1], make_up=_ups(options, "transposed"), make_block=make_block)
    network = _finish(options, StagedEncoder(stages, widths), decoder)
    for module in network.modules():
        if isinstance(module, ResEncBlock) and options.normalisation != "none":
            nn.init.zeros_(module.last_norm.weight)  # type: ignore[arg-type]
            nn.init.zeros_(module.last_norm.bias)  # type: ignore[arg-type]
    return network


def unetplusplus(options: NetworkOptions) -> Segmenter:
    """U-Net++: nested, dense skips; with deep supervision a head on each column.

    Zhou et al. 2018, "UNet++: a nested U-Net architecture", arXiv 1807.10165: base 32, 2 x 2 transposed convolutions,
    two 3 x 3 convolutions per node; 9,042,177 parameters (3 -> 1, one head, without normalisation; 9.04 M in table 2).

    Examples
    --------
    >>> len(unetplusplus(NetworkOptions(name="unetplusplus", base=2, depth=3, deep_supervision=True)).head)
    3
    """
    widths = _widths(options)
    encoder = _plain_encoder(options, widths, [0.0] * options.depth + [options.dropout])
    make_up = _ups(options, _upsampling(options, "transposed"))
    decoder = NestedDecoder(widths, make_up=make_up, make_block=_blocks(options))
    first = 1 if options.deep_supervision else options.depth
    heads = [
        Head(widths[0], options.classes, dimensions=options.dimensions, name=f"head {j}")
        for j in range(first, options.depth + 1)
    ]
    network = NestedSegmenter(
        encoder,
        decoder,
        heads,
        exact=options.normalisation in ("batch", "none"),
        smallest=2 if options.normalisation == "instance" else 1,
        dimensions=options.dimensions,
    )
    initialise(network)
    return network


def attention_unet(options: NetworkOptions) -> Segmenter:
    """Attention U-Net: attention gates weight the skips by a coarser gating signal.

    Oktay et al. 2018, "Attention U-Net: learning where to look for the pancreas", arXiv 1804.03999: gates on all skips
    except the finest, on the coarser grid. With gates=aligned as in common two-dimensional reimplementations: gates on
    all skips, on their grid (31,389,230 parameters for 3 -> 2 at base 64).

    Examples
    --------
    >>> network = attention_unet(NetworkOptions(name="attention_unet", base=2, depth=2))
    >>> [type(gate).__name__ for gate in network.decoder.gates]
    ['GridGate', 'Identity']
    """
    widths = _widths(options)
    encoder = _plain_encoder(options, widths, [0.0] * options.depth + [options.dropout])
    gates: list[Gate | None] = []
    for level in range(options.depth):
        skip, norm, axes = widths[level], options.normalisation, options.dimensions
        if options.gates == "aligned":
            gates.append(AlignedGate(str(level), skip, skip, norm, axes))
        elif level > 0 or options.depth == 1:
            last = level == options.depth - 1
            stride = options.stride(level)
            gates.append(GridGate(str(level), skip, widths[level + 1], norm, axes, with_signal=last, stride=stride))
        else:
            gates.append(None)
    decoder = UNetDecoder(
        widths, widths[:-1], make_up=_ups(options, "transposed"), make_block=_blocks(options), gates=gates
    )
    return _finish(options, encoder, decoder)


def vnet(options: NetworkOptions) -> Segmenter:
    """V-Net: residual stages of 5 x 5 convolutions, strides instead of pooling, PReLU.

    Milletari, Navab, Ahmadi 2016, "V-Net: fully convolutional neural networks for volumetric medical image
    segmentation", arXiv 1606.04797, figure 2: 1, 2, 3, 3, 3 convolutions in the encoder, 3, 3, 2, 1 in the decoder, 16
    channels at first; 65,175,314 parameters in three dimensions (1 -> 2, without normalisation, as published).

    Examples
    --------
    >>> vnet(NetworkOptions(name="vnet", base=2, depth=2, dimensions=3)).dimensions
    3
    """
    widths, norm, axes = _widths(options), options.normalisation, options.dimensions
    counts = [min(3, stage + 1) for stage in range(len(widths))]

    def make_block(name: str, in_channels: int, channels: int) -> nn.Module:
        level = _level(name)
        kwargs = {"count": counts[level], "kernel": options.kernel(level, 5)}
        return VNetStage(name, in_channels, channels, normalisation=norm, dimensions=axes, **kwargs)  # type: ignore[arg-type]

    stages = [make_block(f"enc{i + 1}", width if i else options.in_channels, width) for i, width in enumerate(widths)]

    def make_down(index: int, width: int) -> nn.Module:
        stride = options.stride(index)
        kwargs = {"normalisation": norm, "activation": nn.PReLU, "bias": True, "dimensions": axes, "padding": 0}
        name = f"down {index + 1}"
        return ConvLayer(name, width, widths[index + 1], kernel=stride, stride=stride, **kwargs)  # type: ignore[arg-type]

    def make_up(name: str, source: int, skip: int) -> Up:
        return Up(name, source, skip, "transposed", axes, nn.PReLU, options.stride(_level(name)))

    outputs = [2 * width for width in widths[:-1]]
    decoder = UNetDecoder(widths, outputs, make_up=make_up, make_block=make_block)
    return _finish(options, StagedEncoder(stages, widths, make_down), decoder)


def _plain_encoder(
    options: NetworkOptions,
    widths: list[int],
    dropouts: list[float],
    *,
    padding: int | None = None,
    normalisation: NormalisationName | None = None,
    middles: Sequence[int | None] | None = None,
    bias: bool | None = None,
) -> StagedEncoder:
    """Build the contracting path of 2015: two convolutions per stage, 2 x 2 max pooling between stages.

    `middles` are the channels between the two convolutions of each stage, if they differ from those after them. With
    `padding` 0 all axes are alike.
    """
    sources = [options.in_channels, *widths[:-1]]
    stages = [
        ConvBlock(
            f"enc{i + 1}",
            source,
            width,
            middle=middle,
            padding=padding,
            kernel=options.kernel(i) if padding is None else 3,
            first=options.first_convolution() if padding is None and i == 0 and options.context else None,
            normalisation=normalisation or options.normalisation,
            dropout=dropout,
            dimensions=options.dimensions,
            bias=bias,
        )
        for i, (source, middle, width, dropout) in enumerate(
            zip(sources, middles or [None] * len(widths), widths, dropouts, strict=True)
        )
    ]

    def make_down(index: int, width: int) -> nn.Module:
        return Pool(f"pool {index + 1}", width, options.dimensions, options.stride(index) if padding is None else 2)

    return StagedEncoder(stages, widths, make_down)


def _blocks(
    options: NetworkOptions,
    *,
    padding: int | None = None,
    normalisation: NormalisationName | None = None,
    halving: bool = False,
    bias: bool | None = None,
) -> MakeBlock:
    """Return the factory of blocks of two convolutions.

    With `halving` the first convolution halves the channels, which interpolation keeps.
    """

    def make_block(name: str, in_channels: int, channels: int) -> nn.Module:
        return ConvBlock(
            name,
            in_channels,
            channels,
            middle=in_channels // 2 if halving else None,
            padding=padding,
            kernel=options.kernel(_level(name)) if padding is None else 3,
            normalisation=normalisation or options.normalisation,
            dimensions=options.dimensions,
            bias=bias,
        )

    return make_block


def _ups(options: NetworkOptions, upsampling: Upsampling, *, alike: bool = False, keeps: bool = False) -> MakeUp:
    """Return the factory of upsampling layers.

    With `alike` all axes are upsampled by 2, with `keeps` transposed convolutions keep the channels.
    """

    def make_up(name: str, source: int, skip: int) -> Up:
        stride = 2 if alike else options.stride(_level(name))
        return Up(name, source, source if keeps else skip, upsampling, options.dimensions, stride=stride)

    return make_up


def _level(name: str) -> int:
    """Return the resolution of a stage from its name: 0 for "enc1", "dec1", "up 1", "x0,1" and "up 0,1"."""
    numbers = [int(number) for number in re.findall(r"[0-9]+", name)]
    return numbers[0] if len(numbers) == 2 else numbers[0] - 1


def _upsampling(options: NetworkOptions, published: Upsampling) -> Upsampling:
    return published if options.upsampling == "auto" else options.upsampling


def _widths(options: NetworkOptions) -> list[int]:
    return [min(options.base * 2**stage, options.max_width) for stage in range(options.depth + 1)]


def _leaky(channels: int) -> nn.Module:
    return nn.LeakyReLU(0.01, inplace=True)


def _finish(
    options: NetworkOptions,
    encoder: StagedEncoder,
    decoder: UNetDecoder,
    *,
    normalisation: NormalisationName | None = None,
) -> Segmenter:
    """Add the 1 x 1 head, assemble the network and initialise its weights."""
    head = Head(decoder.channels, options.classes, dimensions=options.dimensions)
    norm = normalisation or options.normalisation
    network = make_segmenter(encoder, decoder, head, normalisation=norm, dimensions=options.dimensions)
    initialise(network)
    return network
