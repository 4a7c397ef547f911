"""Pictures of likely annotation errors: the image, and on it the outlines of the annotation and of the prediction."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Integer, UInt8
from skimage.segmentation import find_boundaries

from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.annotation_errors.records import AnnotationError
from pixelwise.workflow.annotation_errors.regions import Comparison
from pixelwise.workflow.painting import stretch

PICTURES = 24  # errors of one kind that are shown as pictures
ANNOTATED, PREDICTED = (230, 75, 0), (0, 190, 255)
_MARGIN = 16  # pixels around the box, at least
_SIDE = 160  # pixels of a picture, at least
Box = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """An error with its pictures: the image, and the same with the outlines of the annotation and the prediction.

    The class of a whole image has no outlines.
    """

    error: AnnotationError
    image: UInt8[np.ndarray, "height width 3"]
    annotation: UInt8[np.ndarray, "height width 3"] | None
    prediction: UInt8[np.ndarray, "height width 3"] | None


@dataclass
class EvidenceStore:
    """Keeps the pictures of the `PICTURES` errors of each kind with the highest scores, while images pass by."""

    kept: dict[str, list[Evidence]] = field(default_factory=dict[str, list[Evidence]])

    def add(self, pixels: np.ndarray, comparison: Comparison, errors: Sequence[AnnotationError]) -> None:
        """Add the errors of one image (channels, height, width), or of a volume, the highest scores first.

        Of a volume the slice is shown in which most voxels of the error differ.
        """
        view: np.ndarray | None = None
        for error in errors:
            best = self.kept.setdefault(error.kind, [])
            if len(best) >= PICTURES and error.score <= best[-1].error.score:
                continue
            if pixels.ndim == 4 and error.box is not None:
                best.append(_draw_slice(pixels, comparison, error, error.box))
            else:
                view = stretch(pixels) if view is None else view
                best.append(_draw(view, comparison, error, error.box))
            best.sort(key=lambda one: -one.error.score)
            del best[PICTURES:]

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what is kept."""
        return tuple(one for best in self.kept.values() for one in best)


def _draw_slice(pixels: np.ndarray, comparison: Comparison, error: AnnotationError, box: Box) -> Evidence:
    """Draw the slice across depth in which most voxels of an error differ."""
    inside = tuple(slice(first, end) for first, end in zip(box[:3], box[3:], strict=True))
    differ = (comparison.given != comparison.predicted)[inside] & (comparison.given[inside] != IGNORE)
    index = box[0] + int(differ.sum(axis=(1, 2)).argmax())
    planes = Comparison(**{field.name: getattr(comparison, field.name)[index] for field in fields(Comparison)})
    return _draw(stretch(pixels[:, index]), planes, error, (*box[1:3], *box[4:]))


def _draw(view: np.ndarray, comparison: Comparison, error: AnnotationError, box: Box | None) -> Evidence:
    rows, columns = _around(box or (0, 0, *view.shape[:2]), view.shape[:2])
    crop = view[rows, columns]
    times = max(1, -(-_SIDE // max(crop.shape[:2])))
    image = crop.repeat(times, 0).repeat(times, 1)

    def outlined(regions: np.ndarray, tone: tuple[int, int, int]) -> np.ndarray:
        drawn = image.copy()
        drawn[_edges(regions[rows, columns].repeat(times, 0).repeat(times, 1))] = tone
        return drawn

    return Evidence(
        error=error,
        image=image,
        annotation=outlined(comparison.given_regions, ANNOTATED),
        prediction=outlined(comparison.predicted_regions, PREDICTED),
    )


def _around(box: Box, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of a crop that shows the box and half of its size around it."""
    top, left, bottom, right = box
    margin = max(_MARGIN, (bottom - top) // 2, (right - left) // 2)
    return (
        slice(max(0, top - margin), min(size[0], bottom + margin)),
        slice(max(0, left - margin), min(size[1], right + margin)),
    )


def _edges(regions: Integer[np.ndarray, "height width"]) -> np.ndarray:
    return find_boundaries(regions, mode="inner") & (regions > 0)
