"""Inspect: what was understood of a data folder, what a run is made of, what the layers of a network do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pixelwise.engine.modelfile import read_recipe
from pixelwise.errors import BadOption, OutputFailed, nearest
from pixelwise.geometry.sizes import Geometry
from pixelwise.images.cases import DataOptions, Dataset, examine
from pixelwise.images.fingerprint import Fingerprint, measure_fingerprint
from pixelwise.networks.architectures import ARCHITECTURES, NetworkOptions, build
from pixelwise.networks.models import Layer
from pixelwise.progress import Console, Progress
from pixelwise.workflow.config import Config, override, settings
from pixelwise.workflow.contact_sheet import draw_contact_sheet
from pixelwise.workflow.run import Run

PROBLEMS_SHOWN = 20
LEGAL_SHOWN = 1024  # legal sizes are listed up to here


@dataclass(frozen=True)
class InspectedData:
    """A data folder, as it would be trained on."""

    dataset: Dataset
    fingerprint: Fingerprint | None
    sheet: Path | None

    @property
    def usable(self) -> bool:
        """Whether the folder can be trained on as it is."""
        return not any(problem.fatal for problem in self.dataset.problems)

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        labelling = self.dataset.labelling
        return {
            "kind": "data",
            "task": labelling.task,
            "classes": list(labelling.classes),
            "values": list(labelling.values),
            "ignore_index": labelling.ignore_value,
            "channels": self.dataset.channels,
            "cases": {part: len(self.dataset.part(part)) for part in ("train", "val", "test")},
            "told": list(self.dataset.told),
            "problems": [
                {"file": p.file, "kind": p.kind, "text": p.text, "fatal": p.fatal} for p in self.dataset.problems
            ],
            "fingerprint": asdict(self.fingerprint) if self.fingerprint else None,
            "contact_sheet": str(self.sheet) if self.sheet else None,
        }

    def to_text(self) -> str:
        """Return sentences and a small table for people."""
        labelling, lines = self.dataset.labelling, list(self.dataset.told)
        counts = ", ".join(f"{len(self.dataset.part(p))} {p}" for p in ("train", "val", "test"))
        lines += ["", f"Cases: {counts}. Task: {labelling.task}. Channels: {self.dataset.channels}."]
        if self.fingerprint:
            shares = zip(labelling.classes, self.fingerprint.class_shares, strict=False)
            lines += [f"  {share:7.2%}  {name}" for name, share in shares]
        problems = self.dataset.problems
        if problems:
            lines += ["", f"{len(problems)} problems:"]
            lines += [f"  {p.file}: {p.text}" for p in problems[:PROBLEMS_SHOWN]]
            if len(problems) > PROBLEMS_SHOWN:
                lines.append(f"  ... and {len(problems) - PROBLEMS_SHOWN} more (--json lists all).")
        if self.sheet:
            lines += ["", f"Contact sheet: {self.sheet}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class InspectedRun:
    """A run: its plan with the reasons, its model and its scores."""

    run: Run
    config: Config

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        facts: dict[str, Any] = {"kind": "run", "folder": str(self.run.folder)}
        facts["settings"] = settings(self.config)
        facts["reasons"] = dict(self.config.reasons)
        facts["model"] = asdict(read_recipe(self.run.model_path)) if self.run.model_path.is_file() else None
        facts["scores"] = self.run.read_json("scores.json") if self.run.scores_path.is_file() else None
        return facts

    def to_text(self) -> str:
        """Return the plan, setting by setting, and what the model can do."""
        reasons = self.config.reasons
        width = max(len(key) for key in reasons) if reasons else 0
        lines = [f"Run {self.run.folder}"]
        lines += [
            f"  {key:<{width}}  {value!s:<12}  {reasons[key]}"
            for key, value in settings(self.config).items()
            if key in reasons
        ]
        if self.run.model_path.is_file():
            recipe = read_recipe(self.run.model_path)
            lines.append(f"Model: {recipe.task}, classes {', '.join(recipe.classes)}; {_facts(recipe.trained)}.")
        else:
            lines.append("No model yet: continue it with `pixelwise train DATA --resume`.")
        return "\n".join(lines)


@dataclass(frozen=True)
class InspectedNetwork:
    """A network's layers and sizes for one input size."""

    options: NetworkOptions
    geometry: Geometry
    size: int
    layers: tuple[Layer, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        geometry = self.geometry
        return {
            "kind": "network",
            "name": self.options.name,
            "parameters": sum(layer.parameters for layer in self.layers),
            "flops": sum(layer.flops for layer in self.layers),
            "input_size": self.size,
            "output_size": geometry.output_size(self.size),
            "total_stride": geometry.total_stride,
            "receptive_field": geometry.receptive_field,
            "reach": geometry.reach,
            "halo": geometry.halo,
            "margin": geometry.margin,
            "exact_tiles": geometry.exact,
            "legal_first": geometry.legal_first,
            "legal_step": geometry.legal_step,
            "legal_sizes": list(range(geometry.legal_first, max(LEGAL_SHOWN, self.size) + 1, geometry.legal_step)),
            "layers": [asdict(layer) for layer in self.layers],
        }

    def to_text(self) -> str:
        """Return the layers as a table with the arithmetic behind each size."""
        facts, geometry = self.to_json(), self.geometry
        lines = [f"{'layer':<14}{'channels':>14}  {'size':<28}{'parameters':>12}{'GFLOP':>9}"]
        for layer in self.layers:
            channels, work = f"{layer.in_channels} -> {layer.channels}", layer.flops / 1e9
            sizes = f"{layer.arithmetic:<28}{layer.parameters:>12,}{work:>9.2f}"
            lines.append(f"{layer.name:<14}{channels:>14}  {sizes}")
        lines += [
            "",
            f"{facts['parameters']:,} parameters, {facts['flops'] / 1e9:.1f} GFLOP for {self.size} x {self.size} "
            f"(a multiply-add counts as two).",
            f"{self.size} -> {facts['output_size']}; legal sizes {geometry.legal_first} + k x {geometry.legal_step}; "
            f"total stride {geometry.total_stride}.",
            f"An output pixel sees up to {geometry.receptive_field} input pixels a side, {geometry.reach} to the one "
            f"side of it; exact tiles need a halo of {geometry.halo}"
            + (f" and a margin of {geometry.margin}." if geometry.margin else "."),
        ]
        return "\n".join(lines)


def inspect(
    target: Path | str,
    *,
    size: int | None = None,
    options: DataOptions | None = None,
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> InspectedData | InspectedRun | InspectedNetwork:
    """Look at a data folder, a run folder or a registered network.

    Parameters
    ----------
    target : path or str
    size : int, optional
        Side of a network's input; by default 572 for `unet2015` and 256 for others, or the next legal size.
    options : DataOptions, optional
        For a data folder.
    overrides : sequence of "network.setting=value"
        For a network.
    out : path, optional
        Where the contact sheet of a data folder goes; by default inspect-<name>.png in the current folder.
    progress : Progress, optional

    Raises
    ------
    BadOption
        The target is neither a folder nor a known network, or the size is not legal.
    OutputFailed
        `out` lies inside the data folder, or cannot be written.
    """
    path = Path(target)
    if str(target) in ARCHITECTURES and not path.exists():
        return _inspect_network(str(target), size, overrides)
    if (path / "config.yaml").is_file():
        run = Run.open(path)
        return InspectedRun(run, run.config)
    if path.is_dir():
        return _inspect_data(path, options or DataOptions(), out, progress or Console())
    known = nearest(str(target), list(ARCHITECTURES))
    raise BadOption("a data folder, a run folder or a network", f"`{target}`", known)


def _inspect_network(name: str, size: int | None, overrides: Sequence[str]) -> InspectedNetwork:
    base = "64" if name == "unet2015" else "32"
    config = override(Config(), [f"network.name={name}", f"network.base={base}", *overrides])
    with torch.device("meta"):
        network = build(config.network)
    geometry = network.geometry()
    side = size if size is not None else geometry.legal_size(572 if name == "unet2015" else 256)
    return InspectedNetwork(config.network, geometry, side, network.layers(side))


def _inspect_data(root: Path, options: DataOptions, out: Path | str | None, progress: Progress) -> InspectedData:
    sheet = _place_of_sheet(root, out)
    dataset = examine(root, options, 0, progress)
    train = dataset.part("train")
    if any(problem.fatal for problem in dataset.problems) or not train:
        return InspectedData(dataset, None, None)
    fingerprint = measure_fingerprint(train, dataset.labelling, dataset.channels, progress)
    if sheet is not None:
        draw_contact_sheet(sheet, dataset)
    return InspectedData(dataset, fingerprint, sheet)


def _place_of_sheet(root: Path, out: Path | str | None) -> Path | None:
    """Return where the contact sheet goes; None where the current folder is the user's data."""
    sheet = Path(out) if out is not None else Path(f"inspect-{root.resolve().name}.png")
    if not sheet.resolve().is_relative_to(root.resolve()):
        return sheet
    if out is None:
        return None
    raise OutputFailed("a place outside the data", "one inside the data folder", "Give another --out.", sheet)


def _facts(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
