"""What is wrong with the values of masks, and where the names of their classes come from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from drawn import SIZE, coloured, mask, objects, pairs, save, several
from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset


def scan(folder: Path, **options: object) -> Dataset:
    return scan_dataset(folder, DataOptions(**options))  # type: ignore[arg-type]


def problems(dataset: Dataset) -> dict[str, set[str]]:
    """The files that each kind of problem is about; none for the set."""
    found: dict[str, set[str]] = {}
    for problem in dataset.problems:
        if problem.fatal:
            found.setdefault(problem.kind, set()).update({problem.file} - {""})
    return found


def write_table(folder: Path, text: str) -> None:
    (folder / "classes.txt").write_text(text, encoding="utf-8")


def flat(value: int) -> Callable[[int], np.ndarray]:
    return lambda seed: np.full(SIZE, value, np.uint8)


def many(seed: int) -> np.ndarray:
    """300 values, each in two places."""
    drawn = np.zeros(SIZE, np.uint16)
    drawn[:15] = drawn[16:31] = np.repeat(np.arange(1, 301), 2).reshape(15, 40)
    return drawn


@pytest.mark.parametrize(
    ("draw", "options", "kind", "classes"),
    [
        (flat(0), {}, "all background", ("background", "foreground")),
        (flat(7), {}, "one class only", ("background", "foreground")),
        (several(3, 10, 200), {"classes": ("a", "b")}, "names do not fit", ("background", "class_3", "class_10")),
        (mask, {"foreground": 9}, "unknown values", ("background", "foreground")),
        (many, {"task": "multiclass"}, "too many values", ("background", "class_1")),
        (flat(0), {"task": "instance"}, "all background", ("background", "object")),
        (objects, {"task": "instance", "classes": ("a", "b", "c")}, "names do not fit", ("background", "object")),
    ],
)
def test_what_is_wrong_with_all_masks(
    tmp_path: Path, draw: Callable[[int], np.ndarray], options: dict[str, object], kind: str, classes: tuple[str, ...]
) -> None:
    dataset = scan(pairs(tmp_path, draw=draw), **options)
    assert set(problems(dataset)) == {kind}
    assert dataset.classes[: len(classes)] == classes


def test_a_mask_with_a_value_that_the_table_lacks_is_named(tmp_path: Path) -> None:
    pairs(tmp_path, draw=several(1, 2))
    write_table(tmp_path, "1 tree\n2 sea\n")
    strange = several(1, 2)(3)
    strange[20:24, :5] = 7
    save(tmp_path / "masks/case_3.png", strange)
    dataset = scan(tmp_path)
    assert problems(dataset) == {"unknown values": {"masks/case_3.png"}}
    assert any("7 (20 px)" in problem.text for problem in dataset.problems)
    assert dataset.classes == ("background", "tree", "sea")
    assert any("0 is not in the class table" in message for message in dataset.messages)


def test_two_colours_on_black_that_the_table_lacks_are_three_classes(tmp_path: Path) -> None:
    pairs(tmp_path, draw=coloured)
    write_table(tmp_path, "tree 255,0,0\nsea 0,0,255\n")
    dataset = scan(tmp_path)
    assert (dataset.task, set(dataset.classes)) == ("multiclass", {"background", "tree", "sea"})


@pytest.mark.parametrize("task", ["multiclass", "instance"])
def test_a_mask_in_a_lossy_format_is_named(tmp_path: Path, task: str) -> None:
    pairs(tmp_path, draw=several(90, 180) if task == "multiclass" else objects)
    if task == "multiclass":
        write_table(tmp_path, "0 ground\n90 tree\n180 sea\n")
    drawn = save(tmp_path / "masks/case_2.png", several(90, 180)(2))
    drawn.unlink()
    save(drawn.with_suffix(".jpg"), several(90, 180)(2), quality=30)
    assert problems(scan(tmp_path, task=task)) == {"lossy mask": {"masks/case_2.jpg"}}


@pytest.mark.parametrize(
    ("text", "names"),
    [("tree\nsea\n", ("background", "tree", "sea")), ("ground\ntree\nsea\n", ("ground", "tree", "sea"))],
)
def test_names_without_numbers_are_in_the_order_of_the_values(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    write_table(pairs(tmp_path, draw=several(3, 10)), text)
    dataset = scan(tmp_path)
    assert (dataset.classes, dataset.labelling.values) == (names, (0, 3, 10))


def test_more_names_than_values_are_numbered_from_zero(tmp_path: Path) -> None:
    write_table(pairs(tmp_path, draw=several(1, 3)), "ground\ntree\nhouse\nsea\n")
    dataset = scan(tmp_path)
    assert dataset.classes == ("ground", "tree", "house", "sea")
    assert dataset.labelling.values == (0, 1, 2, 3)


def test_a_table_of_which_some_lines_have_numbers_names_nothing(tmp_path: Path) -> None:
    write_table(pairs(tmp_path, draw=several(3, 10)), "0 ground\ntree\nsea\n")
    assert scan(tmp_path).classes == ("background", "class_3", "class_10")


def test_a_description_may_state_the_task(tmp_path: Path) -> None:
    pairs(tmp_path, draw=lambda _: objects(2))
    assert set(problems(scan(tmp_path))) == {"objects or classes"}
    (tmp_path / "dataset.json").write_text('{"task": "instance"}', encoding="utf-8")
    dataset = scan(tmp_path)
    assert (dataset.task, problems(dataset)) == ("instance", {})


def test_values_without_data_are_ignored_if_the_masks_state_them(tmp_path: Path) -> None:
    def draw(seed: int) -> np.ndarray:
        drawn = several(1, 2)(seed)
        drawn[-4:] = 99
        return drawn

    pairs(tmp_path, draw=draw)
    for path in sorted((tmp_path / "masks").iterdir()):
        path.unlink()
        seed = int(path.stem.removeprefix("case_"))
        tifffile.imwrite(path.with_suffix(".tif"), draw(seed), extratags=[(42113, "s", 0, "99", True)])
    dataset = scan(tmp_path)
    assert dataset.labelling.ignore_value == 99
    assert dataset.labelling.values == (0, 1, 2)
    assert scan(tmp_path, ignore_index=-1).labelling.values == (0, 1, 2, 99)


def test_numbers_in_several_channels_are_no_colours(tmp_path: Path) -> None:
    """As in SYNTHIA: the class in one channel, the object in another."""

    def draw(seed: int) -> np.ndarray:
        drawn = np.zeros((*SIZE, 3), np.uint8)
        drawn[..., 0], drawn[..., 1] = several(3, 7)(seed), objects(seed % 3)
        return drawn

    dataset = scan(pairs(tmp_path, draw=draw))
    assert set(problems(dataset)) == {"too many colours"}
    assert any("class numbers in one channel" in problem.text for problem in dataset.problems)


def test_objects_in_colours_are_classes_for_who_names_them(tmp_path: Path) -> None:
    def draw(seed: int) -> np.ndarray:
        colours = np.random.default_rng(seed).integers(60, 256, (20, 3)).astype(np.uint8)
        colours[0] = 0
        return colours[objects(seed)]

    pairs(tmp_path, draw=draw)
    assert scan(tmp_path).task == "instance"
    assert scan(tmp_path, classes=("ground", "a", "b")).task != "instance"


def test_a_colour_of_no_class_is_named(tmp_path: Path) -> None:
    pairs(tmp_path, draw=coloured)
    write_table(tmp_path, "0 ground 0,0,0\n1 tree 255,0,0\n2 sea 0,0,255\n")
    strange = coloured(3)
    strange[20:24, :5] = (9, 200, 9)
    save(tmp_path / "masks/case_3.png", strange)
    dataset = scan(tmp_path)
    assert problems(dataset) == {"unknown colours": {"masks/case_3.png"}}
    assert set(dataset.classes) == {"ground", "tree", "sea"}


def test_without_black_the_larger_area_is_the_background(tmp_path: Path) -> None:
    colours = np.array([[250, 250, 250], [200, 30, 30]], np.uint8)
    dataset = scan(pairs(tmp_path, draw=lambda seed: colours[mask(seed, 1)]))
    assert dataset.task == "binary"
    assert dataset.labelling.values == (0xFAFAFA, 0xC81E1E)
