"""Rounds of training: the next one goes on from the weights of the last one, with its plan and without measuring."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

_PLAIN = re.compile(r"[\w./\\~+-]+")


@dataclass(frozen=True)
class Length:
    """How long to train: seconds, or steps."""

    seconds: int | None = None
    steps: int | None = None

    @property
    def option(self) -> tuple[str, str]:
        """The option of `pixelwise train`."""
        return ("--budget", f"{self.seconds}s") if self.steps is None else ("--steps", str(self.steps))

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that change a plan that is there already."""
        if self.steps is None:
            return (f"training.budget={self.seconds}",)
        return "training.budget=null", f"training.steps={self.steps}"


def can_continue(run: Path) -> bool:
    """Return whether a folder is a run of one network, with its plan and its weights."""
    return all((run / name).is_file() for name in ("config.yaml", "model.safetensors")) and not (run / "folds").exists()


def continue_from(run: Path, length: Length, seed: int) -> tuple[str, ...]:
    """Return the options of `pixelwise train` that continue from a run with other data.

    The weights know the images at full resolution already, so nothing is learned at half of it; another seed draws
    other patches. What they predict where nothing is painted is kept: without, ten corrections of dim objects made
    others far too wide (RESULTS.md).

    Examples
    --------
    >>> continue_from(Path("runs/0001"), Length(60), 2)[2:4]
    ('transfer.initial_model=runs/0001', 'transfer.keep_predictions=1')
    >>> continue_from(Path("runs/0001"), Length(60), 2)[4:]
    ('training.budget=60', 'training.seed=2', 'patches.low_res_fraction=0')
    """
    name = str(run)
    name = name if _PLAIN.fullmatch(name) else json.dumps(name)  # as YAML
    kept = f"transfer.initial_model={name}", "transfer.keep_predictions=1"
    words = (*kept, *length.settings, f"training.seed={seed}")
    return ("--config", str(run / "config.yaml"), *words, "patches.low_res_fraction=0")
