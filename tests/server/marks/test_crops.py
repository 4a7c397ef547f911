"""Marks become an ordinary data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bright import drawn_image
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset
from pixelwise.io.read import read_image, read_mask
from pixelwise.io.write import write_image
from pixelwise.server.marks.crops import (
    BLOCK,
    CONTEXT,
    GROUP_BY,
    IGNORE_NUMBER,
    SURROUNDINGS,
    MarkedImage,
    painted_blocks,
    write_crops,
)
from pixelwise.server.marks.raster import IGNORE, rasterise
from pixelwise.server.marks.records import UNKNOWN, Objects, Outline, Point, Shape, Stroke
from pixelwise.workflow.config import Config
from pixelwise.workflow.settings import Settings, apply_settings


def line(class_index: int, *points: tuple[float, float], radius: float = 3) -> Stroke:
    return Stroke(kind="stroke", class_index=class_index, radius=radius, points=list(points))


@pytest.fixture
def marked(tmp_path: Path) -> list[MarkedImage]:
    shapes: list[Shape] = [line(1, (900, 100), (1100, 120)), line(0, (1100, 1200), (1120, 1220)), line(1, (1700, 9))]
    images: list[MarkedImage] = []
    for number in range(3):
        path = tmp_path / f"{number}.tif"
        write_image(path, drawn_image(number, 1300))
        images.append(MarkedImage(f"{number}a", path, shapes))
    return images


def test_the_crops_hold_all_paint_once(marked: list[MarkedImage], tmp_path: Path) -> None:
    folder = tmp_path / "set"
    made = write_crops(marked, folder)
    whole = rasterise(marked[0].shapes, (0, 1300), (0, 1300))
    assert made.painted == {index: 3 * int((whole == index).sum()) for index in (0, 1)}
    masks = sorted((folder / "masks").iterdir())
    assert made.crops == len(masks) == 3 * len({(0, 0), (0, 1), (1, 1)})
    image = read_image(marked[0].path).pixels
    for mask in (path for path in masks if path.name.startswith("0a_")):
        row, column = (int(word) * BLOCK for word in mask.stem.split("_")[1:])
        top, left = max(0, row - CONTEXT), max(0, column - CONTEXT)
        values, pixels = read_mask(mask).values, read_image(folder / "images" / mask.name).pixels
        height, width = values.shape
        assert np.array_equal(pixels, image[:, top : top + height, left : left + width])
        painted = values != IGNORE
        assert np.array_equal(values[painted], whole[top : top + height, left : left + width][painted])


def test_the_crops_are_a_data_set(marked: list[MarkedImage], tmp_path: Path) -> None:
    write_crops(marked, tmp_path / "set")
    dataset = load_dataset(tmp_path / "set", ignore_index=IGNORE, group_by=GROUP_BY, task="binary")
    parts = {case.name.split("/")[-1].split("_")[0]: case.split for case in dataset.cases}
    assert all(case.split == parts[case.name.split("/")[-1].split("_")[0]] for case in dataset.cases)
    example = dataset.read(dataset.cases[0])
    assert isinstance(example.labels, np.ndarray)
    assert set(np.unique(example.labels)) <= {0, 1, IGNORE}


@pytest.mark.parametrize(
    "shapes", [[], [line(1, (10, 10))], [line(1, (10, 10)), line(0, (40, 40))], [line(UNKNOWN, (9, 9))]]
)
def test_too_few_marks(shapes: list[Shape], tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", drawn_image(0, 600))
    with pytest.raises(BadDataset, match="at least two"):
        write_crops([MarkedImage("a", tmp_path / "a.png", shapes)], tmp_path / "set")


def test_small_images_are_whole(tmp_path: Path) -> None:
    """Their mean and deviation are those of the image that is predicted."""
    images: list[MarkedImage] = []
    for number, side in enumerate((600, 1024)):
        path = tmp_path / f"{number}.png"
        write_image(path, drawn_image(number, side))
        shapes: list[Shape] = [line(1, (10, 10)), line(0, (590, 590))]
        images.append(MarkedImage(f"{number}a", path, shapes))
    assert write_crops(images, tmp_path / "set").crops == 2
    for image in images:
        crop = read_image(tmp_path / "set" / "images" / f"{image.id}_0_0.png").pixels
        np.testing.assert_array_equal(crop, read_image(image.path).pixels)


def test_one_small_image_with_a_mark_of_each_class_is_divided(tmp_path: Path) -> None:
    """One crop would be for training or for validation."""
    write_image(tmp_path / "a.png", drawn_image(0, 600))
    apart = MarkedImage("a", tmp_path / "a.png", [line(1, (10, 10)), line(0, (590, 590))])
    assert write_crops([apart], tmp_path / "set").crops == 2


def test_a_large_radius_touches_its_blocks() -> None:
    assert painted_blocks([line(1, (BLOCK, BLOCK), radius=5)]) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_corrected_objects_are_a_data_set_of_objects(tmp_path: Path) -> None:
    """Touching objects stay apart; around an object there is background, elsewhere nothing is known."""

    def square(left: int, top: int, side: int) -> Outline:
        corners: list[Point] = [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]
        return Outline(class_index=1, rings=[corners])

    objects = [square(20, 20, 10), square(30, 20, 10), square(500, 500, 20)]
    accepted = Objects(kind="objects", action="accept", objects=objects)
    images: list[MarkedImage] = []
    for number in range(3):
        path = tmp_path / f"{number}.tif"
        write_image(path, drawn_image(number, 600))
        images.append(MarkedImage(f"{number}a", path, [accepted, line(0, (300, 20))]))
    made = write_crops(images, tmp_path / "set")
    assert made.objects
    dataset = load_dataset(tmp_path / "set", task="instance", ignore_index=IGNORE_NUMBER, group_by=GROUP_BY)
    assert dataset.labelling.task == "instance"
    first = next(case for case in dataset.cases if case.name.split("/")[-1].startswith("0a_0_0"))
    labels = dataset.read(first).labels
    assert isinstance(labels, np.ndarray)
    numbers = labels[20:30, 20:40]
    assert len(np.unique(numbers[:, :10])) == len(np.unique(numbers[:, 10:])) == 1
    assert numbers[0, 0] != numbers[0, -1]
    assert (labels[20 - SURROUNDINGS : 20, 25] == 0).all()
    assert labels[20 - SURROUNDINGS - 1, 25] == -1
    more = [accepted, line(1, (300, 20)), line(0, (9, 9))]
    painted = write_crops([MarkedImage("b", images[0].path, more)], tmp_path / "b")
    assert not painted.objects, "an object painted with a brush has no known border"


def test_of_few_images_all_are_learned_and_some_marks_are_held_out(marked: list[MarkedImage], tmp_path: Path) -> None:
    more = line(0, (500, 90), (520, 110))
    held = [replace(image, shapes=[*image.shapes, more], held_out=frozenset({0, 1})) for image in marked]
    made = write_crops(held, tmp_path / "set")
    assert made.held_out
    for image in held:
        whole = [rasterise([shape], (0, 1300), (0, 1300)) for shape in image.shapes]
        for split, indices in (("train", {2, 3}), ("val", {0, 1})):
            expected = sum(int((whole[index] != IGNORE).sum()) for index in indices)
            masks = [read_mask(path).values for path in (tmp_path / "set" / split / "masks").glob(f"{image.id}_*")]
            assert sum(int((mask != IGNORE).sum()) for mask in masks) == expected


def test_both_splits_need_two_classes(marked: list[MarkedImage], tmp_path: Path) -> None:
    only_one = [replace(image, held_out=frozenset({0})) for image in marked]
    assert not write_crops(only_one, tmp_path / "set").held_out
    many = [replace(image, id=f"{number}b", held_out=frozenset({1, 2})) for number in range(4) for image in marked]
    assert not write_crops(many, tmp_path / "many").held_out, "images are held out"


def test_the_splits_are_a_data_set(marked: list[MarkedImage], tmp_path: Path) -> None:
    shapes: list[Shape] = [line(index % 2, (20 + 20 * index, 60)) for index in range(10)]
    images = [MarkedImage("a", marked[0].path, shapes, frozenset({2, 3}))]
    made = write_crops(images, tmp_path / "set")
    assert made.held_out, "one crop is enough"
    dataset = load_dataset(tmp_path / "set", ignore_index=IGNORE, allow_duplicates=True, task="binary")
    assert {split: len(cases) for split, cases in dataset.splits.items()} == {"train": 1, "val": 1, "test": 0}
    assert "--allow-duplicates" in made.options


def test_a_held_out_object_takes_its_surroundings_along(tmp_path: Path) -> None:
    corners: list[list[Point]] = [[(x, 20), (x + 10, 20), (x + 10, 30), (x, 30)] for x in (20, 35)]
    shapes: list[Shape] = [
        Objects(kind="objects", action="accept", objects=[Outline(class_index=1, rings=[ring])]) for ring in corners
    ]
    write_image(tmp_path / "a.png", drawn_image(0, 96))
    made = write_crops([MarkedImage("a", tmp_path / "a.png", shapes, frozenset({1}))], tmp_path / "set")
    assert (made.objects, made.held_out) == (True, True)
    train, val = (read_mask(tmp_path / "set" / split / "masks" / "a_0_0.png").values for split in ("train", "val"))
    for mask, own, other in ((train, 20, 35), (val, 35, 20)):
        assert (mask[20:30, own : own + 10] > 0).all()
        assert (mask[20:30, other : other + 10] == IGNORE_NUMBER).all()
        assert (mask[20 - SURROUNDINGS : 20, own] == 0).all()
    both = (train != IGNORE_NUMBER) & (val != IGNORE_NUMBER)
    assert not both.any()


def test_the_options_are_settings_that_a_training_knows(marked: list[MarkedImage], tmp_path: Path) -> None:
    few = write_crops(marked, tmp_path / "few")
    many = write_crops([replace(i, id=f"{n}b") for n in range(4) for i in marked], tmp_path / "many")
    settings = [Settings.parse([word for word in made.options if "=" in word]) for made in (few, many)]
    assert [("augmentation.gamma" in one.values, one.values["patches.foreground_share"]) for one in settings] == [
        (True, 1),
        (False, 1),
    ]
    apply_settings(Config(), settings[0])
