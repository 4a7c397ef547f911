"""What a forecast returns: numbers, sentences, and the images to label next."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.active_learning.candidates import Ranking
from pixelwise.active_learning.messages import describe_doubts, describe_forecast, judge
from pixelwise.metrics.learning_curve import LEVEL, Between, Projection, SubsetScores
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.mask_scores import rounded

NAMED = 5  # images that are told by name


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What more masks would bring, and which images to label next.

    Attributes
    ----------
    folder : Path
        With forecast.json, forecast.csv, learning_curve.png, report.html, and where there are unlabelled images
        label_next.csv and label_next.png.
    data : str
    score : str
        "mean_dice" or "mean_ap".
    steps : int
        Of each training.
    trials : Trials
        What was counted in each training.
    outlook : Outlook
        The fitted curve.
    more : tuple of int
        How many more masks are asked about.
    ranking : Ranking
        Unlabelled images, the one to label first in front.
    """

    folder: Path
    data: str
    score: str
    steps: int
    trials: SubsetScores
    outlook: Projection
    more: tuple[int, ...]
    ranking: Ranking

    @property
    def images(self) -> int:
        """Validation images that score."""
        return self.trials.rows.shape[1]

    @property
    def doubts(self) -> list[str]:
        """Reasons why the curve says little; none where it can be taken as it stands."""
        return describe_doubts(self.outlook, self.trials.sizes, self.images, self.more, self.steps)

    def sentences(self) -> list[str]:
        """Say what the curve says, and how far it can be trusted."""
        messages = [describe_forecast(self.outlook, more, self.score) for more in self.more]
        return [*messages, f"That says little: {'; '.join(self.doubts)}."] if self.doubts else messages

    def describe_next(self) -> str:
        """Name the images to label next."""
        best = [candidate.image.name for candidate in self.ranking.candidates]
        if not best:
            return "No unlabelled image to choose from: give a folder of them with --unlabelled."
        rest = f" (all {len(best)} in {self.folder / 'label_next.csv'})" if len(best) > NAMED else ""
        unseen = self.ranking.found - len(best) - len(self.ranking.failed)
        left = f" {pluralise(unseen, 'other was', 'others were')} not looked at, for want of time." if unseen else ""
        return f"Label next: {', '.join(best[:NAMED])}{rest}.{left}"

    def to_text(self) -> str:
        """Return the last lines for people."""
        return "\n".join([*self.sentences(), self.describe_next()])

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object; what is not known is None."""
        curve, outlook = self.outlook.curve, self.outlook
        found: dict[str, Any] = {
            "folder": str(self.folder),
            "data": self.data,
            "score": self.score,
            "masks": outlook.now,
            "validation_images": self.images,
            "steps": self.steps,
            "trainings": [{"masks": n, "repeat": time, "score": score} for n, time, score in self.rows()],
            "curve": {"limit": curve.limit, "drop": curve.drop, "bend": curve.bend},
            "level": LEVEL,
            "now": _between(outlook.score(outlook.now)),
            "rise": _between(outlook.rise),
            "more": [self._ahead(more) for more in self.more],
            "says_little": self.doubts,
            "unlabelled": self.ranking.found,
            "label_next": [candidate.to_json() for candidate in self.ranking.candidates],
            "failed": [{"file": str(path), "text": text} for path, text in self.ranking.failed],
        }
        return rounded(found)

    def rows(self) -> list[tuple[int, int, float]]:
        """Return masks, repeat and score of each training, by masks."""
        scores, masks = self.trials.scores().tolist(), self.trials.masks.tolist()
        found: list[tuple[int, int, float]] = []
        for size in self.trials.sizes:
            mine = [score for score, count in zip(scores, masks, strict=True) if count == size]
            found += [(size, time, score) for time, score in enumerate(mine, 1)]
        return found

    def _ahead(self, more: int) -> dict[str, Any]:
        gain = self.outlook.gain(more)
        score = _between(self.outlook.score(self.outlook.now + more))
        return {"more": more, **score, "gain": _between(gain), "says": judge(gain)}


def _between(found: Between) -> dict[str, float | None]:
    value, low, high = (None if math.isnan(number) else number for number in found)
    return {"value": value, "low": low, "high": high}
