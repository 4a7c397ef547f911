"""Folder layouts, and pairing of images and masks."""

import unicodedata
from pathlib import Path

import pytest

from drawn import image, mask, pairs, save
from pixelwise.datasets.annotations import files_of_annotation
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.folder_layout import FolderLayout, Pair, read_layout
from pixelwise.datasets.naming.folder_names import (
    natural_key,
    pairing_name,
    read_folder_name,
    strip_image_words,
    strip_mask_words,
)
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

PLAIN = DataOptions()


def names(layout: FolderLayout) -> list[str]:
    assert not layout.problems, layout.problems
    return [pair.name for pair in layout.pairs]


def mask_of(pair: Pair) -> Path:
    return files_of_annotation(pair.annotation)[0]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("IMG/{}.PNG", "Labels/{}.Png"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
        ("raw/{}.tif", "gt/{}.bmp"),
        ("x/{}.png", "y/{}.png"),
        ("images/{}.png", "masks/{}_mask.png"),
        ("images/img_{}.png", "masks/mask_{}.png"),
        ("{}.png", "{}_masks.png"),
        ("{}_img.png", "{}_masks.png"),
        ("{}.jpg", "{}_L.png"),
        ("{}.jpg", "{}.png"),
        ("{}.png", "masks/{}.png"),
        ("photos/{}.png", "by_hand/{}.png"),
        ("set/images/{}.png", "set/masks/{}.png"),
        ("images/a/{}.png", "masks/a/{}.png"),
        ("one/{}.png", "two/{}.png"),
    ],
)
def test_usual_layouts_without_splits(tmp_path: Path, images: str, masks: str) -> None:
    layout = read_layout(pairs(tmp_path, 3, images=images, masks=masks), PLAIN)
    assert len(names(layout)) == 3
    for index, pair in enumerate(layout.pairs):
        assert f"case_{index}" in pair.image.name
        assert pair.image == tmp_path / images.format(f"case_{index}")
        assert mask_of(pair) == tmp_path / masks.format(f"case_{index}")
        assert pair.split is None


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{part}/images/{{}}.png", "{part}/masks/{{}}.png"),
        ("images/{part}/{{}}.png", "masks/{part}/{{}}.png"),
        ("{part}_images/{{}}.png", "{part}_masks/{{}}.png"),
        ("{part}/{{}}.png", "{part}annot/{{}}.png"),
        ("{part}/{{}}.png", "{part}/{{}}_mask.png"),
    ],
)
@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "validation", "TEST")])
def test_splits_above_or_below(tmp_path: Path, images: str, masks: str, words: tuple[str, str, str]) -> None:
    for index, part in enumerate(words):
        pairs(tmp_path, 1, images=images.format(part=part), masks=masks.format(part=part), first=index)
    layout = read_layout(tmp_path, PLAIN)
    assert names(layout) == ["train/case_0", "val/case_1", "test/case_2"]


def test_pairing_is_by_whole_name(tmp_path: Path) -> None:
    for name in ("train1", "train10", "train2"):
        save(tmp_path / "images" / f"{name}.png", image(1))
    for name in ("train10", "train2", "train1"):
        save(tmp_path / "masks" / f"{name}_mask.png", mask(1))
    layout = read_layout(tmp_path, PLAIN)
    assert names(layout) == ["train1", "train2", "train10"]
    assert all(mask_of(pair).name == f"{pair.image.stem}_mask.png" for pair in layout.pairs)


def test_forms_of_unicode_and_odd_names_pair(tmp_path: Path) -> None:
    for odd in ("zürich", "- a 'b'", "שלום", "🙂"):
        save(tmp_path / "images" / (unicodedata.normalize("NFC", odd) + ".png"), image(1))
        save(tmp_path / "masks" / (unicodedata.normalize("NFD", odd) + ".png"), mask(1))
    assert len(names(read_layout(tmp_path, PLAIN))) == 4


def test_other_mask_folders_are_ignored_with_a_message(tmp_path: Path) -> None:
    pairs(tmp_path, 3)
    pairs(tmp_path, 3, masks="masks_2nd_observer/{}.png")
    layout = read_layout(tmp_path, PLAIN)
    assert {mask_of(pair).parent.name for pair in layout.pairs} == {"masks"}
    assert any("masks_2nd_observer also looks like masks (3 files)" in text for text in layout.messages)
    chosen = read_layout(tmp_path, DataOptions(masks="masks_2nd_observer"))
    assert {mask_of(pair).parent.name for pair in chosen.pairs} == {"masks_2nd_observer"}
    assert names(chosen) == ["case_0", "case_1", "case_2"]


def test_two_plain_folders_for_masks_ask_for_a_flag(tmp_path: Path) -> None:
    pairs(tmp_path, 3)
    pairs(tmp_path, 3, masks="labels/{}.png")
    problems = read_layout(tmp_path, PLAIN).problems
    assert any(p.kind == "ambiguous folders" and "--masks" in p.hint for p in problems)
    assert names(read_layout(tmp_path, DataOptions(masks="labels"))) == ["case_0", "case_1", "case_2"]


def test_flags_name_folders_and_suffixes(tmp_path: Path) -> None:
    pairs(tmp_path / "a", 2, images="foo/{}.png", masks="bar/{}.png")
    assert len(names(read_layout(tmp_path / "a", DataOptions(images="foo", masks="bar")))) == 2
    pairs(tmp_path / "b", 2, masks="images/{}_truth.png")
    assert len(names(read_layout(tmp_path / "b", DataOptions(masks="_truth")))) == 2
    with pytest.raises(BadDataset, match=r"called nowhere \(--masks\)"):
        read_layout(tmp_path / "a", DataOptions(masks="nowhere"))


