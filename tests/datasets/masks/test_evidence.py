"""Objects or classes: numbers, background and renumbering."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.datasets.masks.mapping import IGNORE_OBJECT, number_objects
from pixelwise.io.read import MaskImage
from read_masks import discs, photo, same, understand

FILES = 6


def masks_of(arrays: list[np.ndarray]) -> list[MaskImage]:
    return [MaskImage(array, None, False) for array in arrays]


def objects(seed: int, count: int = 6) -> np.ndarray:
    return discs(seed, count=count, size=(96, 112), radius=(5, 9))


def organs(seed: int, shown: int, centres: list[tuple[int, int]], numbers: list[int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:96, :112]
    drawn = np.zeros((96, 112), np.int64)
    for (row, column), number in list(zip(centres, numbers, strict=True))[:shown]:
        row, column = row + rng.integers(-3, 4), column + rng.integers(-3, 4)
        drawn[(rows - row) ** 2 + (columns - column) ** 2 <= 9**2] = number
    return drawn


@pytest.mark.parametrize("numbering", ["gaps", "equal counts", "rows", "random", "sizes"])
def test_objects_are_different_in_each_image(numbering: str) -> None:
    rng = np.random.default_rng(3)
    arrays, images = [], []
    for seed in range(FILES):
        drawn = objects(seed, 6)
        images.append(photo(drawn, seed))
        count = int(drawn.max())
        numbers = np.arange(1, count + 1)
        if numbering == "gaps":
            numbers = np.sort(rng.choice(np.arange(1, 15), count, replace=False))
        elif numbering == "random":
            numbers = rng.permutation(numbers)
        elif numbering == "rows":
            tops = [np.nonzero(drawn == k)[0].min() for k in numbers]
            numbers = np.argsort(np.argsort(tops)) + 1
        elif numbering == "sizes":
            numbers = np.argsort(np.argsort([-(drawn == k).sum() for k in numbers])) + 1
        arrays.append(np.concatenate([[0], numbers])[drawn])
    found = understand(masks_of(arrays), images)
    assert found.result.labelling.task == "instance", found.result
    assert all(same(labels, array) for labels, array in zip(found.labels, arrays, strict=True))


CENTRES = [(28, 30), (30, 84), (68, 32), (66, 82)]


@pytest.mark.parametrize("shown", [(2, 3, 4, 4, 3, 4), (4, 4, 4, 4, 4, 4), (3, 4, 3, 4, 3, 4)])
@pytest.mark.parametrize("numbers", [[1, 2, 3, 4], [4, 1, 3, 2], [10, 20, 30, 40]])
def test_classes_have_their_own_place_and_brightness(shown: tuple[int, ...], numbers: list[int]) -> None:
    arrays = [organs(seed, count, CENTRES, numbers) for seed, count in enumerate(shown)]
    levels = [90.0 if number not in numbers else 60 + 45 * numbers.index(number) for number in range(1, 41)]
    images = [photo(array, seed, levels) for seed, array in enumerate(arrays)]
    found = understand(masks_of(arrays), images)
    assert found.result.labelling.task == "multiclass"
    assert found.kinds == set()


@pytest.mark.parametrize(("shuffled", "axis"), [(False, 0), (False, 1), (True, 0), (True, 1)])
def test_numbers_that_follow_one_coordinate_are_not_arbitrary(shuffled: bool, axis: int) -> None:
    """The other coordinate is anywhere, and nothing else is the same; control: numbers in any order are objects."""
    rng = np.random.default_rng(5)
    arrays = []
    for seed in range(2 * FILES):
        centres = [(68, int(rng.integers(24, 88))), (28, int(rng.integers(24, 88)))]
        numbers = rng.permutation([1, 2]).tolist() if shuffled else [1, 2]
        drawn = organs(seed, 2, centres, numbers)
        arrays.append(drawn.T if axis else drawn)
    images = [photo((array > 0).astype(int), seed) for seed, array in enumerate(arrays)]
    found = understand(masks_of(arrays), images)
    assert found.kinds == (set() if shuffled else {"objects or classes"})
    assert found.result.labelling.task == ("instance" if shuffled else "multiclass")


def test_a_close_call_is_asked() -> None:
    # the same places in all files, but nothing else in common: organs, or objects that are tracked
    arrays = [organs(seed, 4, CENTRES, [1, 2, 3, 4]) for seed in range(FILES)]
    images = [photo((array > 0).astype(int), seed) for seed, array in enumerate(arrays)]
    found = understand(masks_of(arrays), images)
    assert found.kinds == {"objects or classes"}
    assert "--task" in found.result.problems[0].hint
    for task in ("instance", "multiclass"):
        assert understand(masks_of(arrays), images, task=task).kinds == set()


@pytest.mark.parametrize("background", [-1, -9, 255, 7])
@pytest.mark.parametrize("task", ["auto", "instance"])
def test_the_background_is_the_largest_area_if_there_is_no_0(background: int, task: str) -> None:
    arrays = [objects(seed, 4 + seed) for seed in range(FILES)]
    other = [np.where(array == 0, background, array + ((array >= background) & (background > 0))) for array in arrays]
    images = [photo(array, seed) for seed, array in enumerate(arrays)]
    found = understand(masks_of(other), images, task=task)
    assert found.result.labelling.background == background
    assert f"{background} is the largest" in found.text
    assert "--background" in found.text
    assert all(same(labels, array) for labels, array in zip(found.labels, arrays, strict=True))


def test_0_is_an_object_if_the_background_is_negative() -> None:
    arrays = [objects(seed, 4 + seed) for seed in range(FILES)]
    images = [photo(array, seed) for seed, array in enumerate(arrays)]
    found = understand(masks_of([array - 1 for array in arrays]), images)
    assert all(same(labels, array) for labels, array in zip(found.labels, arrays, strict=True))


def test_negative_values_beside_the_background_are_asked() -> None:
    arrays = [np.where(array == 1, -1, array) for array in (objects(seed, 4 + seed) for seed in range(FILES))]
    assert "negative values" in understand(masks_of(arrays), task="instance").kinds
    found = understand(masks_of(arrays), task="instance", background=0)
    assert all((labels[array == -1] == IGNORE_OBJECT).all() for labels, array in zip(found.labels, arrays, strict=True))


@pytest.mark.parametrize(
    "renumber",
    [
        lambda array: array << 32,
        lambda array: np.where(array > 0, 2**32 - array, 0).astype(np.uint32),
        lambda array: np.where(array > 0, 2**62 + array, 0),
        lambda array: (array * 255).astype(np.uint16),
        lambda array: array.astype(np.uint8),
    ],
)
def test_numbers_of_any_type_stay_apart(renumber: Callable[[np.ndarray], np.ndarray]) -> None:
    arrays = [objects(seed, 4 + seed) for seed in range(FILES)]
    images = [photo(array, seed) for seed, array in enumerate(arrays)]
    for task in ("auto", "instance"):
        found = understand(masks_of([renumber(array) for array in arrays]), images, task=task)
        assert found.result.labelling.task == "instance"
        assert all(same(labels, array) for labels, array in zip(found.labels, arrays, strict=True))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12), st.integers(-3, 3))
def test_objects_are_one_to_one(values: list[int], background: int) -> None:
    given_ = np.array([values], np.int64)
    labels = number_objects(given_, background, None)
    kept = (given_ >= 0) & (given_ != background)
    assert ((labels == 0) == (given_ == background)).all()
    assert ((labels > 0) == kept).all()
    pairs = np.unique(np.stack([given_[kept], labels[kept]]), axis=1)
    assert all(len(np.unique(row)) == pairs.shape[1] for row in pairs)


@pytest.mark.parametrize("last", [255, 65535, -1])
def test_0_is_an_object_beside_the_last_number_of_a_type(last: int) -> None:
    arrays = [objects(seed, 4 + seed) for seed in range(FILES)]
    images = [photo(array, seed) for seed, array in enumerate(arrays)]
    found = understand(masks_of([np.where(array == 0, last, array - 1) for array in arrays]), images)
    assert found.result.labelling.task == "instance"
    assert "--background" in found.text
    assert all(same(labels, array) for labels, array in zip(found.labels, arrays, strict=True))


def test_a_negative_border_is_no_class() -> None:
    arrays = [objects(seed, 4) > 0 for seed in range(FILES)]
    masks = masks_of([np.where(a & np.logical_not(ndimage.binary_erosion(a)), -1, a.astype(int)) for a in arrays])
    found = understand(masks)
    assert found.result.labelling.task == "binary"
    assert "--ignore-index" in found.text
    assert all(np.array_equal(labels == 255, mask.values < 0) for labels, mask in zip(found.labels, masks, strict=True))
    # control: by the flag that is named, -1 is a class
    assert understand(masks, ignore_index=-1, task="multiclass").result.labelling.values == (-1, 0, 1)


def test_a_negative_border_of_objects_is_asked() -> None:
    arrays = [objects(seed, 4 + seed) for seed in range(FILES)]
    rims = [ndimage.grey_dilation(a, 3) != ndimage.grey_erosion(a, 3) for a in arrays]
    masks = masks_of([np.where(rim, -1, a) for rim, a in zip(rims, arrays, strict=True)])
    images = [photo(array, seed) for seed, array in enumerate(arrays)]
    assert "negative values" in understand(masks, images).kinds
    found = understand(masks, images, background=0)
    assert found.result.labelling.task == "instance"
    assert all(np.array_equal(labels == IGNORE_OBJECT, rim) for labels, rim in zip(found.labels, rims, strict=True))


def test_minus_one_is_true() -> None:
    arrays = [objects(seed, 4) > 0 for seed in range(FILES)]
    found = understand(masks_of([np.where(array, -1, 0) for array in arrays]))
    assert all(np.array_equal(labels, array) for labels, array in zip(found.labels, arrays, strict=True))
