"""Rounds of training: the next one goes on from the weights of the last one, with its plan and without measuring."""

import json
import re
from pathlib import Path

_PLAIN = re.compile(r"[\w./\\~+-]+")


def can_continue(run: Path) -> bool:
    """Return whether a folder is a run of one network, with its plan and its weights."""
    return all((run / name).is_file() for name in ("config.yaml", "model.safetensors")) and not (run / "folds").exists()


def continue_from(run: Path, *, seconds: int, seed: int) -> tuple[str, ...]:
    """Return the options of `pixelwise train` that continue from a run with other data.

    The weights know the images at full resolution already, so nothing is learned at half of it; another seed draws
    other patches.

    Examples
    --------
    >>> continue_from(Path("runs/0001"), seconds=60, seed=2)[2:]
    ('transfer.initial_model=runs/0001', 'training.budget=60', 'training.seed=2', 'patches.low_res_fraction=0')
    """
    name = str(run)
    name = name if _PLAIN.fullmatch(name) else json.dumps(name)  # as YAML
    words = (f"transfer.initial_model={name}", f"training.budget={seconds}", f"training.seed={seed}")
    return ("--config", str(run / "config.yaml"), *words, "patches.low_res_fraction=0")
