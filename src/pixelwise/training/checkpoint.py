"""Training checkpoints: folders whose manifest is written last, so that incomplete ones are ignored.

checkpoints/step-00000123/
    weights.safetensors   average.safetensors (EMA weights)   optimiser.safetensors   state.json
    MANIFEST.json         sizes and SHA-256 of the other files
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json

MANIFEST = "MANIFEST.json"
MAX_CHECKPOINTS = 2
# What a manifest or state of another shape raises, besides damaged files.
_DAMAGE = (OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Training state: named groups of tensors, and counters as JSON."""

    step: int
    tensors: Mapping[str, Mapping[str, torch.Tensor]]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint below `folder`, then delete all but the newest two.

    Raises
    ------
    OutputFailed
        The disk is full or the folder cannot be written; older checkpoints are kept.
    """
    target = folder / _name(checkpoint.step)
    manifest: dict[str, dict[str, Any]] = {}
    contents = {
        f"{name}.safetensors": save({k: v.detach().cpu().contiguous() for k, v in group.items()})
        for name, group in checkpoint.tensors.items()
    }
    contents["state.json"] = json.dumps(dict(checkpoint.state), allow_nan=False).encode()
    (target / MANIFEST).unlink(missing_ok=True)
    for name, content in contents.items():
        atomic_write_bytes(target / name, content)
        manifest[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    atomic_write_json(target / MANIFEST, {"step": checkpoint.step, "files": manifest})
    for old in _checkpoint_folders(folder)[MAX_CHECKPOINTS:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Load the newest complete checkpoint.

    Returns
    -------
    checkpoint : Checkpoint or None
        None if no checkpoint is complete.
    warnings : list of str
        One sentence for each newer checkpoint that was skipped because it is damaged.
    """
    warnings: list[str] = []
    for candidate in _checkpoint_folders(folder):
        if not (candidate / MANIFEST).is_file():
            continue  # the process ended while writing it
        try:
            return _load(candidate), warnings
        except _DAMAGE as error:
            warnings.append(f"The checkpoint {candidate.name} is damaged ({error}) and was skipped.")
    return None, warnings


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _checkpoint_folders(folder: Path) -> list[Path]:
    """Return checkpoint folders, newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def _load(folder: Path) -> Checkpoint:
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    step = int(manifest["step"])
    if folder.name != _name(step):
        raise ValueError(f"its manifest is of step {step}")
    contents: dict[str, bytes] = {}
    for name, entry in manifest["files"].items():
        if Path(name).name != name:
            raise ValueError(f"file name {name!r} points outside the checkpoint")
        content = (folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{name} does not match its checksum")
        contents[name] = content
    state = json.loads(contents.pop("state.json"))
    if not isinstance(state, dict):
        raise ValueError(f"state.json contains a {type(state).__name__}")
    tensors = {name.removesuffix(".safetensors"): load(content) for name, content in contents.items()}
    return Checkpoint(step=step, tensors=tensors, state=state)
