"""Annotations of every kind are read as the values of one mask."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drawn import save
from pixelwise.datasets.annotation_values import read_foreground, read_values
from pixelwise.datasets.annotations import ClassMasks, MaskFile, ObjectMasks, Shape, Shapes
from pixelwise.datasets.examples import read_labels
from pixelwise.datasets.images.channel_files import read_stored
from pixelwise.datasets.records import Labelling
from pixelwise.errors import BadImage
from pixelwise.io.read import read_image

SIZE = (6, 8)
CLASSES = ("cat", "dog")
MULTICLASS = Labelling(
    task="multiclass",
    classes=("background", *CLASSES),
    values=(0, 1, 2),
    colours=((0, 0, 0),) * 3,
    source_classes=CLASSES,
)


def square(top: int, left: int, side: int = 3) -> np.ndarray:
    drawn = np.zeros(SIZE, bool)
    drawn[top : top + side, left : left + side] = True
    return drawn


def files(folder: Path, *masks: np.ndarray, peak: int = 255) -> tuple[Path, ...]:
    return tuple(save(folder / f"{i}.png", (peak * mask).astype(np.uint8)) for i, mask in enumerate(masks))


def shape(name: str, top: int, left: int, side: int = 3, *, ignore: bool = False) -> Shape:
    right, bottom = left + side, top + side
    ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    return Shape(class_name=name, rings=(ring,), ignore=ignore)


def test_objects_are_numbered_in_order_and_the_last_one_wins(tmp_path: Path) -> None:
    paths = files(tmp_path, square(0, 0), square(1, 1), square(3, 5))
    read = read_values(ObjectMasks(paths=paths), objects=True)
    expected = np.select([square(3, 5), square(1, 1), square(0, 0)], [3, 2, 1], 0)
    assert np.array_equal(read.mask.values, expected)
    assert read.overlap == 4
    assert np.array_equal(read_values(ObjectMasks(paths=paths)).mask.values, expected > 0)


def test_empty_and_covered_objects_leave_no_gaps(tmp_path: Path) -> None:
    paths = files(tmp_path, square(0, 0, 1), np.zeros(SIZE, bool), square(0, 0), square(3, 5))
    values = read_values(ObjectMasks(paths=paths), objects=True).mask.values
    assert set(np.unique(values).tolist()) == {0, 1, 2}


def test_classes_are_numbered_by_name(tmp_path: Path) -> None:
    cat, dog = files(tmp_path, square(0, 0), square(3, 4))
    for masks in ((("cat", cat), ("dog", dog)), (("dog", dog), ("cat", cat))):
        read = read_values(ClassMasks(masks=masks), CLASSES)
        assert np.array_equal(read.mask.values, square(0, 0) + 2 * square(3, 4))


def test_classes_as_objects_are_their_regions(tmp_path: Path) -> None:
    cat, dog = files(tmp_path, square(0, 0, 2) | square(0, 5, 2), square(3, 0, 2))
    values = read_values(ClassMasks(masks=(("cat", cat), ("dog", dog))), CLASSES, objects=True).mask.values
    assert values.max() == 3
    assert np.array_equal(values > 0, square(0, 0, 2) | square(0, 5, 2) | square(3, 0, 2))


def test_shapes_are_drawn_and_ignored_ones_excluded() -> None:
    shapes = Shapes(
        shapes=(shape("dog", 0, 0), shape("cat", 3, 5), shape("cat", 0, 5, 2, ignore=True)), source=Path("a")
    )
    labels = read_labels(shapes, MULTICLASS, SIZE)
    expected = 2 * square(0, 0) + square(3, 5) + 255 * square(0, 5, 2)
    assert np.array_equal(labels, expected)
    instance = Labelling(task="instance", classes=("background", "object"), values=(), colours=())
    numbered = read_labels(shapes, instance, SIZE)
    assert np.array_equal(numbered, square(0, 0) + 2 * square(3, 5) - square(0, 5, 2).astype(int))


def test_the_size_of_the_image_is_that_of_an_empty_annotation() -> None:
    assert read_values(ObjectMasks(paths=()), size=(3, 5)).mask.values.shape == (3, 5)
    with pytest.raises(ValueError, match="size"):
        read_values(ObjectMasks(paths=()))


def test_files_of_two_sizes_are_refused(tmp_path: Path) -> None:
    paths = files(tmp_path, square(0, 0), np.ones((3, 3), bool))
    with pytest.raises(BadImage, match="3 x 3") as caught:
        read_values(ObjectMasks(paths=paths), objects=True)
    assert caught.value.path == paths[1]


def test_a_region_and_an_incomplete_mask_are_ignored(tmp_path: Path) -> None:
    mask, region = files(tmp_path, square(0, 0), square(0, 0, 5), peak=1)
    inside = MaskFile(path=mask, region=region)
    binary = Labelling(task="binary", classes=("a", "b"), values=(0, 1), colours=((0, 0, 0),) * 2)
    assert np.array_equal(read_labels(inside, binary), np.where(square(0, 0, 5), square(0, 0), 255))
    sparse = MaskFile(path=mask, complete=False)
    assert np.array_equal(read_labels(sparse, binary), np.where(square(0, 0), 1, 255))
    instance = Labelling(task="instance", classes=("a", "b"), values=(), colours=())
    assert np.array_equal(read_labels(sparse, instance), np.where(square(0, 0), 1, -1))
    # control: without either, nothing is ignored
    assert np.array_equal(read_labels(MaskFile(path=mask), binary), square(0, 0))


@settings(max_examples=20, deadline=None)
@given(mask=arrays(bool, SIZE), peak=st.sampled_from([1, 7, 128, 255]))
def test_foreground_is_above_half_of_the_largest_value(
    tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray, peak: int
) -> None:
    (path,) = files(tmp_path_factory.mktemp("mask"), mask, peak=peak)
    assert np.array_equal(read_foreground(path), mask)


def test_a_lossy_mask_keeps_its_foreground(tmp_path: Path) -> None:
    drawn = np.zeros((32, 32), np.uint8)
    drawn[8:24, 8:24] = 255
    assert np.array_equal(read_foreground(save(tmp_path / "a.jpg", drawn)), drawn > 0)
    assert not read_foreground(save(tmp_path / "b.jpg", np.full((32, 32), 3, np.uint8))).any()


def test_channels_are_stacked_in_order(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.png", np.full(SIZE, 10 * i, np.uint8)) for i in range(3)]
    assert read_stored(paths[0], paths).pixels[:, 0, 0].tolist() == [0, 10, 20]
    assert read_stored(paths[0], paths[::-1]).pixels[:, 0, 0].tolist() == [20, 10, 0]
    assert np.array_equal(read_stored(paths[0]).pixels, read_image(paths[0]).pixels)


def test_channels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    gray = save(tmp_path / "gray.png", np.zeros(SIZE, np.uint8))
    colour = save(tmp_path / "colour.png", np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8))
    small = save(tmp_path / "small.png", np.zeros((2, 2), np.uint8))
    for other, got in ((colour, "3 channels"), (small, "2 x 2")):
        with pytest.raises(BadImage, match=got):
            read_stored(gray, (gray, other))
