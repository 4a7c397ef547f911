"""Inspection of a network: layers, sizes and drawing; and the list of all architectures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_text
from pixelwise.drawing.graph import read_nodes
from pixelwise.drawing.maps import Map, peak_values, read_maps
from pixelwise.drawing.network import draw_network
from pixelwise.drawing.writing import to_png, to_svg
from pixelwise.errors import OutputFailed
from pixelwise.geometry.layer_graph import along, differs_by_axis, sizes_with_remainder
from pixelwise.geometry.sizes import Geometry
from pixelwise.networks.architectures import (
    ALWAYS_READ,
    ARCHITECTURES,
    CLASSIFIERS,
    ENCODERS,
    NetworkOptions,
    build,
    options_read,
    paper,
    published_options,
    published_size,
    summary,
)
from pixelwise.networks.models import Classifier, Layer, Network
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config
from pixelwise.workflow.settings import Settings, apply_settings

MAX_VALID_SIZE = 1024  # valid sizes are listed up to here
BYTES = 4  # per value of a feature map: float32
SUFFIXES = (".svg", ".png")
VOLUME = 128  # default side of volumes


@dataclass(frozen=True)
class InspectedNetwork:
    """Layers and sizes of a network for one input size, and the paths of its drawings.

    `peak` is the maximum number of values in memory during a forward pass without gradients, for one image.
    """

    options: NetworkOptions
    geometry: Geometry
    size: int
    layers: tuple[Layer, ...]
    peak: int
    classifies: bool
    drawings: tuple[Path, ...] = ()

    @property
    def dimensions(self) -> int:
        """Number of image dimensions."""
        return 2 if self.classifies else self.options.dimensions

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object; sizes are along one axis, bytes are for one image."""
        geometry = self.geometry
        return {
            "kind": "network",
            "name": self.options.name,
            "task": "classification" if self.classifies else "segmentation",
            "summary": summary(self.options.name),
            "paper": paper(self.options.name),
            "reads": list(options_read(self.options)),
            "dimensions": self.dimensions,
            "channels": self.layers[0].in_channels,
            "classes": self.layers[-1].channels,
            "parameters": sum(layer.parameters for layer in self.layers),
            "flops": sum(layer.flops for layer in self.layers),
            "activation_bytes": BYTES * sum(layer.values for layer in self.layers),
            "inference_peak_bytes": BYTES * self.peak,
            "input_size": self.size,
            "output_size": self.layers[-1].output_size,
            "total_stride": geometry.total_stride,
            "receptive_field": geometry.receptive_field,
            "receptive_field_min": geometry.receptive_field_min,
            "receptive_field_max": geometry.receptive_field,
            "reach": geometry.reach,
            "halo": geometry.halo,
            "margin": geometry.margin,
            "exact_tiles": geometry.exact,
            "legal_first": geometry.legal_first,
            "legal_step": geometry.legal_step,
            "legal_sizes": list(range(geometry.legal_first, max(MAX_VALID_SIZE, self.size) + 1, geometry.legal_step)),
            "layers": [{**asdict(layer), "activation_bytes": BYTES * layer.values} for layer in self.layers],
            "drawings": [str(path) for path in self.drawings],
        }

    def to_text(self) -> str:
        """Return the layers as a table with the arithmetic behind each size, and the totals."""
        facts = self.to_json()
        name_width = max(14, *(len(layer.name) + 2 for layer in self.layers))
        head = f"{'layer':<{name_width}}{'channels':>14}  {'size':<30}{'parameters':>12}{'GFLOP':>9}{'MB':>9}"
        lines = [f"{facts['name']}: {facts['summary']}", facts["paper"], "", head]
        for layer in self.layers:
            channels, work = f"{layer.in_channels} -> {layer.channels}", layer.flops / 1e9
            sizes = f"{layer.arithmetic:<30}{layer.parameters:>12,}{work:>9.2f}{BYTES * layer.values / 1e6:>9.1f}"
            lines.append(f"{layer.name:<{name_width}}{channels:>14}  {sizes}")
        sides = f"{self.size} -> {facts['output_size']}"
        total = f"{facts['parameters']:>12,}{facts['flops'] / 1e9:>9.2f}{facts['activation_bytes'] / 1e6:>9.1f}"
        lines += [f"{'total':<{name_width}}{'':>14}  {sides:<30}{total}", "", *self._sentences(facts)]
        if self.drawings:
            lines.append(f"Drawing: {', '.join(map(str, self.drawings))}")
        return "\n".join(lines)

    def _sentences(self, facts: dict[str, Any]) -> list[str]:
        geometry = self.geometry
        smallest, largest = facts["receptive_field_min"], facts["receptive_field_max"]
        field = f"{pluralise(largest, 'input pixel')} per side"
        if smallest < largest:
            field = f"{smallest} to {field} (depending on its position modulo the total stride)"
        rule = f"{geometry.legal_first} + k x {geometry.legal_step}"
        if geometry.legal_step == 1:
            rule = f"from {geometry.legal_first} on"
        lines = [
            f"{pluralise(facts['parameters'], 'parameter')}, {facts['flops'] / 1e9:.1f} GFLOP for "
            f"{' x '.join([str(self.size)] * self.dimensions)} (a multiply-add counts as two).",
            f"Activation memory of one image in training: {_bytes(facts['activation_bytes'])} in float32; peak memory "
            f"of prediction: {_bytes(facts['inference_peak_bytes'])}.",
            f"Valid sizes: {rule}; total stride {geometry.total_stride}.",
            f"Receptive field of {'a pixel of the last feature map' if self.classifies else 'an output pixel'}: "
            f"{field}, at most {pluralise(geometry.reach, 'pixel')} in one direction.",
        ]
        if not self.classifies:
            lines.append(
                f"Exact tiles need a halo of {geometry.halo}"
                + (f" and lose a border of {geometry.margin}." if geometry.margin else ".")
                if geometry.exact
                else "Tiles are exact once the statistics of the whole image are measured, and blended otherwise."
            )
        return [*lines, f"Options: {', '.join(facts['reads'])}."]


