"""The ranking of likely annotation errors, as text and JSON, and what correcting them would gain."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pixelwise.text import pluralise
from pixelwise.workflow.annotation_errors.evidence import Evidence
from pixelwise.workflow.annotation_errors.records import AnnotationError

LIKELY = 0.5  # lower scores are ranked, but not listed
SHOWN = 20  # errors that the text lists


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The mean Dice of the predictions if the first `errors` of the ranking are corrected as predicted."""

    errors: int
    dice: float


@dataclass(frozen=True, kw_only=True)
class AnnotationErrors:
    """The ranking.

    Attributes
    ----------
    ranked : tuple of AnnotationError
        Every region where annotation and prediction differ, or every image whose classes do; the most likely errors
        first.
    agreeing : int
        Annotated regions, or images, without any difference; they are the end of the ranking.
    dice : float or None
        Mean Dice of the predictions with the annotations as they are.
    evidence : tuple of Evidence
        Pictures of the first errors of each kind.
    """

    ranked: tuple[AnnotationError, ...]
    agreeing: int
    images: int
    dice: float | None
    gains: tuple[Gain, ...]
    messages: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()

    @property
    def likely(self) -> tuple[AnnotationError, ...]:
        """The errors with a score of `LIKELY` or more."""
        return tuple(error for error in self.ranked if error.score >= LIKELY)

    @property
    def regions(self) -> int:
        """The length of the ranking, with the regions that agree."""
        return len(self.ranked) + self.agreeing

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object with the likely errors."""
        return {
            "images": self.images,
            "regions": self.regions,
            "counts": dict(Counter(error.kind for error in self.likely)),
            "errors": [error.to_json() for error in self.likely],
            "dice": None if self.dice is None else round(self.dice, 6),
            "gains": [{"errors": gain.errors, "dice": round(gain.dice, 6)} for gain in self.gains],
            "messages": list(self.messages),
        }

    def to_text(self) -> str:
        """Return the summary that the command prints."""
        lines = [*self.messages, f"{pluralise(len(self.likely), 'likely annotation error')}:"]
        for error in self.likely[:SHOWN]:
            change = error.change.replace("→", "->")
            lines.append(f"  {error.files[0]}: {error.kind} ({error.score:.2f}), {change}")
        if len(self.likely) > SHOWN:
            lines.append(f"  ... and {len(self.likely) - SHOWN} more (--json or --html lists all).")
        return "\n".join([*lines, *self.describe_gain()])

    def describe_gain(self) -> list[str]:
        """Return a sentence about what correcting the likely errors would change at most."""
        if self.dice is None or not self.gains:
            return []
        gain = self.gains[-1]
        return [
            f"Mean Dice of the predictions: {self.dice:.4f}; {gain.dice:.4f} if the first {gain.errors} are errors "
            "and are corrected as predicted."
        ]
