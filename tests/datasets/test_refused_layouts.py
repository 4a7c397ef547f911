"""Public sets and folders that cannot be read without a decision are refused, and the message says which."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from drawn import save
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import PixelwiseError
from public_sets.codes import ade_full, synthia
from public_sets.drawing import Truth, areas, cells, picture
from public_sets.messy import two_annotators
from public_sets.series import chaos, filmed
from public_sets.transparency import layers


def worms(folder: Path) -> None:
    """BBBC010: a file per worm, and images named by more than the well: no classes of images."""
    for index in range(1, 6):
        drawn = cells(index, 4)
        name = f"1649_1109_0003_Amp5-1_B_20070424_A0{index}_w2_15ADF84F"
        save(folder / f"BBBC010_v2_images/{name}.tif", picture(drawn > 0, index, 1))
        for number in range(1, 5):
            place = "BBBC010_v1_foreground_eachworm/BBBC010_v1_foreground_eachworm"
            worm = 255 * (drawn == number).astype(np.uint8)
            save(folder / f"{place}/A0{index}_{number:02}_ground_truth.png", worm)


def mixed_array(folder: Path) -> None:
    """LyNSeC (Naji et al. 2024): image, numbers of nuclei and their classes as five channels of one array."""
    for index in range(1, 6):
        drawn = cells(index)
        content = np.dstack([picture(drawn > 0, index), drawn, drawn % 3]).astype(np.int32)
        np.save(folder / f"{index}_l1.npy", content)


def other_scale(folder: Path) -> None:
    """COVID-19 radiography: images of 299 x 299 pixels, masks of 256 x 256."""
    for index in range(1, 6):
        save(folder / f"images/{index}.png", picture(np.kron(areas(index), np.ones((2, 2), int)), index))
        save(folder / f"masks/{index}.png", 255 * areas(index).astype(np.uint8))


def too_few_masks(folder: Path) -> None:
    """Frames of masks without a number from which their frame could be known."""
    filmed("videos/{0}.avi", "masks/{0}/{1:04}.png", "MJPG", every=2)(folder)
    for path in sorted((folder / "masks").rglob("*.png")):
        path.rename(path.with_name(f"{chr(97 + int(path.stem))}.png"))


def zipped(folder: Path) -> None:
    """Masks in an archive beside their images."""
    for index in range(1, 6):
        save(folder / f"images/{index}.png", picture(areas(index), index))
    (folder / "masks.zip").write_bytes(b"PK\x05\x06" + bytes(18))


def label_studio_png(folder: Path) -> None:
    """The PNG export of Label Studio, whose names do not hold those of the images."""
    for index in range(1, 6):
        save(folder / f"images/cell {index}.png", picture(areas(index), index))
        save(
            folder / f"masks/task-{40 + index}-annotation-{index}-by-1-tag-Cell-0.png",
            255 * areas(index).astype(np.uint8),
        )


def phone(folder: Path) -> None:
    """Photos of a telephone as HEIC, with masks."""
    for index in range(1, 6):
        save(folder / f"masks/IMG_{index}.png", 255 * areas(index).astype(np.uint8))
    (folder / "images").mkdir()
    for index in range(1, 6):
        (folder / f"images/IMG_{index}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")


def incomplete(images: str, masks: str) -> Callable[[Path], None]:
    """Images and masks with a suffix, of which one is missing: they are no two classes of images."""

    def draw(folder: Path) -> None:
        for index in range(1, 9):
            drawn = areas(index)
            save(folder / images.format(index), picture(drawn, index))
            if index != 5:
                save(folder / masks.format(index), 255 * drawn.astype(np.uint8))

    return draw


def embedded(folder: Path) -> None:
    """Labelme files with the images inside, and no image files."""
    for index in range(1, 6):
        content = {"shapes": [], "imagePath": f"..\\photos\\{index}.png", "imageData": "iVBORw0KGgo="}
        (folder / f"{index}.json").write_text(json.dumps(content), encoding="utf-8")


REFUSED: dict[str, tuple[Callable[[Path], Truth | None], tuple[str, ...]]] = {
    "SYNTHIA": (synthia, ("too dark", "channel")),
    "ADE20K, full": (ade_full, ("colours", "one class number per pixel")),
    "Label Studio, PNG": (label_studio_png, ("Label Studio", "JSON")),
    "two annotators": (two_annotators, ("--masks", "masks_anna", "masks_ben")),
    "masks in an archive": (zipped, ("masks.zip", "unpack")),
    "Labelme, images inside": (embedded, ("imageData", "labelme_export_json")),
    "HEIC": (phone, (".heic", "IMG_1.HEIC", "PNG")),
    "German words, a mask missing": (
        incomplete("Bilder/a{}.jpg", "Masken/a{}_maske.png"),
        ("a5.jpg", "--allow-missing"),
    ),
    "unknown words, a mask missing": (incomplete("Fotografien/a{}.jpg", "Flecken/a{}_fleck.png"), ("no masks",)),
    "CHAOS": (chaos, ("DICOM", "volume")),
    "BBBC010": (worms, ("no masks",)),
    "LyNSeC": (mixed_array, (".npy", "`masks`")),
    "alpha alone": (layers(lambda drawn: 255 * drawn), ("--mask-values alpha",)),
    "another scale": (other_scale, ("--resize-masks", "factor of 2")),
    "frames without numbers": (too_few_masks, ("number of their frame", "6 frames", "3 masks")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_message_says_what_decides(tmp_path: Path, name: str) -> None:
    draw, words = REFUSED[name]
    draw(tmp_path)
    with pytest.raises(PixelwiseError) as caught:
        load_dataset(tmp_path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_too_many_colours_are_not_said_to_be_classes(tmp_path: Path) -> None:
    ade_full(tmp_path)
    with pytest.raises(PixelwiseError) as caught:
        load_dataset(tmp_path)
    assert "--task multiclass" not in str(caught.value)