def test_other_suffixes_are_ignored(tmp_path: Path) -> None:
    pairs(tmp_path, 3, images="{}.png", masks="{}_mask.png")
    pairs(tmp_path, 2, images="{}.png", masks="{}_seg.png")
    layout = read_layout(tmp_path, PLAIN)
    assert len(names(layout)) == 3
    assert any("_seg were ignored" in text for text in layout.messages)


@pytest.mark.parametrize(
    ("words", "roles"),
    [
        (("Training", "Validierung", "Test"), ("Bilder", "Masken")),
        (("Trainingsdaten", "Validierungsdaten", "Testdaten"), ("Bilder", "Masken")),
        (("entrenamiento", "validación", "prueba"), ("imagenes", "mascaras")),
        (("treino", "validacao", "teste"), ("imagens", "mascaras")),
        (("addestramento", "validazione", "test"), ("immagini", "maschere")),
        (("entraînement", "validation", "test"), ("images", "masques")),
        (("训练集", "验证集", "测试集"), ("图像", "标签")),
        (("train", "eval", "holdout"), ("images", "masks")),
    ],
)
def test_words_for_splits(tmp_path: Path, words: tuple[str, str, str], roles: tuple[str, str]) -> None:
    for number, word in enumerate(words):
        place = {"images": f"{roles[0]}/{{}}.png", "masks": f"{roles[1]}/{{}}.png"}
        pairs(tmp_path / word, 3 - number, first=9 * number, **place)
    found = {split: len(cases) for split, cases in load_dataset(tmp_path).splits.items()}
    assert found == {"train": 3, "val": 2, "test": 1}


def test_test_images_without_masks_are_for_prediction(tmp_path: Path) -> None:
    pairs(tmp_path / "train", 3)
    save(tmp_path / "test" / "images" / "new.png", image(9))
    layout = read_layout(tmp_path, PLAIN)
    assert len(names(layout)) == 3
    assert any("1 image without masks" in text for text in layout.messages)


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    pairs(tmp_path, 2)
    (tmp_path / "images" / ".case_0.png").write_bytes(b"x")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"x")
    save(tmp_path / "__MACOSX" / "images" / "case_9.png", image(9))
    assert len(names(read_layout(tmp_path, PLAIN))) == 2


def test_circular_links(tmp_path: Path) -> None:
    pairs(tmp_path, 2)
    (tmp_path / "images" / "again").symlink_to(tmp_path)
    assert len(names(read_layout(tmp_path, PLAIN))) == 2


def test_words_in_names() -> None:
    assert read_folder_name("Train") == ("train", None)
    assert read_folder_name("val_masks") == ("val", "mask")
    assert read_folder_name("trainannot") == ("train", "mask")
    assert read_folder_name("masks_2nd_observer") == (None, None)
    assert read_folder_name("img_dir") == read_folder_name("x_images") == (None, "image")
    assert read_folder_name("ann_dir") == read_folder_name("y_masks") == (None, "mask")
    assert read_folder_name("train_x") == ("train", "image")
    assert read_folder_name("trainy") == (None, None)
    assert strip_mask_words("a_segmentation") == strip_mask_words("mask_a") == strip_image_words("a_img") == "a"
    assert strip_mask_words("a-mask") == strip_mask_words("a.mask") == strip_mask_words("a_cp_masks") == "a"
    assert strip_mask_words("mask") == strip_image_words("image") == ""
    assert pairing_name(Path("A.PNG")) == pairing_name(Path("a.tif"))
    assert sorted(["s10", "s9", "s1"], key=natural_key) == ["s1", "s9", "s10"]


def test_a_val_or_test_folder_without_masks_is_for_prediction(tmp_path: Path) -> None:
    pairs(tmp_path, 4, images="train/{}.jpg", masks="train_masks/{}_mask.gif")
    for part in ("val", "test"):
        save(tmp_path / f"{part}/other.jpg", image(9))
    layout = read_layout(tmp_path, PLAIN)
    assert len(names(layout)) == 4
    assert sum("without masks" in text for text in layout.messages) == 2
    save(tmp_path / "test_masks/other_mask.gif", mask(9))
    with_test = read_layout(tmp_path, PLAIN)
    assert [pair.split for pair in with_test.pairs] == ["train"] * 4 + ["test"], "control: with a mask it is used"


def test_further_files_beside_every_image_are_left_out(tmp_path: Path) -> None:
    pairs(tmp_path, 4, images="input/{}.jpg", masks="groundtruth/{}_segmentation.png")
    for index in range(4):
        save(tmp_path / f"input/case_{index}_superpixels.png", image(index))
    layout = read_layout(tmp_path, PLAIN)
    assert len(names(layout)) == 4
    assert any("_superpixels" in text and "--image-suffix" in text for text in layout.messages)
    save(tmp_path / "input/case_0_b.png", image(9))
    assert [problem.file for problem in read_layout(tmp_path, PLAIN).problems] == ["input/case_0_b.png"]


def test_image_names_may_continue_those_of_masks(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"fields/a0{index}_s1_w1{index}ab{index}.png", image(index))
        save(tmp_path / f"outlines_drawn/a0{index}_s1.png", mask(index))
    layout = read_layout(tmp_path, PLAIN)
    assert len(names(layout)) == 4
    assert all(mask_of(pair).stem in pair.image.stem for pair in layout.pairs)
    assert any("beginning" in text and "--format list" in text for text in layout.messages)


def test_equal_messages_of_many_folders_are_one(tmp_path: Path) -> None:
    for index in range(5):
        pairs(tmp_path / f"patient_{index}", 2, images="{}.png", masks="{}_mask.png", first=2 * index)
    layout = read_layout(tmp_path, PLAIN)
    assert len(names(layout)) == 10
    assert sum("_mask are used as masks" in text for text in layout.messages) == 1
