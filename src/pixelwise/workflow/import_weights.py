"""Import weights of another library as safetensors with their provenance, or as a complete model.

No code in the file is executed.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import BadOption, OutputFailed
from pixelwise.model_file.torch_pickle import read_pickled
from pixelwise.networks.published import identify
from pixelwise.networks.weights import PADDING_HINT, Provenance, lacks_projections, read_weights
from pixelwise.progress import Console, Progress
from pixelwise.text import command, pluralise
from pixelwise.workflow.settings import Settings
from pixelwise.workflow.weights.imported_model import (
    PADDING,
    check_weights_settings,
    given_padding,
    write_imported_model,
)
from pixelwise.workflow.weights.store import file_digest, provenance_of, store_weights, to_file

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ImportResult:
    """The written file or run folder, with the number of tensors and the provenance."""

    path: Path
    tensors: int
    parameters: int
    origin: Provenance

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"path": str(self.path), "tensors": self.tensors, "parameters": self.parameters} | asdict(self.origin)

    def to_text(self) -> str:
        """Return one line of text."""
        return f"{self.tensors} tensors, {self.parameters:,} parameters: {self.path}"


def import_weights(
    file: Path | str,
    *,
    out: Path | str | None = None,
    licence: str = "",
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    classes: Sequence[str] = (),
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> ImportResult:
    """Convert a .pth file to safetensors, or add a provenance header to a .safetensors file.

    With `classes` the weights become a complete model, a run folder for `evaluate`, `predict`, `export` and the other
    commands: `import_weights("resnet20.th", classes=("cat", "dog"), mean=(0.5,) * 3, std=(0.25,) * 3,
    overrides=("network=resnet20", "network.shortcut_padding=both"))`.

    Parameters
    ----------
    file : path
        As written by `torch.save(model.state_dict(), FILE)`, or a checkpoint that contains such a mapping.
    out : path, optional
        By default published weights go to the weights cache, where `encoder_weights=imagenet` finds them, and other
        files to the working folder, with the suffix .safetensors. With `classes` the run folder, by default
        runs/<name of the file>.
    licence : str
        Licence of the weights, for the header. For published weights it is known.
    mean, std : sequence of float
        Normalisation of the training images per channel, in 0...1. For published weights they are known.
    classes : sequence of str
        Names in the order of the network's outputs.
    overrides : sequence of str
        "section.setting=value", such as "network=resnet20". Without `classes` only network.shortcut_padding, which is
        stored in the header.

    Raises
    ------
    BadWeights
        The file contains anything but tensors, is damaged or too large, or is not a model of these classes.
    BadOption
        mean and std do not match, or a setting in `overrides` cannot be used.
    OutputFailed
        The output exists or cannot be written.
    """
    path, progress = Path(file), progress or Console()
    _check_statistics(mean, std)
    settings = Settings.parse(overrides)
    if not classes:
        check_weights_settings(settings)
    digest = file_digest(path)
    target = Path(out) if out is not None else _default_path(path, model=bool(classes))
    published = identify(digest)
    if not classes and (published is None or out is not None):
        _check_free(target)
    tensors = read_weights(path)[0] if path.suffix == SUFFIX else read_pickled(path)
    origin = Provenance(
        source=path.name,
        licence=licence,
        sha256=digest,
        mean=tuple(mean),
        std=tuple(std),
        shortcut_padding=given_padding(settings),
    )
    if published is not None:
        origin = provenance_of(published, digest)
        progress.message(f"This is {published.source}.")
    if classes:
        target = write_imported_model(target, tensors, origin, classes, settings).folder
        progress.message(
            f"A model of {pluralise(len(classes), 'class')}; score it: {command('evaluate', target, 'DATA')}"
        )
    elif published is not None and out is None:
        target = store_weights(published, tensors, digest)
        progress.message(f"encoder_weights={published.word} now uses this file, without a download.")
    else:
        atomic_write_bytes(target, to_file(tensors, origin))
        if lacks_projections(tensors):
            progress.message(_describe_padding(origin.shortcut_padding))
    progress.message(f"Licence: {origin.licence or 'unknown; set it with --licence'}.")
    return ImportResult(target, len(tensors), sum(value.numel() for value in tensors.values()), origin)


def _describe_padding(padding: str) -> str:
    """Describe the zero padding of parameter-free shortcuts (option A), or ask for it if unknown."""
    if padding:
        return f"Its shortcuts have no weights; the header has {PADDING}={padding}."
    hint = f"give {PADDING}=both or {PADDING}=end, otherwise encoder_weights= refuses the file"
    return f"Its shortcuts have no weights (A), and their zero channels are unknown: {hint}. {PADDING_HINT}"


def _default_path(path: Path, *, model: bool) -> Path:
    """Return the default output path."""
    return Path("runs") / path.stem if model else Path(path.with_suffix(SUFFIX).name)


def _check_free(target: Path) -> None:
    if target.exists():
        raise OutputFailed("a new file", "an existing one", "Choose another --out.", target)


def _check_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    if len(mean) != len(std) or not all(map(math.isfinite, (*mean, *std))) or any(value <= 0 for value in std):
        got = f"mean {list(mean)}, std {list(std)}"
        raise BadOption("--mean and --std with one number per channel, std above 0", got, "Give both or neither.")
