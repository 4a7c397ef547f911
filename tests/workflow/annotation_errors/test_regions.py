"""Drawn discs with planted errors of each kind, and a predictor that knows the truth up to its outlines."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.annotation_errors.regions import (
    Candidate,
    Candidates,
    compare_classes,
    compare_objects,
    find_candidates,
)

SIZE = (60, 200)
Map = np.ndarray


def discs(classes: tuple[int, ...] = (1, 1, 2, 2, 1, 2), radius: int = 8) -> tuple[Map, Map]:
    """Class map and label image of a row of discs."""
    rows, columns = np.indices(SIZE)
    mask, objects = np.zeros(SIZE, np.int64), np.zeros(SIZE, np.int64)
    for index, number in enumerate(classes):
        inside = (rows - 28) ** 2 + (columns - 18 - 30 * index) ** 2 <= radius**2
        mask[inside], objects[inside] = number, index + 1
    return mask, objects


def blurred(mask: Map, classes: int, sigma: float = 1.5) -> np.ndarray:
    """Probabilities of a model that is sure inside of objects and less so at their outlines."""
    planes = np.stack([ndimage.gaussian_filter((mask == index).astype(float), sigma) for index in range(classes)])
    planes = 0.02 + planes
    return planes / planes.sum(0)


def judge_classes(annotation: Map, truth: Map) -> Candidates:
    probabilities = blurred(truth, 3)
    return find_candidates(compare_classes(annotation, probabilities.argmax(0), probabilities, background=True))


def judge_objects(annotation: Map, objects: Map) -> Candidates:
    background = blurred((objects > 0).astype(np.int64), 2)[0]
    return find_candidates(compare_objects(annotation, np.where(background < 0.5, objects, 0), background))


def at(index: int) -> Callable[[Candidate], bool]:
    """Whether the box of a candidate is around a disc."""
    column = 18 + 30 * index
    return lambda one: one.box[1] <= column < one.box[3] and one.box[3] - one.box[1] < 30


def test_each_kind_is_found_where_it_is_planted_and_ranked_first() -> None:
    truth, _ = discs()
    annotation = truth.copy()
    annotation[:, 0:33] = 0  # the first disc is dropped
    annotation[:, 63:93][truth[:, 63:93] == 2] = 1  # the third has the other class
    annotation[4:12, 100:108] = 2  # nothing is there
    found = judge_classes(annotation, truth)
    first = {one.kind: one for one in found.candidates[:3]}
    assert set(first) == {"missed object", "swapped class", "spurious object"}
    assert at(0)(first["missed object"])
    assert at(2)(first["swapped class"])
    assert (first["swapped class"].given, first["swapped class"].predicted) == (1, 2)
    assert first["spurious object"].box == (4, 100, 12, 108)
    assert min(one.score for one in found.candidates[:3]) > 0.6
    assert all(one.score < 0.3 and one.kind == "sloppy boundary" for one in found.candidates[3:])


def test_objects_that_touch_are_told_apart() -> None:
    """The dropped object touches its neighbour in the prediction, which is one region there."""
    rows, columns = np.indices(SIZE)
    pair = [(rows - 28) ** 2 + (columns - centre) ** 2 <= 64 for centre in (40, 56)]
    truth = (pair[0] | pair[1]).astype(np.int64)
    found = judge_classes((pair[0] & ~pair[1]).astype(np.int64), truth)
    assert found.candidates[0].kind == "missed object"
    assert found.candidates[0].box[1] >= 46
    objects = pair[0].astype(np.int64)
    objects[pair[1] & ~pair[0]] = 2
    dropped = judge_objects(np.where(objects == 1, 1, 0), objects)
    assert dropped.candidates[0].kind == "missed object"
    assert dropped.candidates[0].score > 0.7


def test_a_sloppy_boundary_is_one_finding_with_the_box_of_the_object() -> None:
    _, objects = discs()
    annotation = objects.copy()
    annotation[objects == 3] = 0
    annotation[np.asarray(ndimage.binary_erosion(objects == 3, iterations=3), bool)] = 3
    found = judge_objects(annotation, objects)
    assert found.candidates[0].kind == "sloppy boundary"
    assert at(2)(found.candidates[0])
    assert found.candidates[0].score > 3 * found.candidates[1].score


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_dropped_and_swapped_discs_come_first(seed: int, wrong: int) -> None:
    random = np.random.default_rng(seed)
    truth, objects = discs(tuple(random.integers(1, 3, 6).tolist()), int(random.integers(4, 12)))
    chosen = random.permutation(6)[:wrong].tolist()
    annotation = truth.copy()
    for index in chosen:
        disc = objects == index + 1
        annotation[disc] = random.choice([0, 3 - truth[disc][0]])
    found = judge_classes(annotation, truth).candidates[:wrong]
    assert all(any(at(index)(one) for one in found) for index in chosen)
    assert all(one.kind in ("missed object", "swapped class") for one in found)


def test_a_contradiction_counts_more_where_the_model_agrees_otherwise() -> None:
    _, objects = discs()
    one, most = (np.where(np.isin(objects, dropped), 0, objects) for dropped in ([2], [2, 3, 4, 5]))
    scores = [judge_objects(annotation, objects).candidates[0].score for annotation in (one, most)]
    assert scores[0] > 1.2 * scores[1]


def test_few_pixels_are_weak_evidence() -> None:
    _, large = discs(radius=8)
    _, small = discs(radius=2)
    objects = np.where(np.isin(large, (1, 2)), small, large)  # two are small
    scores = {
        number: judge_objects(np.where(objects == number, 0, objects), objects).candidates[0].score for number in (2, 3)
    }
    assert 0 < scores[2] < 0.8 * scores[3]


def test_control_scores_from_the_annotation_itself_find_nothing() -> None:
    """A model that has learned the errors: they are not contradicted."""
    truth, _ = discs()
    annotation = truth.copy()
    annotation[:, 0:33] = 0
    assert all(one.score < 0.3 for one in judge_classes(annotation, annotation).candidates)


def test_ignored_pixels_are_no_error() -> None:
    truth, objects = discs()
    annotation = np.where(np.indices(SIZE)[1] < 33, IGNORE, truth)
    assert not [one for one in judge_classes(annotation, truth).candidates if at(0)(one)]
    unknown = np.where(np.indices(SIZE)[1] < 33, -1, objects)
    assert not [one for one in judge_objects(unknown, objects).candidates if at(0)(one)]


def test_without_background_every_difference_is_a_swapped_class() -> None:
    truth = np.zeros(SIZE, np.int64)
    truth[:, 100:] = 1
    annotation = truth.copy()
    annotation[20:40, 20:40] = 1
    probabilities = blurred(truth, 2)
    found = find_candidates(compare_classes(annotation, probabilities.argmax(0), probabilities, background=False))
    assert found.candidates[0].kind == "swapped class"
    assert found.candidates[0].box == (20, 20, 40, 40)


def test_every_region_is_in_the_ranking_once() -> None:
    truth, objects = discs()
    exact = np.stack([(truth == index).astype(float) for index in range(3)])
    found = find_candidates(compare_classes(truth, truth, exact, background=True))
    assert (found.candidates, found.agreeing) == ((), 6)
    annotation = np.where(objects == 2, 0, truth)
    found = find_candidates(compare_classes(annotation, truth, exact, background=True))
    assert [one.kind for one in found.candidates] == ["missed object"]
    assert found.agreeing == 5


def test_the_pixels_of_all_candidates_are_the_pixels_that_differ() -> None:
    truth, _ = discs()
    annotation = np.roll(truth, 2, 1)
    found = judge_classes(annotation, truth)
    differ = int((blurred(truth, 3).argmax(0) != annotation).sum())
    assert sum(count for one in found.candidates for *_, count in one.pixels) == differ


@pytest.mark.parametrize("empty", ["annotation", "prediction", "both"])
def test_empty_maps(empty: str) -> None:
    truth, _ = discs()
    nothing = np.zeros_like(truth)
    annotation, predicted = (nothing if empty in (name, "both") else truth for name in ("annotation", "prediction"))
    found = judge_classes(annotation, predicted)
    kinds = {"annotation": {"missed object"}, "prediction": {"spurious object"}, "both": set[str]()}
    assert {one.kind for one in found.candidates} == kinds[empty]
