"""Inspection of a run folder: config with reasons, model card and scores."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pixelwise.errors import BadRun
from pixelwise.model_file.model_file import read_model_card
from pixelwise.workflow.config import Config, origins_of, values_of
from pixelwise.workflow.run import Run


@dataclass(frozen=True)
class InspectedRun:
    """A run with its config."""

    run: Run
    config: Config

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        facts: dict[str, Any] = {"kind": "run", "folder": str(self.run.folder)}
        facts["settings"] = values_of(self.config)
        facts["origins"] = origins_of(self.config)
        facts["reasons"] = dict(self.config.reasons)
        facts["model"] = asdict(read_model_card(self.run.model_path)) if self.run.model_path.is_file() else None
        facts["scores"] = self.run.read_json("scores.json") if self.run.scores_path.is_file() else None
        return facts

    def to_text(self) -> str:
        """Return the settings with their reasons, and a line about the model."""
        reasons = self.config.reasons
        width = max(len(key) for key in reasons) if reasons else 0
        lines = [f"Run {self.run.folder}"]
        lines += [
            f"  {key:<{width}}  {value!s:<12}  {reasons[key]}"
            for key, value in values_of(self.config).items()
            if key in reasons
        ]
        if self.run.model_path.is_file():
            model_card = read_model_card(self.run.model_path)
            lines.append(
                f"Model: {model_card.task}, classes {', '.join(model_card.classes)}; {_facts(model_card.trained)}."
            )
        else:
            lines.append(f"No model yet: continue it with `{self.run.resume_command(self._data())}`.")
        return "\n".join(lines)

    def _data(self) -> str:
        """Return the data folder of the run; older records do not contain it."""
        try:
            return str(self.run.understood.get("folder", "DATA"))
        except BadRun:
            return "DATA"


def _facts(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
