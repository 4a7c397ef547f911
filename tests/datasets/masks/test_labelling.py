"""Task and classes from mask values: binary, multiclass or instance."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import SIZE, mask, objects, pairs, save, several
from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.dataset import DataOptions, read_labels, scan_dataset
from pixelwise.datasets.masks.class_table import ClassTable, Entry, parse_table, read_class_table
from pixelwise.datasets.masks.labelling import interpret_masks
from pixelwise.datasets.masks.measure import measure_values, pack
from pixelwise.datasets.records import Labelling
from pixelwise.io.read import MaskImage, read_mask


def label(folder: Path, **options: object) -> Labelling:
    dataset = scan_dataset(folder, DataOptions(**options))
    assert not [p for p in dataset.problems if p.fatal], dataset.problems
    return dataset.labelling


@pytest.mark.parametrize("foreground", [1, 7, 255])
def test_two_values_are_binary(tmp_path: Path, foreground: int) -> None:
    result = label(pairs(tmp_path, draw=lambda seed: mask(seed, foreground)))
    assert (result.task, result.values, result.ignore_value) == ("binary", (0, foreground), None)
    truth = mask(0, foreground) // foreground
    np.testing.assert_array_equal(read_labels(MaskFile(path=tmp_path / "masks/case_0.png"), result), truth)


def test_the_foreground_can_be_zero(tmp_path: Path) -> None:
    result = label(pairs(tmp_path), foreground=0, classes=("cell", "membrane"))
    assert result.values == (255, 0)
    labels = read_labels(MaskFile(path=tmp_path / "masks/case_0.png"), result)
    np.testing.assert_array_equal(labels, mask(0) == 0)
    assert result.classes == ("cell", "membrane")


def test_values_with_gaps_are_classes(tmp_path: Path) -> None:
    result = label(pairs(tmp_path, draw=several(3, 10, 200)))
    assert (result.task, result.values) == ("multiclass", (0, 3, 10, 200))
    assert result.classes[:2] == ("background", "class_3")
    labels = read_labels(MaskFile(path=tmp_path / "masks/case_1.png"), result)
    np.testing.assert_array_equal(np.array(result.values)[labels], several(3, 10, 200)(1))


def test_values_without_a_background(tmp_path: Path) -> None:
    result = label(pairs(tmp_path, draw=lambda seed: several(1, 2)(seed) + 1), classes=("a", "b", "c"))
    assert (result.values, result.classes) == ((1, 2, 3), ("a", "b", "c"))


def test_one_component_per_value_and_different_numbers_are_objects(tmp_path: Path) -> None:
    result = label(pairs(tmp_path, draw=objects))
    assert (result.task, result.values, result.classes) == ("instance", (), ("background", "object"))
    np.testing.assert_array_equal(read_labels(MaskFile(path=tmp_path / "masks/case_2.png"), result), objects(2))


def test_the_ignored_value_is_no_background(tmp_path: Path) -> None:
    """Although it is the largest area of sparse masks."""

    def sparse(seed: int) -> np.ndarray:
        known = objects(seed).astype(np.uint16)
        known[:, known.shape[1] // 4 :] = 65_535
        return known

    pairs(tmp_path, draw=sparse)
    assert label(tmp_path, task="instance", ignore_index=65_535).background == 0
    assert label(tmp_path, task="instance").background == 65_535


def test_the_same_components_in_every_file_may_be_either(tmp_path: Path) -> None:
    dataset = scan_dataset(pairs(tmp_path, draw=lambda _: objects(2)))
    assert [problem.kind for problem in dataset.problems if problem.fatal] == ["objects or classes"]
    assert label(tmp_path, task="multiclass").task == "multiclass"
    assert label(pairs(tmp_path, draw=lambda _: objects(2)), task="instance").task == "instance"


def test_255_is_a_class_by_default(tmp_path: Path) -> None:
    pairs(tmp_path, draw=several(1, 255))
    dataset = scan_dataset(tmp_path)
    assert dataset.labelling.values == (0, 1, 255)
    assert any("--ignore-index 255" in text for text in dataset.messages)
    result = label(tmp_path, ignore_index=255)
    assert (result.values, result.ignore_value, result.task) == ((0, 1), 255, "binary")
    truth = several(1, 255)(0)
    np.testing.assert_array_equal(read_labels(MaskFile(path=tmp_path / "masks/case_0.png"), result), truth)


def test_ignore_comes_from_the_name_of_a_class_and_can_be_switched_off(tmp_path: Path) -> None:
    pairs(tmp_path, draw=several(1, 2))
    (tmp_path / "classes.txt").write_text("0 ground\n1 tree\n2 void\n", encoding="utf-8")
    assert label(tmp_path).ignore_value == 2
    assert label(tmp_path).classes == ("ground", "tree")
    assert label(tmp_path, ignore_index=-1).classes == ("ground", "tree", "void")


def test_palette_masks_are_read_as_indices(tmp_path: Path) -> None:
    from PIL import Image

    pairs(tmp_path, draw=several(1, 2))
    for path in (tmp_path / "masks").iterdir():
        picture = Image.open(path).convert("L")
        indexed = Image.fromarray(np.array(picture)).convert("P")
        indexed = Image.frombytes("P", picture.size, picture.tobytes())
        indexed.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
        indexed.save(path)
    result = label(tmp_path)
    assert (result.values, result.colours) == ((0, 1, 2), ((0, 0, 0), (200, 10, 10), (10, 200, 10)))


COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "# index name R,G,B\n0 ground 0,0,0\n1 a tree 255,0,0\n2 sea 0,0,255\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nground:0,0,0::\na tree:255,0,0::\nsea:0,0,255::\n"),
        ("class_dict.csv", "name,r,g,b\nground,0,0,0\na tree,255,0,0\nsea,0,0,255\n"),
        ("label_colors.txt", "0 0 0\tground\n255 0 0\ta tree\n0 0 255\tsea\n"),
    ],
)
def test_colours_with_a_table_are_classes(tmp_path: Path, name: str, text: str) -> None:
    pairs(tmp_path, draw=lambda seed: COLOURS[several(1, 2)(seed)])
    save(tmp_path / "masks/case_5.png", np.zeros((*SIZE, 3), np.uint8))  # all black: gray, yet coded by colour
    (tmp_path / name).write_text(text, encoding="utf-8")
    result = label(tmp_path)
    assert result.coded_by_colour
    assert result.task == "multiclass"
    assert set(result.classes) == {"ground", "a tree", "sea"}
    labels = read_labels(MaskFile(path=tmp_path / "masks/case_0.png"), result)
    np.testing.assert_array_equal(np.array(result.colours)[labels], COLOURS[several(1, 2)(0)])
    assert result.classes[0] == "ground"
    assert not read_labels(MaskFile(path=tmp_path / "masks/case_5.png"), result).any()


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("0 membrane 0,0,0", Entry(name="membrane", value=0, colour=(0, 0, 0))),
        ("3: big car", Entry(name="big car", value=3)),
        ("3,car", Entry(name="car", value=3)),
        ("car", Entry(name="car")),
        ("car: 3", Entry(name="car", value=3)),
        ("car:1,2,3::", Entry(name="car", colour=(1, 2, 3))),
        ("car,1,2,3", Entry(name="car", colour=(1, 2, 3))),
        ("1 2 3\t\tcar", Entry(name="car", colour=(1, 2, 3))),
        ("7\tcar\t1 2 3", Entry(name="car", value=7, colour=(1, 2, 3))),
    ],
)
def test_lines_of_class_tables(line: str, entry: Entry) -> None:
    assert parse_table(f"# comment\n\n{line}\n") == (entry,)


@pytest.mark.parametrize("text", ["0 a\n0 b\n", "a\na\n", "12\n", "x 300,0,0\n"])
def test_invalid_tables_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line|duplicate"):
        parse_table(text)


def test_an_unreadable_class_table_is_a_problem_and_ignored(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{", encoding="utf-8")
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00")
    class_table = read_class_table(tmp_path)
    assert class_table.entries == ()
    assert [p.kind for p in class_table.problems] == ["unreadable description"] * 2
    assert not any(p.fatal for p in class_table.problems)


@pytest.mark.parametrize(
    "text",
    ['{"labels": {"background": 0, "tree": 1}}', '{"classes": ["background", "tree"]}',
     '{"classes": {"0": "background", "1": "tree"}}'],
)  # fmt: skip
def test_names_from_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    assert label(pairs(tmp_path, draw=lambda seed: mask(seed, 1))).classes == ("background", "tree")


@pytest.mark.parametrize("classes", [("tree", "sea"), ("ground", "tree", "sea")])
def test_names_from_the_user(tmp_path: Path, classes: tuple[str, ...]) -> None:
    result = label(pairs(tmp_path, draw=several(4, 9)), classes=classes)
    assert result.classes[1:] == ("tree", "sea")
    assert result.values == (0, 4, 9)


@given(st.lists(st.integers(0, 254), min_size=3, max_size=8, unique=True), st.integers(0, 3))
def test_any_values_are_classes(values: list[int], seed: int) -> None:
    values = sorted(values)
    drawn = np.random.default_rng(seed).choice(np.array(values, np.uint8), (24, 24))
    drawn.flat[: len(values)] = values
    masks = {"a": measure_values(MaskImage(drawn, None, False))}
    result = interpret_masks(masks, ClassTable(), DataOptions(task="multiclass")).labelling
    assert result.values == tuple(values)


def test_regions_agree_with_scipy(rng: np.random.Generator) -> None:
    from scipy import ndimage

    drawn = rng.integers(0, 4, (30, 31)).astype(np.uint8) * 60
    measured = measure_values(MaskImage(drawn, None, False))
    assert measured.values == (0, 60, 120, 180)
    for value, count, regions in zip(measured.values[1:], measured.counts[1:], measured.regions[1:], strict=True):
        assert count == (drawn == value).sum()
        areas: Any = ndimage.label(drawn == value, np.ones((3, 3)))
        assert regions == areas[1]


def test_packing_colours(tmp_path: Path) -> None:
    colours = np.array([[[1, 2, 3], [255, 255, 255]]], np.uint8)
    assert pack(read_mask(save(tmp_path / "m.png", colours)).values).tolist() == [[0x010203, 0xFFFFFF]]
