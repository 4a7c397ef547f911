"""A set that a reader found goes through the same checks as plain folders."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drawn import image, save
from pixelwise.datasets import detect
from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile, Shape, Shapes
from pixelwise.datasets.dataset import (
    DataOptions,
    detect_dataset,
    find_case,
    find_unlabelled_images,
    load_dataset,
    scan_dataset,
)
from pixelwise.errors import BadDataset

SIZE = (32, 40)
Use = Callable[[AnnotatedSet], None]


def square(name: str, index: int, *, ignore: bool = False) -> Shape:
    top, left = 2 + index, 3 + 2 * index
    ring = np.array([(left, top), (left + 9, top), (left + 9, top + 9), (left, top + 9)], float)
    return Shape(class_name=name, rings=(ring,), ignore=ignore)


def drawn(value: int, index: int) -> np.ndarray:
    labels = np.zeros(SIZE, np.int32)
    labels[2 + index : 11 + index, 3 + 2 * index : 12 + 2 * index] = value
    return labels


def make_set(folder: Path, count: int = 6, classes: tuple[str, ...] = ("cat", "dog")) -> AnnotatedSet:
    """Images with one square each; one json for all."""
    images = tuple(
        AnnotatedImage(
            name=f"im{index}",
            image=save(folder / f"pictures/im{index}.png", image(index, SIZE)),
            annotation=Shapes(shapes=(square(classes[index % len(classes)], index),), source=folder / "all.json"),
        )
        for index in range(count)
    )
    return AnnotatedSet(format="drawn", images=images, classes=classes)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Make a set the content of every folder."""

    def go(annotated: AnnotatedSet) -> None:
        only = detect.Format(key="drawn", recognise=lambda root: True, read=lambda root, options: annotated)
        monkeypatch.setattr(detect, "FORMATS", (only,))

    return go


def test_shapes_of_classes(tmp_path: Path, use: Use) -> None:
    use(make_set(tmp_path))
    dataset = load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("multiclass", ("background", "cat", "dog"))
    assert dataset.format == "drawn"
    for case in dataset.cases:
        index = int(case.name[-1])
        assert np.array_equal(dataset.read(case).labels, drawn(1 + index % 2, index))


def test_objects_of_several_classes_say_that_classes_are_not_learned(tmp_path: Path, use: Use) -> None:
    use(replace(make_set(tmp_path), instances=True))
    dataset = load_dataset(tmp_path)
    assert dataset.task == "instance"
    assert any("cat, dog" in text and "--task multiclass" in text for text in dataset.messages)
    use(make_set(tmp_path, classes=("cell",)))
    assert not any("--task multiclass" in text for text in load_dataset(tmp_path).messages), "control: one class"


def test_shapes_of_one_class_are_objects(tmp_path: Path, use: Use) -> None:
    use(make_set(tmp_path, classes=("cell",)))
    assert load_dataset(tmp_path).task == "instance"
    assert load_dataset(tmp_path, task="binary").classes == ("background", "cell")


def test_classes_are_renamed_in_their_order(tmp_path: Path, use: Use) -> None:
    use(make_set(tmp_path))
    dataset = load_dataset(tmp_path, classes=("Katze", "Hund"))
    assert dataset.classes == ("background", "Katze", "Hund")
    assert all(np.asarray(dataset.read(case).labels).any() for case in dataset.cases)


def test_a_stated_size_is_compared_with_the_image(tmp_path: Path, use: Use) -> None:
    annotated = make_set(tmp_path)
    first = annotated.images[0]
    assert isinstance(first.annotation, Shapes)
    wrong = replace(first, annotation=replace(first.annotation, size=SIZE[::-1]))
    use(replace(annotated, images=(wrong, *annotated.images[1:])))
    problems = scan_dataset(tmp_path).problems
    assert [(problem.file, problem.kind) for problem in problems if problem.fatal] == [
        ("pictures/im0.png", "size mismatch")
    ]
    assert len(detect_dataset(tmp_path, DataOptions(skip_bad=True)).cases) == 5, "only this image is left out"


def test_images_outside_the_folder(tmp_path: Path, use: Use) -> None:
    use(make_set(tmp_path / "elsewhere"))
    (tmp_path / "set").mkdir()
    assert len(load_dataset(tmp_path / "set").cases) == 6


