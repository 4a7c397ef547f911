"""Write the page how-a-unet-sees.md: every number on it is computed here, with torch and the blocks of pixelwise.

python docs/make_how_a_unet_sees.py             the page; a test compares it with the committed one
python docs/make_how_a_unet_sees.py --picture   also the picture: trains a small U-Net on drawn cells, minutes
"""

import argparse
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_text
from pixelwise.datasets.synthetic import write_demo
from pixelwise.geometry.layer_graph import LayerGraph, LayerSpec, Merge, receptive_span, sizes_along
from pixelwise.io.read import read_image
from pixelwise.networks.architectures import build_segmenter, published_options
from pixelwise.networks.blocks import ConvLayer, Pool, Up
from pixelwise.networks.decoders import cut_to
from pixelwise.networks.residual import ResidualBlock
from pixelwise.workflow.inspect import inspect
from pixelwise.workflow.train import train

HERE = Path(__file__).parent
PAGE, TEXT = HERE / "how-a-unet-sees.md", HERE / "templates" / "how-a-unet-sees.md"
PICTURE = HERE / "pictures" / "maps.png"
STEPS = 600
EDGE = [[-1, 0, 1]] * 3  # bright to the right of dark


def page() -> str:
    """Return the page: the text, with every example computed."""
    parts = {**convolution(), **pooling(), **upsampling(), **skip(), **residual(), **network()}
    return Template(TEXT.read_text("utf-8")).substitute(parts)


def convolution() -> dict[str, str]:
    """Slide a 3 x 3 kernel over an edge, without and with padding; then ReLU."""
    image = map_of([[0, 0, 9, 9, 0]] * 5)
    layer = ConvLayer("conv", 1, 1, padding=0, normalisation="none", bias=False)
    padded = ConvLayer("conv", 1, 1, padding=1, normalisation="none", bias=False)
    with torch.no_grad():
        for conv in (layer[0], padded[0]):
            conv.weight.copy_(map_of(EDGE))
    valid, same = layer[0](image), padded[0](image)
    window = image[0, 0, :3, :3].int().flatten().tolist()
    weights = [weight for row in EDGE for weight in row]
    terms = [f"{weight} x {value}" for weight, value in zip(weights, window, strict=True)]
    bank = ConvLayer("conv", 64, 128, normalisation="batch")
    return {
        "convolution": beside(
            ("image", image), ("kernel", map_of(EDGE)), ("result", valid), ("after ReLU", layer(image))
        ),
        "convolution_sum": " + ".join(terms).replace("+ -", "- ") + f" = {valid[0, 0, 0, 0]:.0f}",
        "convolution_size": layer.layer_graph()[0].arithmetic(5),
        "padded_size": padded.layer_graph()[0].arithmetic(5),
        "padded": beside(("with a border of zeros", same)),
        "bank": f"{bank[0].weight.numel():,}",
        "bank_all": f"{bank.layer_graph()[0].parameters:,}",
    }


def pooling() -> dict[str, str]:
    """Halve a map by the maximum and by the mean, and follow the gradient back."""
    image = map_of([[1, 3, 0, 0], [2, 8, 0, 4], [5, 5, 1, 1], [5, 6, 1, 1]]).requires_grad_()
    highest, mean = Pool("pool", 1)(image), nn.functional.avg_pool2d(image, 2)
    (to_highest,) = torch.autograd.grad(highest.sum(), image)
    (to_mean,) = torch.autograd.grad(mean.sum(), image)
    return {
        "pooling": beside(("map", image), ("maximum", highest), ("mean", mean)),
        "pooling_back": beside(("gradient of the maxima", to_highest), ("gradient of the means", to_mean)),
        "pooling_size": Pool("pool", 1).layer_graph()[0].arithmetic(4),
    }


def upsampling() -> dict[str, str]:
    """Double a map by a transposed convolution, by bilinear interpolation and by repeating."""
    image, kernel = map_of([[1, 2], [3, 0]]), map_of([[1, 10], [100, 1000]])
    learned, bilinear, nearest = Up("up", 1, 1, "transposed"), Up("up", 1, 1, "bilinear"), Up("up", 1, 1, "nearest")
    with torch.no_grad():
        learned.layer.weight.copy_(kernel)
        learned.layer.bias.zero_()
    return {
        "transposed": beside(("map", image), ("kernel", kernel), ("result", learned(image))),
        "transposed_size": learned.layer_graph()[0].arithmetic(2),
        "interpolated": beside(("map", image), ("bilinear", bilinear(image)), ("nearest", nearest(image))),
    }


def skip() -> dict[str, str]:
    """Show that pooling forgets the place, that the skip keeps it, and how a larger skip is cut."""
    one, other = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    one[0, 0, 0, 0] = other[0, 0, 1, 1] = 9
    pool, up = Pool("pool", 1), Up("up", 1, 1, "nearest")
    below = up(pool(one))
    if not torch.equal(below, up(pool(other))):
        raise ValueError("both must look the same from below")
    joined = torch.cat([one, below], dim=1)
    head = nn.Conv2d(2, 1, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([1.0, 1.0])[None, :, None, None])
    large = torch.arange(36.0).view(1, 1, 6, 6)
    return {
        "skip_lost": beside(("one map", one), ("another", other), ("of both, pooled and up", below)),
        "skip_joined": beside(("skip", joined[:, :1]), ("from below", joined[:, 1:]), ("their sum", head(joined))),
        "skip_cut": beside(("skip", large), ("cut to 4 x 4", cut_to(large, one))),
    }


