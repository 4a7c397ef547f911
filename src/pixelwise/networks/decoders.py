"""Decoders: skips, fine to coarse, become features at the finest resolution."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pixelwise.geometry.sizes import Join, Skip, Step, Trail
from pixelwise.networks.blocks import ConvBlock, NormalisationName, Up, Upsampling


class UNetDecoder(nn.Module):
    """The expanding path of the U-Net: up, join the skip (cut to its centre when it is larger), two convolutions.

    Parameters
    ----------
    skip_channels : sequence of int
        Of the encoder, fine to coarse; the last one is the map that comes up.
    widths : sequence of int
        Channels after each level, fine to coarse.
    padding : int
        0 for valid convolutions.
    normalisation, upsampling : str
    """

    def __init__(
        self,
        skip_channels: Sequence[int],
        widths: Sequence[int],
        *,
        padding: int,
        normalisation: NormalisationName,
        upsampling: Upsampling,
    ) -> None:
        super().__init__()
        self.channels = widths[0]
        ups: list[nn.Module] = []
        blocks: list[nn.Module] = []
        source = skip_channels[-1]
        for level in reversed(range(len(widths))):
            skip = skip_channels[level]
            up = Up(f"up {level + 1}", source, skip, upsampling)
            ups.append(up)
            blocks.append(
                ConvBlock(
                    f"dec{level + 1}",
                    up.channels + skip,
                    widths[level],
                    # interpolation keeps all channels; the first convolution then halves them
                    middle=None if upsampling == "transposed" else (up.channels + skip) // 2,
                    padding=padding,
                    normalisation=normalisation,
                )
            )
            source = widths[level]
        self.ups, self.blocks = nn.ModuleList(ups), nn.ModuleList(blocks)

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        """Turn maps of the encoder, fine to coarse, into features (batch, channels, h, w)."""
        features = skips[-1]
        for up, block, skip in zip(self.ups, self.blocks, reversed(skips[:-1]), strict=True):
            features = up(features)
            features = block(torch.cat([cut_to(skip, features), features], dim=1))
        return features

    def trail(self) -> Trail:
        """Return the steps, with a mark where a skip is joined."""
        trail: list[Step | Skip | Join] = []
        for index, (up, block) in enumerate(zip(self.ups, self.blocks, strict=True)):
            level = len(self.ups) - 1 - index
            trail += [*up.trail(), Join(str(level)), *block.trail()]  # type: ignore[operator]
        return trail


def cut_to(skip: Tensor, features: Tensor) -> Tensor:
    """Cut the centre of `skip` to the height and width of `features`; the same size passes untouched."""
    top = (skip.shape[2] - features.shape[2]) // 2
    left = (skip.shape[3] - features.shape[3]) // 2
    if top == 0 and left == 0:
        return skip
    return skip[:, :, top : top + features.shape[2], left : left + features.shape[3]]
