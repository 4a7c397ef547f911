"""What cannot be paired is refused with the flag that helps, and the flag does help."""

from pathlib import Path

import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset


def test_two_folders_of_images_for_one_of_masks(tmp_path: Path) -> None:
    for seed in range(6):
        drawn.save(tmp_path / f"train/A/t{seed}.png", drawn.image(seed))
        drawn.save(tmp_path / f"train/B/t{seed}.png", drawn.image(20 + seed))
        drawn.save(tmp_path / f"train/label/t{seed}.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match=r"train/A, train/B.*--images"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, images="B").cases) == 6


def test_several_files_per_mask_name_the_suffix(tmp_path: Path) -> None:
    for seed in range(6):
        for channel in (1, 2):
            drawn.save(tmp_path / f"images/a{seed:02}_s1_w{channel}.png", drawn.image(10 * channel + seed))
        drawn.save(tmp_path / f"labels/a{seed:02}_s1.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match=r"--image-suffix _w1.*_w1, _w2.*one file"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, image_suffix="_w1").cases) == 6


def test_several_files_per_image_in_one_folder_name_their_ends(tmp_path: Path) -> None:
    for seed in range(6):
        for number, stain in enumerate(("DAPI", "GFP")):
            drawn.save(tmp_path / f"well{seed}_{stain}.png", drawn.image(10 * number + seed))
        drawn.save(tmp_path / f"well{seed}_mask.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match=r"_DAPI, _GFP, _mask.*--image-suffix _DAPI --mask-suffix _mask"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, image_suffix="_DAPI", mask_suffix="_mask").cases) == 6


def test_bands_in_a_folder_per_image_are_named(tmp_path: Path) -> None:
    for seed in range(6):
        for number, band in enumerate(("B02", "B03", "B04")):
            drawn.save(tmp_path / f"tile_{seed}/{band}.png", drawn.image(10 * number + seed))
        drawn.save(tmp_path / f"tile_{seed}/label.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match=r"B02, B03, B04, label.*one file"):
        load_dataset(tmp_path)


def test_masks_in_folders_called_images(tmp_path: Path) -> None:
    """iSAID: two kinds of masks, each in a folder ``images`` of its own."""
    for seed in range(6):
        drawn.save(tmp_path / f"train/images/P{seed}.png", drawn.image(seed))
        drawn.save(tmp_path / f"train/Semantic_masks/images/P{seed}_color_RGB.png", drawn.mask(seed))
    assert len(load_dataset(tmp_path).cases) == 6
    for seed in range(6):
        drawn.save(tmp_path / f"train/Instance_masks/images/P{seed}_id_RGB.png", drawn.objects(seed).astype("uint8"))
    with pytest.raises(BadDataset, match=r"Instance_masks.*Semantic_masks.*--masks"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, masks="Semantic_masks").task == "binary"
    assert load_dataset(tmp_path, masks="Instance_masks").task == "instance"


def test_control_images_beside_masks_keep_their_role(tmp_path: Path) -> None:
    drawn.pairs(tmp_path / "segmentation")
    for seed in range(6):
        drawn.save(tmp_path / f"detection/images/{seed}.png", drawn.image(40 + seed))
    assert len(load_dataset(tmp_path, allow_missing=True).cases) == 6


def test_folders_of_cross_validation_ask_for_one(tmp_path: Path) -> None:
    for fold in range(3):
        for seed in range(6):
            split = "val" if seed // 2 == fold else "train"
            drawn.save(tmp_path / f"fold_{fold}/{split}/images/{seed}.png", drawn.image(seed))
            drawn.save(tmp_path / f"fold_{fold}/{split}/masks/{seed}.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match=r"fold_0, fold_1, fold_2.*--folds"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path / "fold_0").splits["val"]) == 2


def test_names_that_repeat_those_of_their_folders_pair(tmp_path: Path) -> None:
    for seed in range(6):
        drawn.save(tmp_path / f"s2_0/ROI7_s2_0_p{seed}.png", drawn.image(seed))
        drawn.save(tmp_path / f"dfc_0/ROI7_dfc_0_p{seed}.png", drawn.mask(seed))
    dataset = load_dataset(tmp_path)
    assert {case.image.parent.name for case in dataset.cases} == {"s2_0"}
    assert (dataset.task, len(dataset.cases)) == ("binary", 6)


def test_folders_of_kinds_in_cases_are_named_without_the_case(tmp_path: Path) -> None:
    for seed in range(4):
        case = f"IMD{seed:03}"
        drawn.save(tmp_path / f"{case}/{case}_view/{case}.png", drawn.image(seed))
        for kind in ("lesion", "roi"):
            drawn.save(tmp_path / f"{case}/{case}_{kind}/{case}_{kind}.png", drawn.mask(seed))
    with pytest.raises(BadDataset, match="lesion, roi, view"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, images="view", masks="lesion").task == "binary"


def test_the_name_of_the_whole_set_is_no_split(tmp_path: Path) -> None:
    drawn.pairs(tmp_path / "test_data")
    dataset = load_dataset(tmp_path)
    assert not dataset.splits["test"]
    drawn.pairs(tmp_path / "train_data", first=10)
    assert len(load_dataset(tmp_path).splits["test"]) == 6