@dataclass(frozen=True)
class InspectedList:
    """All registered networks."""

    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {
            "kind": "networks",
            "networks": [
                {
                    "name": name,
                    "task": "classification" if name in CLASSIFIERS else "segmentation",
                    "encoder": name in ENCODERS,
                    "summary": summary(name),
                    "paper": paper(name),
                    "reads": list(ARCHITECTURES[name].reads),
                    "parameters": ARCHITECTURES[name].parameters,
                }
                for name in self.names
            ],
        }

    def to_text(self) -> str:
        """Return the networks by task, two lines per family of networks with the same summary.

        The second line lists the options that are not determined by the data.
        """
        families: dict[str, dict[tuple[str, bool], list[str]]] = {}
        for network in self.to_json()["networks"]:
            family = families.setdefault(network["task"], {}).setdefault((network["summary"], network["encoder"]), [])
            family.append(network["name"])
        lines: list[str] = []
        for task, title in (
            ("segmentation", "Segmentation:"),
            ("classification", "Classification (* also an encoder):"),
        ):
            lines += ["", title] if lines else [title]
            width = max(len(_family(names)) for names in families[task].values()) + 2
            for (text, encoder), names in families[task].items():
                lines.append(f"  {_family(names):<{width}}{'*' if encoder else ' '} {text}")
                lines.append(f"  {'':<{width}}  {_options_of(names)}")
        return "\n".join([*lines, "", "A U-Net on an encoder: pixelwise inspect unet encoder=resnet34"])


def _family(names: Sequence[str]) -> str:
    """Return a short name of the family: "resnet18, 34, 50"."""
    stem = len(names[0].rstrip("0123456789"))
    return ", ".join([names[0], *(name[stem:] for name in names[1:])])


def _options_of(names: Sequence[str]) -> str:
    """Return the options of a family, with the members that have them if not all do."""
    options: dict[str, list[str]] = {}
    for name in names:
        for option in ARCHITECTURES[name].reads:
            options.setdefault(option, []).append(name)
    listed = [
        option if len(members) == len(names) else f"{option} ({_family(members)})"
        for option, members in options.items()
        if option not in ALWAYS_READ
    ]
    return f"options: {', '.join(listed) or 'none'}"


def list_networks() -> InspectedList:
    """List all registered networks."""
    return InspectedList(tuple(ARCHITECTURES))


def inspect_network(
    name: str, size: int | None, overrides: Sequence[str], out: Path | str | None = None
) -> InspectedNetwork:
    """Build a registered network without weights, list its layers and draw it; see `inspect`."""
    options = _options(name, overrides)
    svg, png = _drawing_paths(options, out)
    with torch.device("meta"):
        network = build(options)
    geometry = network.geometry()
    default = published_size(name) if network.dimensions == 2 else VOLUME
    side = size if size is not None else geometry.valid_size(default)
    layers = network.layers(side)
    maps = _maps(network, side)
    peak = peak_values(maps, network.dimensions)
    result = InspectedNetwork(options, geometry, side, layers, peak, isinstance(network, Classifier), (svg, png))
    drawing = draw_network(read_nodes(maps), network.dimensions, titles(result))
    atomic_write_text(svg, to_svg(drawing))
    atomic_write_bytes(png, to_png(drawing))
    return result


def titles(network: InspectedNetwork) -> list[str]:
    """Return the lines above the drawing: name, paper, numbers."""
    facts = network.to_json()

    def shape(channels: int, side: int) -> str:
        return " × ".join([str(channels), *[str(side)] * network.dimensions])

    out = f"{facts['classes']}" if network.classifies else shape(facts["classes"], facts["output_size"])
    numbers = f"{facts['parameters']:,} parameters, {facts['flops'] / 1e9:.1f} GFLOP"
    return [network.options.full_name, facts["paper"], f"{shape(facts['channels'], network.size)} → {out}; {numbers}"]


def _options(name: str, overrides: Sequence[str]) -> NetworkOptions:
    """Return the published options on the chosen encoder, with the user's overrides."""
    names = {field.name for field in fields(NetworkOptions)}
    words = [f"network.{word}" if word.partition("=")[0] in names else word for word in overrides]
    settings = Settings.parse(words)
    encoder = apply_settings(Config(), settings).network.encoder
    return apply_settings(Config(network=published_options(name, encoder)), settings).network


def _maps(network: Network, size: int) -> list[Map]:
    graphs = [along(network.layer_graph(), axis) for axis in range(network.dimensions)]
    sizes = [sizes_with_remainder(graph, size) or [] for graph in graphs]
    axes = sizes if differs_by_axis(network.layer_graph()) else ()
    return read_maps(network.layer_graph(), sizes[-1], size, axes)


def _drawing_paths(options: NetworkOptions, out: Path | str | None) -> tuple[Path, Path]:
    """Return the paths of the SVG and PNG drawings."""
    encoder = "" if options.encoder == "plain" else f"-{options.encoder}"
    path = Path(out) if out is not None else Path(f"inspect-{options.name}{encoder}.svg")
    if path.suffix and path.suffix not in SUFFIXES:
        raise OutputFailed("a drawing as .svg or .png", f"`{path.suffix}`", "Choose another --out.", path)
    return path.with_suffix(".svg"), path.with_suffix(".png")


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
