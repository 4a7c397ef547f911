"""Whole networks, put together from finished parts."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.geometry.sizes import Geometry, Step, Trail, derive_geometry, sizes_along
from pixelwise.networks.blocks import Head


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A row of the table that `inspect` shows, for a square input; `flops` counts a multiply-add as two."""

    name: str
    kind: str
    in_channels: int
    channels: int
    input_size: int
    output_size: int
    arithmetic: str
    parameters: int
    flops: int


class Segmenter(nn.Module):
    """encoder -> skips -> decoder -> features -> head -> logits.

    Parameters
    ----------
    encoder, decoder, head : nn.Module
        Finished parts that tell their steps (see `encoders`).
    exact : bool
        False when a layer looks at the whole image (instance or group normalisation).
    smallest : int
        Least side of every map; 2 where a layer cannot take a single pixel (instance normalisation).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: Head, *, exact: bool, smallest: int = 1) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self._geometry = derive_geometry(self.trail(), exact, smallest)

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes output_height output_width"]:
        """Images of a legal size -> logits, smaller by the margin for valid networks.

        Raises
        ------
        BadOption
            A side is not legal; the nearest legal one is named.
        """
        self._geometry.check(image.shape[2])
        self._geometry.check(image.shape[3])
        return self.head(self.decoder(self.encoder(image)))

    def trail(self) -> Trail:
        """Return all steps in the order of computing."""
        return [*self.encoder.trail(), *self.decoder.trail(), *self.head.trail()]  # type: ignore[operator]

    def geometry(self) -> Geometry:
        """Return stride, reach, halo, margin and legal sizes, derived from the steps."""
        return self._geometry

    def layers(self, size: int) -> tuple[Layer, ...]:
        """Return a row per layer for a square input of a legal `size`.

        Raises
        ------
        BadOption
            The size is not legal.
        """
        self._geometry.check(size)
        trail = self.trail()
        sizes = sizes_along(trail, size) or []
        rows: list[Layer] = []
        for element, before, after in zip(trail, [size, *sizes[:-1]], sizes, strict=True):
            if isinstance(element, Step):
                rows.append(_row(element, before, after))
        return tuple(rows)


def _row(step: Step, before: int, after: int) -> Layer:
    # a transposed convolution spreads each input pixel, the others gather for each output pixel
    places = before if step.kind == "transposed" else after
    weighted = step.kind in ("convolution", "transposed")
    flops = 2 * step.kernel**2 * step.in_channels * step.channels * places**2 if weighted else 0
    return Layer(
        name=step.name,
        kind=step.kind,
        in_channels=step.in_channels,
        channels=step.channels,
        input_size=before,
        output_size=after,
        arithmetic=step.arithmetic(before),
        parameters=step.parameters,
        flops=flops,
    )
