"""New folders: complete or absent, with images that stay as they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotated import annotated_set, box, random_objects
from drawn import SIZE
from pixelwise.atomic_write import new_folder
from pixelwise.datasets.annotations import AnnotatedSet, Shape, Shapes
from pixelwise.datasets.formats.output_folder import objects_of, place_images
from pixelwise.errors import BadDataset, BadImage, OutputFailed


def place(dataset: AnnotatedSet, out: Path) -> list[str]:
    messages: list[str] = []
    with new_folder(out) as folder:
        place_images(dataset, folder, lambda split: split or "images", messages)
    return messages


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("x", encoding="utf-8")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]
    with pytest.raises(OutputFailed), new_folder(tmp_path / "out"):
        pass


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("x", encoding="utf-8")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_images_keep_their_names_and_pixels(tmp_path: Path) -> None:
    dataset = annotated_set(tmp_path / "in", random_objects(0), random_objects(1))
    first, second = dataset.images
    nested = replace(
        dataset, images=(replace(first, name="train/deep/a", split="train"), replace(second, annotation=None))
    )
    before = first.image.read_bytes()
    assert any("1 image" in message for message in place(nested, tmp_path / "out"))
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [tmp_path / "out/train/deep/a.png"]
    assert files[0].read_bytes() == before == first.image.read_bytes()


@pytest.mark.parametrize("name", ["../a", "x/../../a", "/etc/a"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    dataset = annotated_set(tmp_path / "in", random_objects(0))
    with pytest.raises(BadDataset, match="inside"):
        place(replace(dataset, images=(replace(dataset.images[0], name=name),)), tmp_path / "out")


def test_equal_names_and_channel_files_are_refused(tmp_path: Path) -> None:
    dataset = annotated_set(tmp_path / "in", random_objects(0), random_objects(1))
    first, second = dataset.images
    with pytest.raises(BadDataset, match="different names"):
        place(replace(dataset, images=(first, replace(second, name=first.name.upper()))), tmp_path / "out")
    files = (first.image, second.image)
    with pytest.raises(BadDataset, match="channels"):
        place(replace(dataset, images=(replace(first, channel_files=files),)), tmp_path / "out")
    with pytest.raises(BadDataset, match="annotated"):
        place(replace(dataset, images=(replace(first, annotation=None),)), tmp_path / "out")


def test_objects_keep_what_is_covered_but_not_by_ignored_areas(tmp_path: Path) -> None:
    lower, upper = Shape(rings=(box(0, 0, 10, 10),)), Shape(rings=(box(5, 0, 10, 10),))
    ignored = Shape(rings=(box(0, 0, 2, 10),), ignore=True)
    source = Path("a")
    dataset = annotated_set(tmp_path, Shapes(shapes=(lower, upper), source=source))
    size, found = objects_of(dataset.images[0], dataset)
    assert (size, [int(member.region.pixels.sum()) for member in found]) == (SIZE, [100, 50])
    dataset = annotated_set(tmp_path, Shapes(shapes=(lower, upper, ignored), source=source, complete=False))
    _, found = objects_of(dataset.images[0], dataset)
    assert [(member.ignore, int(member.region.pixels.sum())) for member in found] == [
        (True, int(np.prod(SIZE)) - 80), (False, 30), (False, 50),
    ]  # fmt: skip
    dataset = annotated_set(tmp_path, Shapes(shapes=(lower,), source=source, size=(9, 9)))
    with pytest.raises(BadImage, match="9 × 9"):
        objects_of(dataset.images[0], dataset)
