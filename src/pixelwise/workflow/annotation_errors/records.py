"""A likely annotation error: where it is, and what annotation and prediction have there."""

from dataclasses import dataclass
from typing import Any

WRONG_CLASS = "wrong class"  # of a whole image


@dataclass(frozen=True, kw_only=True)
class AnnotationError:
    """A region whose annotation is likely wrong.

    Attributes
    ----------
    kind : str
        One of `regions.KINDS`, or `WRONG_CLASS`.
    score : float
        0 to 1; how surely, and in how much of the region, the prediction contradicts the annotation.
    case : str
    files : tuple of str
        The image, and the files of its annotation, relative to the data folder.
    box : (int, int, int, int) or None
        (top, left, bottom, right): first row and column, and the ones after the last; None for the whole image.
    annotated, predicted : str
        Class in the annotation and in the prediction.
    pixels : int
        Pixels where they differ.
    seen : bool
        The model was trained on this image.
    """

    kind: str
    score: float
    case: str
    files: tuple[str, ...]
    box: tuple[int, int, int, int] | None
    annotated: str
    predicted: str
    pixels: int
    seen: bool

    @property
    def change(self) -> str:
        """Where it is, and the classes in annotation and prediction if they differ."""
        classes = f"{self.annotated} → {self.predicted}" if self.annotated != self.predicted else self.annotated
        if self.box is None:
            return classes
        top, left, bottom, right = self.box
        return f"rows {top}-{bottom - 1}, columns {left}-{right - 1}: {classes}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object; `box` has names."""
        return {
            "kind": self.kind,
            "score": round(self.score, 4),
            "case": self.case,
            "files": list(self.files),
            "box": dict(zip(("top", "left", "bottom", "right"), self.box, strict=True)) if self.box else None,
            "annotated": self.annotated,
            "predicted": self.predicted,
            "pixels": self.pixels,
            "seen": self.seen,
        }
