"""Small annotated sets for the tests of annotation formats."""

from pathlib import Path

import numpy as np

from drawn import SIZE, image, save
from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile, Shape, Shapes
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.datasets.shapes.vectorise import to_shapes


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A rectangle as a ring."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def labels_of(dataset: AnnotatedSet) -> dict[str, np.ndarray]:
    """The labels of every annotated image, as class indices or object numbers in the order of first pixels."""
    task = "instance" if dataset.instances else "multiclass"
    result: dict[str, np.ndarray] = {}
    for member in dataset.images:
        if member.annotation is not None:
            labels = rasterise(to_shapes(member, dataset), SIZE, dataset.classes, task)
            result[member.name] = in_order(labels) if dataset.instances else labels
    return result


def in_order(labels: np.ndarray) -> np.ndarray:
    """Object numbers in the order in which they appear."""
    unique, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.zeros(len(unique), int)
    positive = np.flatnonzero(unique > 0)
    ranks[positive[np.argsort(first[positive])]] = np.arange(1, len(positive) + 1)
    ranks[unique < 0] = -1
    return ranks[inverse].reshape(labels.shape)


def annotated_set(root: Path, *images: Shapes, **fields: object) -> AnnotatedSet:
    """A set whose images have the given shapes."""
    members = [
        AnnotatedImage(name=f"im_{i}", image=save(root / f"im_{i}.png", image(i)), annotation=shapes)
        for i, shapes in enumerate(images)
    ]
    fields = {"instances": True, "classes": ("cell", "rest"), **fields}
    return AnnotatedSet(format="drawn", images=tuple(members), **fields)


def random_objects(seed: int, count: int = 5) -> Shapes:
    """Overlapping rectangles and triangles, some with a hole or in two parts."""
    rng = np.random.default_rng(seed)
    shapes: list[Shape] = []
    for number in range(count):
        left, top = rng.integers(0, 28), rng.integers(0, 22)
        rings = [box(left, top, left + rng.integers(4, 12), top + rng.integers(4, 10))]
        if rng.random() < 0.3:
            rings.append(box(left + 1, top + 1, left + 3, top + 3))
        name = ("cell", "rest")[rng.integers(2)]
        shapes.append(Shape(class_name=name, rings=tuple(rings), object_id=number))
        if rng.random() < 0.3:
            corner = np.array([(0, 0), (9, 2), (3, 8)]) + rng.uniform(0, 25, 2)
            shapes.append(Shape(class_name=name, rings=(corner,), object_id=number))
    return Shapes(shapes=tuple(shapes), source=Path("drawn"), size=SIZE)


def class_masks(root: Path, count: int = 3) -> AnnotatedSet:
    """A set with class masks of values 1 and 7, and 255 ignored."""
    members: list[AnnotatedImage] = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        mask = np.zeros(SIZE, np.uint8)
        for value in (1, 7, 1, 7, 255, 0):
            top, left = rng.integers(0, 24), rng.integers(0, 30)
            mask[top : top + 9, left : left + 10] = value
        path = save(root / f"m_{seed}.png", mask)
        picture = save(root / f"im_{seed}.png", image(seed))
        split = ("train", "val")[seed % 2]
        members.append(
            AnnotatedImage(name=f"{split}/im_{seed}", image=picture, annotation=MaskFile(path=path), split=split)
        )
    return AnnotatedSet(
        format="drawn",
        images=tuple(members),
        classes=("cell", "rest"),
        values=(1, 7),
        ignore_value=255,
        instances=False,
    )