def test_images_without_annotation(tmp_path: Path, use: Use) -> None:
    annotated = make_set(tmp_path)
    bare = replace(annotated.images[0], annotation=None)
    use(replace(annotated, images=(bare, *annotated.images[1:])))
    with pytest.raises(BadDataset, match="im0"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, allow_missing=True).cases) == 5
    assert find_unlabelled_images(tmp_path, DataOptions()) == [bare.image]
    use(replace(annotated, images=(replace(bare, split="test"), *annotated.images[1:])))
    assert not load_dataset(tmp_path).splits["test"], "for prediction"


def test_groups_stay_together_if_there_are_several(tmp_path: Path, use: Use) -> None:
    annotated = make_set(tmp_path, 8, ("cell",))
    for groups in (2, 1):
        images = tuple(replace(one, group=f"video {i % groups}") for i, one in enumerate(annotated.images))
        use(replace(annotated, images=images))
        dataset = load_dataset(tmp_path)
        train, val = ({case.group for case in dataset.splits[split]} for split in ("train", "val"))
        assert dataset.splits["val"]
        assert (not train & val) or groups == 1


def test_classes_of_a_fixed_list_that_do_not_occur_are_left_out(tmp_path: Path, use: Use) -> None:
    annotated = make_set(tmp_path)
    annotated = replace(annotated, classes=("ant", *annotated.classes, "eel"))
    use(replace(annotated, fixed_classes=True))
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("background", "cat", "dog")
    for case in dataset.cases:
        index = int(case.name[-1])
        assert np.array_equal(dataset.read(case).labels, drawn(1 + index % 2, index))
    use(annotated)
    assert load_dataset(tmp_path).classes == ("background", "ant", "cat", "dog", "eel")


def halves(index: int, *, gap: int = 0, ignored: bool = False) -> tuple[Shape, ...]:
    """Two classes that cover an image, but for a gap and an ignored region between them."""
    middle = 10 + index
    parts = [("sky", 0, middle), ("road", middle + gap + 4 * ignored, SIZE[0]), ("void", middle, middle + 4 * ignored)]
    return tuple(
        Shape(
            class_name=name,
            rings=(np.array([(0, top), (SIZE[1], top), (SIZE[1], bottom), (0, bottom)], float),),
            ignore=name == "void",
        )
        for name, top, bottom in parts[: 2 + ignored]
    )


@pytest.mark.parametrize("ignored", [False, True])
def test_there_is_no_background_where_every_pixel_is_of_a_class(tmp_path: Path, use: Use, ignored: bool) -> None:
    annotated = make_set(tmp_path, classes=("sky", "road"))

    def covered(gap: int) -> AnnotatedSet:
        images = tuple(
            replace(one, annotation=Shapes(shapes=halves(i, gap=gap * (i == 3), ignored=ignored), source=tmp_path))
            for i, one in enumerate(annotated.images)
        )
        return replace(annotated, images=images, instances=False)

    use(covered(0))
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("sky", "road")
    assert any("no background" in text for text in dataset.messages)
    labels = np.asarray(dataset.read(next(case for case in dataset.cases if case.name == "im2")).labels)
    assert labels[:, 0].tolist() == [0] * 12 + [255] * 4 * ignored + [1] * (20 - 4 * ignored)
    use(covered(1))
    assert load_dataset(tmp_path).classes == ("background", "sky", "road"), "control: a row of one image"


def test_a_format_without_classes_has_those_of_a_class_table(tmp_path: Path, use: Use) -> None:
    annotated = make_set(tmp_path)
    images = tuple(
        replace(one, annotation=MaskFile(path=save(tmp_path / f"m{i}.png", drawn(1 + i % 2, i).astype(np.uint8))))
        for i, one in enumerate(annotated.images)
    )
    use(replace(annotated, images=images, classes=()))
    (tmp_path / "classes.txt").write_text("0 nothing\n1 cat\n2 dog\n", "utf-8")
    assert load_dataset(tmp_path).classes == ("nothing", "cat", "dog")


def test_a_case_is_found_again_by_its_image(tmp_path: Path, use: Use) -> None:
    annotated = make_set(tmp_path)
    use(annotated)
    case = find_case(tmp_path, annotated.images[3].image, DataOptions())
    assert (case.name, case.annotation) == ("im3", annotated.images[3].annotation)
    with pytest.raises(BadDataset, match=r"other\.png"):
        find_case(tmp_path, tmp_path / "other.png", DataOptions())
