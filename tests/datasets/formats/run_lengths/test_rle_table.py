"""Tables of run lengths: order of pixels, classes, empty rows, and damaged ones."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixelwise
from drawn import save
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.formats.run_lengths import rle_table
from pixelwise.errors import BadDataset
from public_sets.annotated import runs
from public_sets.drawing import areas, cells, picture, text


def draw(folder: Path, rows: list[str], header: str = "ImageId,EncodedPixels", name: str = "train.csv") -> None:
    text(name, "\n".join([header, *rows]) + "\n")(folder)


def square_set(folder: Path, order: str) -> dict[str, np.ndarray]:
    """Square images, of which run lengths in the wrong order are the transposed mask."""
    found, rows = {}, []
    for index in range(1, 7):
        drawn = np.pad(areas(index), ((0, 16), (0, 0)))
        save(folder / f"images/a{index}.png", picture(drawn, index))
        rows.append(f"a{index}.png,{runs(drawn, order)}")
        found[f"a{index}"] = drawn
    draw(folder, rows)
    return found


@pytest.mark.parametrize("order", ["F", "C"])
def test_the_edges_of_square_images_decide_the_order(tmp_path: Path, order: str) -> None:
    truth = square_set(tmp_path, order)
    dataset = pixelwise.load_dataset(tmp_path)
    for case in dataset.cases:
        assert np.array_equal(dataset.read(case).labels, truth[case.image.stem])
    flag = rle_table.ROWS if order == "F" else rle_table.COLUMNS
    assert any(flag in message for message in dataset.messages)
    other = pixelwise.load_dataset(tmp_path, format=flag)  # the control: the named order is used
    assert not np.array_equal(other.read(other.cases[0]).labels, truth[other.cases[0].image.stem])


def test_images_without_a_row_are_empty_unless_the_table_has_empty_rows(tmp_path: Path) -> None:
    rows = []
    for index in range(1, 9):
        drawn = cells(index)
        save(tmp_path / f"train/a{index}.png", picture(drawn, index))
        rows += [f"a{index}.png,{runs(drawn == 1)}", f"a{index}.png,{runs(drawn == 2)}"] if index < 7 else []
    draw(tmp_path, rows)
    dataset = pixelwise.load_dataset(tmp_path)
    assert len(dataset.cases) == 8
    assert any("--allow-missing" in message for message in dataset.messages)
    assert len(pixelwise.load_dataset(tmp_path, allow_missing=True).cases) == 6
    draw(tmp_path, [*rows, "a7.png,"])
    with pytest.raises(BadDataset, match="a8"):
        pixelwise.load_dataset(tmp_path)


@pytest.mark.parametrize("damaged", ["1 2 3", "9 99999", "5 0", "5 9 7 3"])
def test_damaged_run_lengths_are_refused_with_their_line(tmp_path: Path, damaged: str) -> None:
    rows = []
    for index in range(1, 5):
        save(tmp_path / f"train/a{index}.png", picture(areas(index), index))
        rows.append(f"a{index}.png,{runs(areas(index))}")
    draw(tmp_path, [*rows[:3], f"a4.png,{damaged}"])
    with pytest.raises(BadDataset, match="line 5"):
        pixelwise.load_dataset(tmp_path, format="rle-table")


def test_folders_of_masks_come_before_a_table(tmp_path: Path) -> None:
    for index in range(1, 7):
        save(tmp_path / f"images/a{index}.png", picture(areas(index), index))
        save(tmp_path / f"masks/a{index}.png", 255 * areas(index).astype(np.uint8))
    draw(tmp_path, ["a1.png,1 4"])
    assert not rle_table.recognise(tmp_path)
    assert len(pixelwise.load_dataset(tmp_path).cases) == 6


def test_other_tables_are_not_recognised(tmp_path: Path) -> None:
    save(tmp_path / "train/a1.png", picture(areas(1), 1))
    for header, row in (("id,label", "a1,cat"), ("id,rle", "a1,x y"), ("name,weight", "a1,3 4"), ("id,rle", "b,1 2")):
        draw(tmp_path, [row], header)
        assert not rle_table.recognise(tmp_path), header
    draw(tmp_path, ["a1,1 2"], "id,rle", "sample_submission.csv")
    assert not rle_table.recognise(tmp_path)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize("touching", [True, False])
def test_runs_around_a_border_show_whether_pixels_are_counted_from_zero(
    tmp_path: Path, first: int, order: str, touching: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> bool:
        dataset = pixelwise.load_dataset(tmp_path)
        assert any(f"from {read_from}." in message for message in dataset.messages)
        return all(np.array_equal(dataset.read(case).labels, truth[case.image.stem]) for case in dataset.cases)

    truth, rows = {}, []
    for index in range(1, 7):
        drawn = np.zeros((40, 56), np.uint8)
        drawn[12:20, 9 + index : 30] = 1
        if touching:  # the top and the left border; never the first pixel
            drawn[:7, 20:29] = drawn[25:33, :12] = 1
        save(tmp_path / f"images/a{index}.png", picture(drawn, index))
        numbers = np.array(runs(drawn, order).split(), int)
        numbers[::2] += first - 1
        rows.append(f"a{index}.png,{' '.join(map(str, numbers))}")
        truth[f"a{index}"] = drawn
    draw(tmp_path, rows)
    read_from = 0 if touching and first == 0 else 1
    assert load() == (read_from == first)
    monkeypatch.setattr(rle_table, "_AROUND", 10**9)  # the control
    read_from = 1
    assert load() == (first == 1)


def test_ids_of_folders_and_the_first_words_of_files(tmp_path: Path) -> None:
    """As in the scans of UW-Madison: several slices of a day, whose files also state size and spacing."""
    truth, rows = {}, []
    for day in (0, 20):
        for number in range(1, 5):
            drawn = np.pad(areas(day + number, kinds=2), ((0, 0), (0, number)))
            name = f"slice_{number:04}_{drawn.shape[1]}_{drawn.shape[0]}_1.50_1.50"
            scan = picture(drawn, number)[..., 0].astype(np.uint16) * 200
            save(tmp_path / f"train/case7/case7_day{day}/scans/{name}.png", scan)
            for value, label in ((1, "stomach"), (2, "large_bowel")):
                rows.append(f"case7_day{day}_slice_{number:04},{label},{runs(drawn == value, 'C')}")
            truth[f"case7_day{day}", number] = drawn
    draw(tmp_path, rows, "id,class,segmentation")
    dataset = pixelwise.load_dataset(tmp_path)
    assert len(dataset.cases) == 8
    names = {label: dataset.classes.index(label) for label in ("stomach", "large_bowel")}
    for case in dataset.cases:
        drawn = truth[case.image.parents[1].name, int(case.image.stem.split("_")[1])]
        labels = dataset.read(case).labels
        for value, label in ((1, "stomach"), (2, "large_bowel")):
            assert np.array_equal(labels == names[label], drawn == value)


def small_set(folder: Path, count: int = 4) -> tuple[dict[str, np.ndarray], list[str]]:
    """Images wider than high with two rectangles each, and their rows."""
    truth, rows = {}, []
    for index in range(1, count + 1):
        drawn = np.zeros((18, 30), np.uint8)
        drawn[2 : 6 + index, 3:9] = drawn[10:12, 12 + index : 28] = 1
        save(folder / f"train/a{index}.png", picture(drawn, index))
        truth[f"a{index}"] = drawn
        rows.append(f"a{index}.png,{runs(drawn)}")
    return truth, rows


def assert_read(folder: Path, truth: dict[str, np.ndarray], **options: Any) -> Dataset:
    dataset = pixelwise.load_dataset(folder, **options)
    assert {case.image.stem for case in dataset.cases} == set(truth)
    for case in dataset.cases:
        assert np.array_equal(dataset.read(case).labels, truth[case.image.stem])
    return dataset


def test_cells_in_quotes_are_longer_than_the_csv_module_reads(tmp_path: Path) -> None:
    truth, rows = small_set(tmp_path)
    rows = [f'"{name}","{text}"' for name, text in (row.split(",") for row in rows)]
    rows[1] = f'{rows[1][:-1]}{" " * (csv.field_size_limit() + 1)}"'
    draw(tmp_path, [*rows, "a1.png"])  # a row that is cut off says nothing
    assert_read(tmp_path, truth)


def test_rows_of_images_that_are_missing(tmp_path: Path) -> None:
    truth, rows = small_set(tmp_path)
    draw(tmp_path, [*rows, "b_9.png,1 3"])
    with pytest.raises(BadDataset, match=r"b_9\.png"):
        pixelwise.load_dataset(tmp_path)
    assert_read(tmp_path, truth, allow_missing=True)


@pytest.mark.parametrize("damaged", ["1 x", f"1 {10**30}"])
def test_what_is_no_number_of_pixels_is_refused_with_its_line(tmp_path: Path, damaged: str) -> None:
    _, rows = small_set(tmp_path)
    draw(tmp_path, [*rows[:3], f"a4.png,{damaged}"])
    with pytest.raises(BadDataset, match="line 5"):
        pixelwise.load_dataset(tmp_path)


def test_a_table_of_empty_rows_is_none(tmp_path: Path) -> None:
    small_set(tmp_path)
    draw(tmp_path, [f"a{index}.png," for index in range(1, 5)])
    assert not rle_table.recognise(tmp_path)


def test_masks_of_a_set_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, rows = small_set(tmp_path)
    draw(tmp_path, rows)
    assert_read(tmp_path, truth)
    monkeypatch.setattr(rle_table, "MAX_PIXELS", 600)
    with pytest.raises(BadDataset, match="at most"):
        pixelwise.load_dataset(tmp_path)


@pytest.mark.parametrize("kept", [0, 60])
@pytest.mark.parametrize("square", [True, False])
def test_a_damaged_image_is_left_out(tmp_path: Path, kept: int, square: bool) -> None:
    """Whether its header or only its pixels are damaged, and whatever shows the order of the pixels."""
    truth = square_set(tmp_path, "F") if square else None
    if truth is None:
        truth, rows = small_set(tmp_path, 6)
        draw(tmp_path, rows)
    path = tmp_path / ("images" if square else "train") / "a2.png"
    path.write_bytes(path.read_bytes()[:kept])
    truth.pop("a2")
    dataset = assert_read(tmp_path, truth, skip_bad=True)
    assert any("a2" in problem.file for problem in dataset.problems)
