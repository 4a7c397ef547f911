"""The result of a forecast: learning curve, summary text, and the images to label next."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.active_learning.candidates import Ranking
from pixelwise.active_learning.messages import describe_doubts, describe_forecast, judge
from pixelwise.metrics.learning_curve import LEVEL, Estimate, Projection, SubsetScores
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.mask_scores import rounded

MAX_LISTED = 5  # images listed in the text


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A learning curve, and a ranking of unlabelled images.

    Attributes
    ----------
    folder : Path
        With forecast.json, forecast.csv, learning_curve.png, report.html, and, if there are unlabelled images,
        label_next.csv and label_next.png.
    score : str
        "mean_dice" or "mean_ap".
    steps : int
        Of each training.
    trials : SubsetScores
        Scores of the trainings.
    projection : Projection
        The fitted power law.
    more : tuple of int
        Numbers of additional masks.
    """

    folder: Path
    data: str
    score: str
    steps: int
    trials: SubsetScores
    projection: Projection
    more: tuple[int, ...]
    ranking: Ranking

    @property
    def images(self) -> int:
        """Number of validation images."""
        return self.trials.rows.shape[1]

    @property
    def doubts(self) -> list[str]:
        """Reasons why the forecast is unreliable; empty if there are none."""
        return describe_doubts(self.projection, self.trials.sizes, self.images, self.more, self.steps)

    def sentences(self) -> list[str]:
        """Return the forecasts, and the reasons for doubt, as sentences."""
        messages = [describe_forecast(self.projection, more, self.score) for more in self.more]
        return [*messages, f"The forecast is unreliable: {'; '.join(self.doubts)}."] if self.doubts else messages

    def describe_next(self) -> str:
        """List the images to label next."""
        names = [candidate.image.name for candidate in self.ranking.candidates]
        if not names:
            return "No unlabelled images to rank: add a folder of them with --unlabelled."
        rest = f" (all {len(names)} in {self.folder / 'label_next.csv'})" if len(names) > MAX_LISTED else ""
        count = self.ranking.found - len(names) - len(self.ranking.failed)
        skipped = f" {pluralise(count, 'image was', 'images were')} not evaluated, for lack of time." if count else ""
        return f"Label next: {', '.join(names[:MAX_LISTED])}{rest}.{skipped}"

    def to_text(self) -> str:
        """Return the summary that the command prints."""
        return "\n".join([*self.sentences(), self.describe_next()])

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object; undefined numbers are None."""
        curve, projection = self.projection.curve, self.projection
        record: dict[str, Any] = {
            "folder": str(self.folder),
            "data": self.data,
            "score": self.score,
            "masks": projection.now,
            "validation_images": self.images,
            "steps": self.steps,
            "trainings": [{"masks": n, "repeat": repeat, "score": score} for n, repeat, score in self.rows()],
            "curve": {"limit": curve.limit, "drop": curve.drop, "bend": curve.bend},
            "level": LEVEL,
            "now": _interval_record(projection.score(projection.now)),
            "rise": _interval_record(projection.rise),
            "more": [self._forecast_record(more) for more in self.more],
            "doubts": self.doubts,
            "unlabelled": self.ranking.found,
            "label_next": [candidate.to_json() for candidate in self.ranking.candidates],
            "failed": [{"file": str(path), "text": text} for path, text in self.ranking.failed],
        }
        return rounded(record)

    def rows(self) -> list[tuple[int, int, float]]:
        """Return (masks, repeat, score) of each training, sorted by masks."""
        scores, masks = self.trials.scores().tolist(), self.trials.masks.tolist()
        rows: list[tuple[int, int, float]] = []
        for size in self.trials.sizes:
            values = [score for score, count in zip(scores, masks, strict=True) if count == size]
            rows += [(size, repeat, score) for repeat, score in enumerate(values, 1)]
        return rows

    def _forecast_record(self, more: int) -> dict[str, Any]:
        gain = self.projection.gain(more)
        score = _interval_record(self.projection.score(self.projection.now + more))
        return {"more": more, **score, "gain": _interval_record(gain), "verdict": judge(gain)}


def _interval_record(estimate: Estimate) -> dict[str, float | None]:
    value, low, high = (None if math.isnan(number) else number for number in estimate)
    return {"value": value, "low": low, "high": high}
