"""Computing a network subgraph by subgraph: see `geometry.subgraphs`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save, differs_by_axis
from pixelwise.geometry.subgraphs import MapKey, NetworkStages, Subgraph
from pixelwise.networks.decoders import UNetDecoder
from pixelwise.networks.encoders import FullResolutionEncoder
from pixelwise.networks.models import Segmenter
from pixelwise.networks.stages import StageEncoder

_IMAGE, _COARSER = "image", "decoder map before"  # names of saved maps


@dataclass(frozen=True)
class StagedNetwork:
    """A network with its stages.

    `block` computes an additional skip from the image (see `FullResolutionEncoder`), or is None.
    """

    encoder: StageEncoder
    decoder: UNetDecoder
    head: nn.Module
    block: nn.Module | None
    stages: NetworkStages

    def run(
        self,
        subgraph: Subgraph,
        source: Float[Tensor, "batch channels *size"],
        coarse: Float[Tensor, "batch coarse_channels *coarse_size"] | None = None,
    ) -> Float[Tensor, "batch out_channels *out_size"]:
        """Return the output of a subgraph for the maps that it reads."""
        maps, features = {subgraph.source: source}, source
        deepest = self.stages.deepest
        stop = subgraph.target + 1 if subgraph.output[0] == "encoder" else deepest + 1
        for level in range(subgraph.source + 1, stop if coarse is None else subgraph.coarse or 0):
            features = maps[level] = self.encoder.stage(level - 1, features)
        if subgraph.output[0] == "encoder":
            return features
        features = self.decoder.start(features) if coarse is None else coarse
        for level in reversed(range(subgraph.target, deepest if coarse is None else subgraph.coarse or 0)):
            features = self._decode(level, features, maps.pop(level))
        return features

    def maps(self, image: Float[Tensor, "batch channels *size"]) -> dict[MapKey, Tensor]:
        """Return all maps at which the network can be cut, and the logits."""
        encoded = [image]
        for level in range(self.stages.deepest):
            encoded.append(self.encoder.stage(level, encoded[-1]))
        maps: dict[MapKey, Tensor] = {("encoder", level): encoded[level] for level in self.stages.cut_levels}
        features = maps["decoder", self.stages.deepest] = self.decoder.start(encoded[-1])
        for level in reversed(range(self.stages.deepest)):
            features = maps["decoder", level] = self._decode(level, features, encoded[level])
        return maps

    def _decode(self, level: int, features: Tensor, encoded: Tensor) -> Tensor:
        """Return the decoder map of a level, or the logits, from that of the next level."""
        index = self.stages.deepest - 1 - level
        if index < len(self.decoder.ups):
            skip = self.block(encoded) if level == 0 and self.block is not None else encoded
            features = self.decoder.stage(index, features, skip if self.decoder.skipped[index] else None)
        return self.head(features) if level == 0 else features


def staged(network: nn.Module) -> StagedNetwork | None:
    """Return a network with its stages, or None if it cannot be cut.

    Cut can be networks of one encoder and one U-Net decoder, without valid convolutions, without layers that depend on
    the whole image, and with the same layers along all axes.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network = staged(build(NetworkOptions(encoder="resnet18", in_channels=3, base=2)))
    >>> network.stages.strides
    (1, 2, 4, 8, 16, 32)
    >>> staged(build(NetworkOptions(name="unet2015", base=2))) is None
    True
    """
    if type(network) is not Segmenter or not isinstance(network.decoder, UNetDecoder):
        return None
    if differs_by_axis(network.layer_graph()):
        return None
    encoder, decoder = network.encoder, network.decoder
    block = encoder.block if isinstance(encoder, FullResolutionEncoder) else None
    inner = encoder.inner if isinstance(encoder, FullResolutionEncoder) else encoder
    if not isinstance(inner, StageEncoder) or len(inner.channels) - len(decoder.ups) not in (0, 1):
        return None
    stages = _stages(network, inner, decoder, block)
    return StagedNetwork(inner, decoder, network.head, block, stages) if stages.aligned else None


def _stages(network: Segmenter, encoder: StageEncoder, decoder: UNetDecoder, block: nn.Module | None) -> NetworkStages:
    deepest = len(encoder.channels)
    encoder_graphs = _split(encoder.layer_graph(), deepest)
    decoder_graphs: list[LayerGraph] = []
    for level in range(deepest):
        index = deepest - 1 - level
        graph = decoder.stage_graph(index) if index < len(decoder.ups) else []
        if level == 0:
            graph = [*_with_block(block, graph), *network.head.layer_graph()]  # type: ignore[operator]
        decoder_graphs.append(graph)
    shift = 0 if block is not None else 1  # the additional skip is the first one
    return NetworkStages(
        geometry=network.geometry(),
        strides=(1, *encoder.strides),
        channels=(next(e.in_channels for e in encoder_graphs[0] if isinstance(e, LayerSpec)), *encoder.channels),
        decoder_channels=(*(_channels(graph) for graph in decoder_graphs), encoder.channels[-1]),
        encoder=encoder_graphs,
        decoder=tuple(decoder_graphs),
        start=decoder.start_graph(),
        skips=(_IMAGE, *(str(level - shift) for level in range(1, deepest + 1))),
        dimensions=network.dimensions,
        cuts_bottom=True,
    )


def _split(layer_graph: LayerGraph, count: int) -> tuple[LayerGraph, ...]:
    """Split the layers of an encoder after each of its maps, which are saved as "0", "1", ..."""
    graphs: list[list[LayerSpec | Save | Branch | Merge]] = [[]]
    for element in layer_graph:
        if isinstance(element, Save) and element.name == str(len(graphs) - 1) and len(graphs) < count:
            graphs.append([])
        else:
            graphs[-1].append(element)
    return tuple(graphs)


def _with_block(block: nn.Module | None, graph: LayerGraph) -> LayerGraph:
    """Return the layers of the finest decoder stage with those that compute its skip from the image."""
    if block is None:
        return graph
    return [Save(_COARSER), Branch(_IMAGE), *block.layer_graph(), Save("0"), Branch(_COARSER), *graph]  # type: ignore[operator]


def _channels(layer_graph: LayerGraph) -> int:
    return [element.channels for element in layer_graph if isinstance(element, LayerSpec)][-1]
