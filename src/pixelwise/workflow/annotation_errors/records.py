"""A likely annotation error: where it is, and what annotation and prediction have there."""

from dataclasses import dataclass
from typing import Any

WRONG_CLASS = "wrong class"  # of a whole image
_AXES = ("slices", "rows", "columns")
_SIDES = {4: ("top", "left", "bottom", "right"), 6: ("front", "top", "left", "back", "bottom", "right")}


@dataclass(frozen=True, kw_only=True)
class AnnotationError:
    """A region whose annotation is likely wrong.

    Attributes
    ----------
    kind : str
        One of `regions.KINDS`, or `WRONG_CLASS`.
    score : float
        0 to 1; how surely, and in how much of the region, the prediction contradicts the annotation.
    files : tuple of str
        The image, and the files of its annotation, relative to the data folder.
    box : tuple of int or None
        (top, left, bottom, right): first row and column, and the ones after the last; of volumes (front, top, left,
        back, bottom, right), with the first slice and the one after the last; None for the whole image.
    annotated, predicted : str
        Class in the annotation and in the prediction.
    pixels : int
        Pixels, or voxels, where they differ.
    seen : bool
        The model was trained on this image.
    """

    kind: str
    score: float
    case: str
    files: tuple[str, ...]
    box: tuple[int, ...] | None
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
        axes = len(self.box) // 2
        pairs = zip(_AXES[-axes:], self.box[:axes], self.box[axes:], strict=True)
        return f"{', '.join(f'{name} {first}-{end - 1}' for name, first, end in pairs)}: {classes}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object; `box` has names."""
        return {
            "kind": self.kind,
            "score": round(self.score, 4),
            "case": self.case,
            "files": list(self.files),
            "box": dict(zip(_SIDES[len(self.box)], self.box, strict=True)) if self.box else None,
            "annotated": self.annotated,
            "predicted": self.predicted,
            "pixels": self.pixels,
            "seen": self.seen,
        }
