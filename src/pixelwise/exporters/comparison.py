"""Parity check: comparison of an exported model with PyTorch on the parity batches, without torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.errors import ExportFailed
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export_task import ExportTask
from pixelwise.exporters.samples import ParityBatch
from pixelwise.runtimes.base import Outputs

PredictBatch = Callable[[ParityBatch], Outputs]  # runs an exported model on a parity batch


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Differences between one runtime and PyTorch on all parity batches.

    Attributes
    ----------
    counted, score_name : str
        "pixels" or "images", and the name of the score.
    difference, probability_difference, disagreement : float
        See `description.Limits`.
    score_torch, score : float
        Scores of PyTorch and of this runtime.
    score_change : float
        In points (hundredths), negative if worse.
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
        """Return a summary in one line."""
        logits = f"logits within {self.difference:.1g} of the largest"
        classes = f"{self.disagreement:.4%} of the {self.counted} change class"
        score = f"{self.score_name} {self.score_torch:.4f} -> {self.score:.4f} ({self.score_change:+.2f} points)"
        return f"{self.runtime}: {logits}, {classes}, {score}"

    def exceeded_limits(self, limits: Limits) -> list[str]:
        """Return a message for each exceeded limit."""
        exceeded: list[str] = []
        for name, message in (
            ("difference", "logits differ by {:.2g} of the largest (limit {:.2g})"),
            ("probability_difference", "probabilities differ by {:.2g} (limit {:.2g})"),
            ("disagreement", f"a fraction of {{:.2g}} of the {self.counted} changes class (limit {{:.2g}})"),
        ):
            value, limit = getattr(self, name), getattr(limits, name)
            if limit is not None and not value <= limit:  # "not <=" also rejects NaN
                exceeded.append(message.format(value, limit))
        if not -self.score_change <= limits.score_loss:
            loss = f"{-self.score_change:.2f} points of {self.score_name}"
            exceeded.append(f"{loss} are lost (limit {limits.score_loss:g})")
        return exceeded


def compare(runtime: str, predict: PredictBatch, batches: Sequence[ParityBatch], export_task: ExportTask) -> Comparison:
    """Compare a runtime with PyTorch on all parity batches."""
    largest = max(float(np.abs(batch.logits).max()) for batch in batches)
    logits, probabilities, changed, total = 0.0, 0.0, 0, 0
    counts: list[np.ndarray] = []
    torch_counts: list[np.ndarray] = []
    for batch in batches:
        outputs = predict(batch)
        logits = max(logits, _difference(outputs.logits, batch.logits))
        expected = export_task.probabilities(batch.logits)
        probabilities = max(probabilities, _difference(outputs.probabilities, expected))
        classes, torch_classes = export_task.decide(outputs.probabilities), export_task.decide(expected)
        changed, total = changed + int((classes != torch_classes).sum()), total + classes.size
        counts.append(export_task.count(batch.truth, classes))
        torch_counts.append(export_task.count(batch.truth, torch_classes))
    before, after = export_task.score(np.sum(torch_counts, axis=0)), export_task.score(np.sum(counts, axis=0))
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
    """Check that all comparisons are within the limits.

    Raises
    ------
    ExportFailed
        A limit is exceeded.
    """
    for comparison in comparisons:
        exceeded = comparison.exceeded_limits(limits)
        if exceeded:
            expected = "an export that agrees with PyTorch"
            got = f"with {comparison.runtime}: {'; '.join(exceeded)}"
            raise ExportFailed(expected, got, "Use another format; files that exceed the limits are not kept.", path)


def _difference(values: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest absolute difference; infinity if a value is NaN."""
    difference = float(np.abs(values - expected).max())
    return difference if np.isfinite(difference) else np.inf
