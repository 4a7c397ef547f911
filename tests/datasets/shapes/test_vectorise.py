"""Labels and mask files as shapes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from annotated import in_order
from drawn import image, mask, save
from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, Annotation, ClassMasks, MaskFile, ObjectMasks
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.datasets.shapes.vectorise import shapes_of_labels, to_shapes
from pixelwise.errors import BadDataset

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=8)


@given(arrays(np.int32, SHAPES, elements=st.sampled_from([0, 1, 2, 3, 255])))
def test_class_labels_come_back(labels: np.ndarray) -> None:
    shapes = shapes_of_labels(labels, ("a", "b", "c"), Path("x"), objects=False)
    assert np.array_equal(rasterise(shapes, labels.shape, ("a", "b", "c"), "multiclass"), labels)


@given(arrays(np.int64, SHAPES, elements=st.sampled_from([0, 1, 2, 255, 70_000, -1])))
def test_object_numbers_come_back_whatever_they_are(labels: np.ndarray) -> None:
    shapes = shapes_of_labels(labels, (), Path("x"), objects=True)
    assert np.array_equal(in_order(rasterise(shapes, labels.shape, (), "instance")), in_order(labels))


def test_a_class_without_a_name_is_refused() -> None:
    with pytest.raises(BadDataset, match="got 2"):
        shapes_of_labels(np.full((2, 2), 2), ("a",), Path("x"), objects=False)


def read(root: Path, annotation: Annotation | None, task: str = "multiclass", **fields: object) -> np.ndarray:
    member = AnnotatedImage(name="a", image=save(root / "a.png", image(0)), annotation=annotation)
    dataset = AnnotatedSet(format="drawn", images=(member,), **{"classes": ("x", "y"), **fields})
    return rasterise(to_shapes(member, dataset), mask(0).shape, dataset.classes, task)


def test_one_file_per_object_and_per_class(tmp_path: Path) -> None:
    first, second = save(tmp_path / "1.png", mask(0)), save(tmp_path / "2.png", np.roll(mask(0), 3, axis=0))
    expected = np.where(np.roll(mask(0), 3, axis=0) > 0, 2, (mask(0) > 0) * 1)
    assert np.array_equal(read(tmp_path, ObjectMasks(paths=(first, second)), "instance"), expected)
    assert np.array_equal(read(tmp_path, ClassMasks(masks=(("x", first), ("y", second)))), expected)


def test_values_and_colours_of_a_mask_file(tmp_path: Path) -> None:
    values = np.where(mask(0) > 0, 7, 0).astype(np.uint8)
    values[0, :3] = 9
    plain = MaskFile(path=save(tmp_path / "v.png", values))
    labels = read(tmp_path, plain, values=(5, 7), ignore_value=9)
    assert np.array_equal(labels, np.where(values == 7, 2, np.where(values == 9, 255, 0)))
    with pytest.raises(BadDataset, match="got 9"):
        read(tmp_path, plain, values=(5, 7))
    colours = ((250, 0, 0), (128, 128, 128))
    table = np.array([(0, 0, 0), *colours], np.uint8)
    for name, used in (("both", (values == 7) * 1 + (values == 9) * 2), ("gray", (values == 9) * 2)):
        path = save(tmp_path / f"{name}.png", table[used])
        packed = tuple(r << 16 | g << 8 | b for r, g, b in colours)
        assert np.array_equal(read(tmp_path, MaskFile(path=path), colours=colours, values=packed), used), name


def test_an_image_without_annotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="annotated"):
        read(tmp_path, None)
