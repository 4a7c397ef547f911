"""Decoders: from skip connections, fine to coarse, to features at the finest resolution."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pixelwise.geometry.layer_graph import Branch, LayerGraph, LayerSpec, Merge, Save
from pixelwise.networks.attention import AlignedGate, GridGate
from pixelwise.networks.blocks import Up

Gate = GridGate | AlignedGate
MakeUp = Callable[[str, int, int], Up]
MakeBlock = Callable[[str, int, int], nn.Module]


class UNetDecoder(nn.Module):
    """Expanding path of the U-Net: upsampling, concatenation with the (centre-cropped) skip, a block.

    Parameters
    ----------
    skip_channels : sequence of int
        Of the encoder, fine to coarse, the coarsest map included. 0 for a stage without a skip.
    widths : sequence of int
        Channels after each stage, fine to coarse; one less than `skip_channels`.
    make_up : callable
        (name, in_channels, channels of the skip) -> `Up`.
    make_block : callable
        (name, in_channels, channels) -> module with a `layer_graph`.
    gates : sequence of gate or None, optional
        An attention gate per stage, fine to coarse, applied to the skip.
    centre : nn.Module, optional
        A block on the coarsest map, for encoders that end on pooling.

    Attributes
    ----------
    skipped : list of bool
        Whether each stage has a skip, coarse stages first.

    Examples
    --------
    >>> from pixelwise.networks.blocks import ConvBlock
    >>> decoder = UNetDecoder(
    ...     [4, 8], [4], make_up=lambda name, source, skip: Up(name, source, skip, "transposed"), make_block=ConvBlock
    ... )
    >>> decoder([torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 8, 8)]).shape
    torch.Size([1, 4, 16, 16])
    """

    def __init__(
        self,
        skip_channels: Sequence[int],
        widths: Sequence[int],
        *,
        make_up: MakeUp,
        make_block: MakeBlock,
        gates: Sequence[Gate | None] = (),
        centre: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.channels = widths[0]
        ups: list[nn.Module] = []
        blocks: list[nn.Module] = []
        source = skip_channels[-1]
        for level in reversed(range(len(widths))):
            skip = skip_channels[level]
            up = make_up(f"up {level + 1}", source, skip or source)
            ups.append(up)
            blocks.append(make_block(f"dec{level + 1}", up.channels + skip, widths[level]))
            source = widths[level]
        self.ups, self.blocks = nn.ModuleList(ups), nn.ModuleList(blocks)
        coarse_first: list[Gate | None] = list(reversed(gates)) or [None] * len(widths)
        self.gates = nn.ModuleList(gate if gate is not None else nn.Identity() for gate in coarse_first)
        self.centre = centre
        self.skipped = [skip > 0 for skip in reversed(skip_channels[:-1])]

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        """Return features (batch, channels, h, w) from the maps of the encoder, fine to coarse.

        A list of maps is emptied: each map is freed as soon as it was used, which saves up to a quarter of the memory.
        """
        waiting = skips if isinstance(skips, list) else list(skips)
        features = self.start(waiting.pop())
        for index, skipped in enumerate(self.skipped):
            features = self._merge(index, features, waiting.pop() if skipped else None)
            features = self.blocks[index](features)
        return features

    def start(self, features: Tensor) -> Tensor:
        """Return the input of stage 0 from the coarsest map of the encoder."""
        return features if self.centre is None else self.centre(features)

    def stage(self, index: int, features: Tensor, skip: Tensor | None) -> Tensor:
        """Return the output of stage `index`, coarse stages first, from that of the previous one and the skip."""
        return self.blocks[index](self._merge(index, features, skip))

    def _merge(self, index: int, features: Tensor, skip: Tensor | None) -> Tensor:
        """Return the input of the block of a stage: the upsampled features, beside the skip."""
        signal, gate = features, self.gates[index]
        features = self.ups[index](features)
        if skip is None:
            return features
        gated: Tensor = cut_to(skip, features)
        if isinstance(gate, GridGate):
            gated = gate(gated, signal)
        elif isinstance(gate, AlignedGate):
            gated = gate(gated, features)
        return torch.cat([gated, features], dim=1)

    def layer_graph(self) -> LayerGraph:
        """Return the layers, with a `Merge` for each skip."""
        stages = (self.stage_graph(index) for index in range(len(self.ups)))
        return [*self.start_graph(), *(element for stage in stages for element in stage)]

    def start_graph(self) -> LayerGraph:
        """Return the layers of `start`."""
        return [] if self.centre is None else self.centre.layer_graph()  # type: ignore[operator]

    def stage_graph(self, index: int) -> LayerGraph:
        """Return the layers of `stage`."""
        gate, up, block = self.gates[index], self.ups[index], self.blocks[index]
        gated = isinstance(gate, GridGate | AlignedGate)
        layer_graph: list[LayerSpec | Save | Branch | Merge] = []
        layer_graph += gate.layer_graph() if isinstance(gate, GridGate) else []
        layer_graph += up.layer_graph()  # type: ignore[operator]
        layer_graph += gate.layer_graph() if isinstance(gate, AlignedGate) else []
        if self.skipped[index]:
            level = sum(self.skipped[index + 1 :])
            layer_graph.append(Merge(f"{level} gated" if gated else str(level)))
        return [*layer_graph, *block.layer_graph()]  # type: ignore[operator]


class NestedDecoder(nn.Module):
    """Nested decoder of U-Net++: dense blocks on all previous maps of their resolution.

    Zhou et al. 2018 (arXiv 1807.10165), equation 1: X(i, j) = H([X(i, 0), ..., X(i, j - 1), up(X(i + 1, j - 1))]).

    Parameters
    ----------
    widths : sequence of int
        Channels of each resolution, fine to coarse.
    make_up, make_block : callable
        As for `UNetDecoder`.

    Notes
    -----
    The nodes of column j depend only on previous columns, so that the sub-network that ends at X(0, j) can be extracted
    (`cut`): the pruning of the paper.

    Examples
    --------
    >>> from pixelwise.networks.blocks import ConvBlock
    >>> decoder = NestedDecoder(
    ...     [4, 8, 16], make_up=lambda name, source, skip: Up(name, source, skip, "nearest"), make_block=ConvBlock
    ... )
    >>> skips = [torch.zeros(1, 4 * 2**level, 16 >> level, 16 >> level) for level in range(3)]
    >>> [tuple(features.shape) for features in decoder(skips)]
    [(1, 4, 16, 16), (1, 4, 16, 16)]
    """

    def __init__(self, widths: Sequence[int], *, make_up: MakeUp, make_block: MakeBlock) -> None:
        super().__init__()
        self._widths = tuple(widths)
        self.channels = widths[0]
        self.columns = len(widths) - 1
        self.ups, self.blocks = nn.ModuleDict(), nn.ModuleDict()
        for j in range(1, len(widths)):
            for i in range(len(widths) - j):
                up = make_up(f"up {i},{j}", widths[i + 1], widths[i])
                self.ups[f"{i}_{j}"] = up
                self.blocks[f"{i}_{j}"] = make_block(f"x{i},{j}", j * widths[i] + up.channels, widths[i])

    def cut(self, columns: int) -> "NestedDecoder":
        """Return the decoder of the first `columns` columns, with shared weights."""
        nodes = [f"{i}_{j}" for j in range(1, columns + 1) for i in range(columns + 1 - j)]
        ups, blocks = iter([self.ups[node] for node in nodes]), iter([self.blocks[node] for node in nodes])
        return NestedDecoder(
            self._widths[: columns + 1],
            make_up=lambda name, source, skip: next(ups),  # type: ignore[arg-type,return-value]
            make_block=lambda name, source, width: next(blocks),
        )

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Return the features of X(0, 1), ..., X(0, columns) from the maps of the encoder, fine to coarse."""
        rows = [[skip] for skip in skips]
        for j in range(1, self.columns + 1):
            for i in range(len(skips) - j):
                up = self.ups[f"{i}_{j}"](rows[i + 1][j - 1])
                rows[i].append(self.blocks[f"{i}_{j}"](torch.cat([*rows[i][:j], up], dim=1)))
        return rows[0][1:]

    def layer_graph(self) -> LayerGraph:
        """Return the layers; the features of X(0, j) are saved as "0,j"."""
        layer_graph: list[LayerSpec | Save | Branch | Merge] = []
        last = self.columns
        layer_graph.append(Save(f"{last},0"))
        for j in range(1, self.columns + 1):
            for i in range(last + 1 - j):
                layer_graph += [Branch(_node(i + 1, j - 1, last)), *self.ups[f"{i}_{j}"].layer_graph()]  # type: ignore[operator]
                layer_graph += [Merge(_node(i, k, last)) for k in range(j)]
                layer_graph += [*self.blocks[f"{i}_{j}"].layer_graph(), Save(f"{i},{j}")]  # type: ignore[operator]
        return layer_graph


def cut_to(skip: Tensor, features: Tensor) -> Tensor:
    """Centre-crop `skip` to the size of `features`.

    Examples
    --------
    >>> cut_to(torch.arange(6).reshape(1, 1, 1, 6), torch.zeros(1, 1, 1, 2)).flatten().tolist()
    [2, 3]
    """
    for axis in range(2, skip.ndim):
        surplus = skip.shape[axis] - features.shape[axis]
        if surplus:
            skip = skip.narrow(axis, surplus // 2, features.shape[axis])
    return skip


def _node(i: int, j: int, last: int) -> str:
    """Return the name of a node in the layer graph; the encoder saves its maps as "0", "1", ... except the coarsest."""
    return str(i) if j == 0 and i < last else f"{i},{j}"