def residual() -> dict[str, str]:
    """Show a block that adds to its input, one that begins as its input, and gradients through ten of them."""
    image = map_of([[1, 2, 0], [0, 4, 0], [3, 0, 1]])
    block = ResidualBlock("block", 1, 1, 1, shortcut="A").eval()
    block.bn1.eps = block.bn2.eps = 0.0
    with torch.no_grad():
        block.conv1.weight.copy_(map_of([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
        block.conv2.weight.copy_(map_of([[0, 0, 0], [1, 0, -1], [0, 0, 0]]))
        main = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(image)))))
        whole = block(image)
        block.last_norm.weight.zero_()
        start = block(image)
    return {
        "residual": beside(("x", image), ("F(x)", main), ("F(x) + x", main + image), ("after ReLU", whole)),
        "residual_start": beside(("x", image), ("the fresh block", start)),
        "plain_gradient": f"{gradient_through(10, 0.5, shortcut=False):.4f}",
        "residual_gradient": f"{gradient_through(10, 0.5, shortcut=True):.1f}",
        "plain_gradient_40": f"{gradient_through(40, 0.5, shortcut=False):.0e}",
    }


def gradient_through(layers: int, weight: float, *, shortcut: bool) -> float:
    """Return d out / d in of 1 x 1 convolutions of one weight, each alone or beside a shortcut."""
    value = torch.ones(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    out = value
    for _ in range(layers):
        main = nn.functional.conv2d(out, torch.full((1, 1, 1, 1), weight, dtype=torch.float64))
        out = main + out if shortcut else main
    (gradient,) = torch.autograd.grad(out.sum(), value)
    return float(gradient)


def network() -> dict[str, str]:
    """Tabulate the stages of the network of 2015: sizes, channels, and how much of the image a pixel has seen."""
    net = build_segmenter(published_options("unet2015"))
    layer_graph, size = net.layer_graph(), 572
    sizes = sizes_along(layer_graph, size)
    if sizes is None:
        raise ValueError("572 is a size of the paper")
    rows = ["| stage | channels | size | a pixel stands for | and has seen |", "|---|---|---|---|---|"]
    ends = [0, *(i + 1 for i, step in enumerate(layer_graph) if ends_stage(layer_graph, i))]
    stride = 1
    for start, end in pairwise(ends):
        for step in layer_graph[start:end]:
            if isinstance(step, LayerSpec) and step.stride > 1:
                stride = stride // step.stride if step.up else stride * step.stride
        last = [step for step in layer_graph[:end] if isinstance(step, LayerSpec)][-1]
        # the worst place on the pooling grid, whose step is 16
        spans = [
            receptive_span(layer_graph[:end], sizes[:end], size, sizes[end - 1] // 2 + phase) for phase in range(16)
        ]
        side_seen = max(high - low + 1 for low, high in spans)
        name = last.name.removesuffix(" conv b")
        side = f"{sizes[end - 1]} x {sizes[end - 1]}"
        rows.append(f"| {name} | {last.channels} | {side} | {stride} x {stride} | {side_seen} x {side_seen} |")
    geometry = net.geometry()
    return {
        "stages": "\n".join(rows),
        "output": f"{geometry.output_size(size)}",
        "margin": f"{geometry.margin}",
        "parameters": f"{sum(parameter.numel() for parameter in net.parameters()):,}",
        "joins": f"{sum(isinstance(step, Merge) for step in layer_graph)}",
    }


def ends_stage(layer_graph: LayerGraph, index: int) -> bool:
    """Tell whether a stage of two convolutions ends at this step."""
    step = layer_graph[index]
    return isinstance(step, LayerSpec) and (step.name.endswith("conv b") or step.name == "head")


def map_of(rows: list[list[int]]) -> Tensor:
    """Return rows of numbers as a map (1, 1, height, width)."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def beside(*named: tuple[str, Tensor]) -> str:
    """Write maps side by side, each under its name."""
    blocks: list[list[str]] = []
    for name, values in named:
        rows = [[f"{value:g}" for value in row] for row in np.round(values.detach().numpy()[0, 0], 4).tolist()]
        wide = max(len(text) for row in rows for text in row)
        lines = ["  ".join(text.rjust(wide) for text in row) for row in rows]
        width = max(len(name), len(lines[0]))
        blocks.append([name.ljust(width), *(line.ljust(width) for line in lines)])
    tall = max(len(block) for block in blocks)
    filled = [block + [" " * len(block[0])] * (tall - len(block)) for block in blocks]
    return "\n".join("     ".join(parts).rstrip() for parts in zip(*filled, strict=True))


def picture() -> bytes:
    """Train a small U-Net on drawn cells, look into it with one that it has not seen, and return a small PNG."""
    with TemporaryDirectory() as folder:
        data, run, seen_cells = (Path(folder) / name for name in ("cells", "run", "seen.png"))
        write_demo(data, train=12, val=3, test=1)
        small = ["network.base=8", "network.depth=3", "target.kind=boundary"]
        train(data, out=run, steps=STEPS, overrides=small)
        inspect(run, image=data / "test" / "images" / "cells_00.png", out=seen_cells)
        pixels = np.moveaxis(read_image(seen_cells).pixels[:3], 0, -1)
    # a palette of 128 colours and two thirds of the size: the page loads at once
    shown = PIL.Image.fromarray(np.ascontiguousarray(pixels))
    shown = shown.resize((shown.width * 2 // 3, shown.height * 2 // 3), PIL.Image.Resampling.LANCZOS)
    content = BytesIO()
    shown.quantize(128, dither=PIL.Image.Dither.NONE).save(content, format="png", optimize=True)
    return content.getvalue()


def main() -> None:
    """Write the page, and the picture when asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true")
    if parser.parse_args().picture:
        atomic_write_bytes(PICTURE, picture())
    atomic_write_text(PAGE, page())


if __name__ == "__main__":
    main()
