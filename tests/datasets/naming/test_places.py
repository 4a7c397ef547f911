"""Where the masks of images are: in other places than their images, beside single further images, under any name."""

from pathlib import Path

import pytest

from drawn import image, mask, pairs, save, several
from pixelwise.datasets.annotations import files_of_annotation
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.datasets.folder_layout import FolderLayout, Pair, read_layout
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

PLAIN = DataOptions()


def found(root: Path, options: DataOptions = PLAIN) -> list[Pair]:
    layout = read_layout(root, options)
    assert not layout.problems, layout.problems
    return list(layout.pairs)


def kinds(layout: FolderLayout) -> set[str]:
    return {problem.kind for problem in layout.problems}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images/{}.jpg", "annotations/trimaps/{}.png"),
        ("scans/ward/{}.png", "masks/{}.png"),
        ("Lung Segmentation/CXR_png/{}.png", "Lung Segmentation/masks/{}_mask.png"),
        ("Set_with_GT/benign/{}.png", "Set_with_GT/benign/{}_mask.png"),
        ("CXR_png/{}.png", "ManualMask/left/{}.png"),
        ("clip_img/18/clip_0/{}.jpg", "matting/18/matting_0/{}.png"),
        ("train_img/{}.jpg", "train_lab/{}.png"),
        ("data/batch0/{}.tif", "data/batch0/masks/{}.tif"),
    ],
)
def test_masks_in_another_tree_than_their_images(tmp_path: Path, images: str, masks: str) -> None:
    root = pairs(tmp_path / "data", 4, images=images, masks=masks)
    assert [pair.image.stem for pair in found(root)] == [f"case_{index}" for index in range(4)]
    assert detect_dataset(root).labelling.task == "binary"


def test_one_folder_of_masks_serves_all_splits(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"{'train' if index < 4 else 'val'}/s{index}.png", image(index))
        save(tmp_path / f"masks/s{index}.png", mask(index))
    assert [pair.split for pair in found(tmp_path)] == ["train"] * 4 + ["val"] * 2


def test_splits_of_masks_alone_are_those_of_their_images(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"images/s{index}.png", image(index))
        save(tmp_path / f"masks/{'train' if index < 4 else 'val'}/s{index}.png", mask(index))
    assert [pair.split for pair in found(tmp_path)] == ["train"] * 4 + ["val"] * 2


def test_masks_of_two_people_are_not_chosen_without_a_flag(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"images/s{index}.png", image(index))
        for person in ("anna", "bert"):
            save(tmp_path / f"masks/{person}/s{index}.png", several(1, 2, 3)(index))
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert "--masks" in str(caught.value)
    assert "no mask of this name" not in str(caught.value), "it follows from the rest"
    named = found(tmp_path, DataOptions(masks="bert"))
    assert {files_of_annotation(pair.annotation)[0].parent.name for pair in named} == {"bert"}


@pytest.mark.parametrize("stray", ["preview.png", "docs/figure.png"])
def test_single_images_beside_the_folders_are_left_out(tmp_path: Path, stray: str) -> None:
    pairs(tmp_path, 4)
    save(tmp_path / stray, image(9))
    layout = read_layout(tmp_path, PLAIN)
    assert len(found(tmp_path)) == 4
    assert any(Path(stray).name in text and "--images" in text for text in layout.messages)


@pytest.mark.parametrize("missing", ["images/case_9.png", "images/deeper/case_9.png"])
def test_control_images_without_a_mask_in_a_folder_of_images_are_reported(tmp_path: Path, missing: str) -> None:
    pairs(tmp_path, 4)
    save(tmp_path / missing, image(9))
    assert kinds(read_layout(tmp_path, PLAIN)) == {"missing mask"}


def test_control_a_patient_without_masks_is_reported(tmp_path: Path) -> None:
    for patient in range(3):
        pairs(tmp_path / f"p{patient}", 2, images="{}.png", masks="{}_mask.png", first=2 * patient)
    save(tmp_path / "p3/case_9.png", image(9))
    assert kinds(read_layout(tmp_path, PLAIN)) == {"missing mask"}


def test_an_outer_image_whose_mask_is_there_is_used(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    save(tmp_path / "outer.png", image(9))
    save(tmp_path / "masks/outer.png", mask(9))
    assert len(found(tmp_path)) == 5


@pytest.mark.parametrize("further", ["edge/{}.png", "images/thumbs/{}.png", "depth_maps/{}.png"])
def test_further_folders_of_the_same_names_are_left_out(tmp_path: Path, further: str) -> None:
    pairs(tmp_path, 4)
    for index in range(4):
        save(tmp_path / further.format(f"case_{index}"), image(index + 10))
    layout = read_layout(tmp_path, PLAIN)
    assert len(found(tmp_path)) == 4
    assert any(further.split("/{", maxsplit=1)[0] in text and "--images" in text for text in layout.messages)
    save(tmp_path / further.format("other"), image(30))
    assert kinds(read_layout(tmp_path, PLAIN)) <= {"missing mask"}, "control: another image is not left out unseen"


def test_splits_in_longer_names(tmp_path: Path) -> None:
    for index in range(6):
        part = "Training" if index < 4 else "Validation"
        save(tmp_path / f"Set1-2_{part}_Input/s{index}.jpg", image(index))
        save(tmp_path / f"Set1_{part}_GroundTruth/s{index}_segmentation.png", mask(index))
    assert [pair.split for pair in found(tmp_path)] == ["train"] * 4 + ["val"] * 2


@pytest.mark.parametrize(
    ("images", "masks"),
    [("p1/images/case_{}.png", "p2/masks/case_{}.png"), ("anna/images/{}.png", "bert/masks/{}.png")],
)
def test_control_masks_of_another_case_are_not_taken(tmp_path: Path, images: str, masks: str) -> None:
    for index in range(4):
        save(tmp_path / images.format(index), image(index))
        save(tmp_path / masks.format(index), mask(index))
    assert not read_layout(tmp_path, PLAIN).pairs
