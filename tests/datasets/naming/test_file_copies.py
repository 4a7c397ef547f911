"""Copies that a file manager has made beside their original are left out and named; all else stays a problem."""

import shutil
from pathlib import Path

import pytest

from drawn import image, mask, pairs, save
from pixelwise.datasets.folder_layout import FolderLayout, read_layout
from pixelwise.datasets.options import DataOptions


def layout_of(folder: Path) -> FolderLayout:
    return read_layout(folder, DataOptions())


@pytest.mark.parametrize(
    "name",
    [
        "{} - Copy.png", "{} - Copy (2).png", "{} (1).png", "{} copy.png", "{} copy 2.png", "{} (another copy).png",
        "{} - Kopie.png", "Kopie von {}.png", "Copy of {}.png", "{} - copia.png", "{} COPY.png",
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", ["images", "masks"])
def test_a_copy_of_a_file_in_a_pair_is_left_out_and_named(tmp_path: Path, name: str, role: str) -> None:
    pairs(tmp_path, 4)
    name = name.format("case_1")
    shutil.copy(tmp_path / role / "case_1.png", tmp_path / role / name)
    found = layout_of(tmp_path)
    assert not found.problems
    assert len(found.pairs) == 4
    assert any(name in message and "copy" in message for message in found.messages)


@pytest.mark.parametrize("name", ["case_10.png", "case_1_1.png", "case_1b.png", "other.png"])
def test_equal_files_with_other_names_are_no_copies(tmp_path: Path, name: str) -> None:
    """Empty masks are equal, too: without their image they are a problem."""
    pairs(tmp_path, 4)
    shutil.copy(tmp_path / "masks" / "case_1.png", tmp_path / "masks" / name)
    assert {problem.kind for problem in layout_of(tmp_path).problems} == {"orphan mask"}


def test_other_content_under_the_name_of_a_copy_is_a_problem(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    save(tmp_path / "images" / "case_1 - Copy.png", image(77))
    assert {problem.kind for problem in layout_of(tmp_path).problems} == {"missing mask"}


def test_a_copy_of_a_whole_pair_is_a_pair(tmp_path: Path) -> None:
    """Copies of images stay in one split; that is found by their pixels."""
    pairs(tmp_path, 4)
    for role in ("images", "masks"):
        shutil.copy(tmp_path / role / "case_1.png", tmp_path / role / "case_1 - Copy.png")
    found = layout_of(tmp_path)
    assert not found.problems
    assert len(found.pairs) == 5


def test_a_copied_mask_is_no_second_mask_of_its_image(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"{index}.png", image(index))
        save(tmp_path / f"{index}_mask.png", mask(index))
    shutil.copy(tmp_path / "2_mask.png", tmp_path / "2_mask (1).png")
    found = layout_of(tmp_path)
    assert not found.problems
    assert len(found.pairs) == 4
    assert not any("united" in message for message in found.messages)
