"""Encoders: an image becomes skips, fine to coarse.

The contract of every encoder (write a new one by keeping it):

* `channels`: a tuple of ints, the channels of each skip, fine to coarse;
* `forward(image (batch, in_channels, h, w))` returns as many maps; map i has `channels[i]` channels, and each is half
  as large as the one before (after the losses of valid convolutions);
* `trail()` tells its steps, with `Skip("0")`, `Skip("1")`, ... behind each map but the last, which goes on into the
  decoder.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from pixelwise.geometry.sizes import Join, Skip, Step, Trail
from pixelwise.networks.blocks import ConvBlock, NormalisationName, Pool


class PlainEncoder(nn.Module):
    """The contracting path of the U-Net: two convolutions per stage, 2 x 2 maximum between stages."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        *,
        padding: int,
        normalisation: NormalisationName,
        dropouts: Sequence[float],
    ) -> None:
        super().__init__()
        self.channels = tuple(widths)
        sources = [in_channels, *widths[:-1]]
        self.stages = nn.ModuleList(
            ConvBlock(f"enc{i + 1}", source, width, padding=padding, normalisation=normalisation, dropout=dropout)
            for i, (source, width, dropout) in enumerate(zip(sources, widths, dropouts, strict=True))
        )
        self.pools = nn.ModuleList(Pool(f"pool {i + 1}", width) for i, width in enumerate(widths[:-1]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, in_channels, h, w) -> one map per stage, fine to coarse."""
        skips = [self.stages[0](image)]
        for pool, stage in zip(self.pools, list(self.stages)[1:], strict=True):
            skips.append(stage(pool(skips[-1])))
        return skips

    def trail(self) -> Trail:
        """Return the steps, with a mark where a skip is taken."""
        trail: list[Step | Skip | Join] = []
        for index, stage in enumerate(self.stages):
            trail += stage.trail()  # type: ignore[operator]
            if index < len(self.pools):
                trail += [Skip(str(index)), *self.pools[index].trail()]  # type: ignore[operator]
        return trail
