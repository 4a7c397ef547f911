"""Pictures of errors: the crop is around the box, outlines are where annotation and prediction have them."""

import numpy as np

from pixelwise.workflow.annotation_errors.evidence import ANNOTATED, PICTURES, PREDICTED, EvidenceStore
from pixelwise.workflow.annotation_errors.records import AnnotationError
from pixelwise.workflow.annotation_errors.regions import Comparison


def error(score: float, kind: str = "missed object") -> AnnotationError:
    return AnnotationError(
        kind=kind, score=score, case="a", files=("a.png",), box=(20, 30, 28, 40), annotated="background",
        predicted="object", pixels=80, seen=False,
    )  # fmt: skip


def compare() -> Comparison:
    given, predicted = np.zeros((64, 64), np.int32), np.zeros((64, 64), np.int32)
    given[20:28, 10:18] = predicted[20:28, 30:40] = 1
    return Comparison(
        given=given, predicted=predicted, given_regions=given, predicted_regions=predicted,
        contradiction=np.zeros((64, 64), np.float32),
    )  # fmt: skip


def has(picture: np.ndarray, tone: tuple[int, int, int]) -> np.ndarray:
    return (picture == np.array(tone)).all(-1)


def test_outlines_are_drawn_where_they_are() -> None:
    store = EvidenceStore()
    store.add(np.zeros((1, 64, 64), np.uint8), compare(), [error(0.9)])
    (shown,) = store.evidence()
    times = 4  # the crop has rows 4 to 43 and columns 14 to 55
    assert shown.image.shape == (40 * times, 42 * times, 3)
    rows, columns = np.nonzero(has(shown.prediction, PREDICTED))
    assert (rows.min() // times + 4, rows.max() // times + 4) == (20, 27)
    assert (columns.min() // times + 14, columns.max() // times + 14) == (30, 39)
    rows, columns = np.nonzero(has(shown.annotation, ANNOTATED))
    assert (rows.min() // times + 4, columns.max() // times + 14) == (20, 17)
    assert not has(shown.annotation, PREDICTED).any()


def test_the_highest_scores_of_each_kind_are_kept() -> None:
    store = EvidenceStore()
    pixels, comparison = np.zeros((1, 64, 64), np.uint8), compare()
    scores = np.random.default_rng(0).permutation(2 * PICTURES) / (2 * PICTURES)
    for score in scores.tolist():
        store.add(pixels, comparison, [error(score)])
    store.add(pixels, comparison, [error(0.1, "swapped class")])
    kept = [one.error.score for one in store.evidence() if one.error.kind == "missed object"]
    assert kept == sorted(scores.tolist(), reverse=True)[:PICTURES]
    assert [one.error.kind for one in store.evidence()][-1] == "swapped class"
