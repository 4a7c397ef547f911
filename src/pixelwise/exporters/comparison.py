"""Comparisons: what an exported file says of the trials, beside what torch says; numpy alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.errors import ExportFailed
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import ExportTask
from pixelwise.exporters.samples import ParityBatch
from pixelwise.runtimes.base import Outputs

Answer = Callable[[ParityBatch], Outputs]  # what an exported file says of a trial


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What one runtime says of all trials.

    Attributes
    ----------
    runtime : str
    counted, score_name : str
        What a class is told of, and what the score is called.
    difference, probability_difference, disagreement : float
        As `export_task.Limits` bounds them.
    score_torch, score : float
        Of the run, and of this runtime.
    score_change : float
        Points (hundredths), below 0 where it got worse.
    """

    runtime: str
    counted: str
    score_name: str
    difference: float
    probability_difference: float
    disagreement: float
    score_torch: float
    score: float
    score_change: float

    def to_text(self) -> str:
        """Return one line for people."""
        logits = f"logits within {self.difference:.1g} of the largest"
        classes = f"{self.disagreement:.4%} of the {self.counted} change class"
        score = f"{self.score_name} {self.score_torch:.4f} -> {self.score:.4f} ({self.score_change:+.2f} points)"
        return f"{self.runtime}: {logits}, {classes}, {score}"

    def beyond(self, limits: Limits) -> list[str]:
        """Say which limits are broken."""
        broken: list[str] = []
        for name, messages in (
            ("difference", "logits differ by {:.2g} of the largest (limit {:.2g})"),
            ("probability_difference", "probabilities differ by {:.2g} (limit {:.2g})"),
            ("disagreement", f"a share of {{:.2g}} of the {self.counted} changes class (limit {{:.2g}})"),
        ):
            found, limit = getattr(self, name), getattr(limits, name)
            if limit is not None and not found <= limit:  # "not <=" also refuses what is not a number
                broken.append(messages.format(found, limit))
        if not -self.score_change <= limits.score_loss:
            lost = f"{-self.score_change:.2f} points of {self.score_name}"
            broken.append(f"{lost} are lost (limit {limits.score_loss:g})")
        return broken


def compare(runtime: str, answer: Answer, trials: Sequence[ParityBatch], export_task: ExportTask) -> Comparison:
    """Let a runtime answer all trials and compare."""
    largest = max(float(np.abs(trial.logits).max()) for trial in trials)
    logits, probabilities, changed, total = 0.0, 0.0, 0, 0
    ours: list[np.ndarray] = []
    torchs: list[np.ndarray] = []
    for trial in trials:
        found = answer(trial)
        logits = max(logits, _gap(found.logits, trial.logits))
        probabilities = max(probabilities, _gap(found.probabilities, export_task.probabilities(trial.logits)))
        classes, expected = export_task.decide(found.probabilities), export_task.decide(trial.logits)
        changed, total = changed + int((classes != expected).sum()), total + classes.size
        ours.append(export_task.count(trial.truth, classes))
        torchs.append(export_task.count(trial.truth, expected))
    before, after = export_task.score(np.sum(torchs, axis=0)), export_task.score(np.sum(ours, axis=0))
    return Comparison(
        runtime=runtime,
        counted=export_task.counted,
        score_name=export_task.score_name,
        difference=logits / max(largest, 1e-12),
        probability_difference=probabilities,
        disagreement=changed / total,
        score_torch=before,
        score=after,
        score_change=100 * (after - before),
    )


def check(comparisons: Sequence[Comparison], limits: Limits, path: Path) -> None:
    """Refuse an export beyond its limits.

    Raises
    ------
    ExportFailed
        What is broken, and by how much.
    """
    for comparison in comparisons:
        broken = comparison.beyond(limits)
        if broken:
            expected = "an export that says what torch says"
            got = f"with {comparison.runtime}: {'; '.join(broken)}"
            raise ExportFailed(expected, got, "Use another format; no file is kept beyond the limits.", path)


def _gap(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference; infinite where something is not a number."""
    gap = float(np.abs(found - expected).max())
    return gap if np.isfinite(gap) else np.inf
