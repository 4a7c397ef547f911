"""Masks in RGB in which each object has a colour of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets.dataset import load_dataset, scan_dataset
from pixelwise.datasets.options import DataOptions
from pixelwise.io.write import write_image

SIDE = 96
Paint = Callable[[int, int, np.random.Generator], tuple[int, int, int]]


def random_colour(file: int, number: int, random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(30, 255, 3).tolist()
    return red, green, blue


def draw(root: Path, paint: Paint, ground: tuple[int, int, int] = (0, 0, 0), files: int = 6) -> list[np.ndarray]:
    """Write images and masks; return the true object numbers."""
    truth: list[np.ndarray] = []
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for file in range(files):
        random = np.random.default_rng(file)
        numbers, image = np.zeros((SIDE, SIDE), int), random.normal(60, 8, (SIDE, SIDE))
        mask = np.full((3, SIDE, SIDE), np.array(ground, np.uint8)[:, None, None], np.uint8)
        for number in range(1, 7):
            row, column = 16 + 32 * ((number - 1) // 3), 16 + 32 * ((number - 1) % 3)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < (8 + number) ** 2
            numbers[disc], image[disc] = number, 150
            mask[:, disc] = np.array(paint(file, number, random), np.uint8)[:, None]
        write_image(root / f"images/{file}.png", image.clip(0, 255).astype(np.uint8)[None])
        write_image(root / f"masks/{file}.png", mask)
        truth.append(numbers)
    return truth


def same_objects(labels: np.ndarray, truth: np.ndarray) -> bool:
    pairs = set(zip(labels.ravel().tolist(), truth.ravel().tolist(), strict=True))
    return len(pairs) == len(np.unique(truth)) == len(np.unique(labels)) and (0, 0) in pairs


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (68, 1, 84)])
def test_a_colour_for_each_object(tmp_path: Path, ground: tuple[int, int, int]) -> None:
    truth = draw(tmp_path, random_colour, ground)
    dataset = load_dataset(tmp_path)
    assert dataset.task == "instance"
    assert any("(--task)" in message and "own" not in message for message in dataset.messages)
    for case in dataset.cases:
        labels = dataset.read(case).labels
        assert isinstance(labels, np.ndarray)
        assert labels.max() <= 6, "no packed colours"
        assert same_objects(labels, truth[int(Path(case.name).stem)])


def test_a_black_object_on_a_white_ground(tmp_path: Path) -> None:
    def paint(file: int, number: int, random: np.random.Generator) -> tuple[int, int, int]:
        return (0, 0, 0) if number == 3 else random_colour(file, number, random)

    truth = draw(tmp_path, paint, (255, 255, 255))
    dataset = load_dataset(tmp_path)
    labels = dataset.read(dataset.cases[0]).labels
    assert isinstance(labels, np.ndarray)
    assert same_objects(labels, truth[int(Path(dataset.cases[0].name).stem)])


def test_the_same_colours_in_every_file_are_asked_for(tmp_path: Path) -> None:
    """They may be classes: the problem stays, and `--task instance` decides."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
    truth = draw(tmp_path, lambda _file, number, _random: colours[number - 1])
    found = scan_dataset(tmp_path)
    assert "colours without classes" in {problem.kind for problem in found.problems}
    dataset = load_dataset(tmp_path, task="instance")
    labels = dataset.read(dataset.cases[0]).labels
    assert isinstance(labels, np.ndarray)
    assert same_objects(labels, truth[0])
    assert scan_dataset(tmp_path, DataOptions(task="multiclass")).labelling.task == "multiclass"


def test_regions_that_share_a_colour_are_no_objects(tmp_path: Path) -> None:
    """Also if the user says so: two regions of one colour would become one object."""
    draw(tmp_path, lambda file, number, _random: (40 * file, 255, 100 * (number % 2)))
    assert scan_dataset(tmp_path).labelling.task != "instance"
    found = scan_dataset(tmp_path, DataOptions(task="instance"))
    assert "unknown values" in {problem.kind for problem in found.problems if problem.fatal}
