"""Imitations of folders as people keep them: files of systems beside them, copies, names from other machines."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import Draw, Truth, areas, binary, numbers, paired, picture, pictures, text, together


def binary_file(path: str, content: bytes = b"\x00\x05\x16\x07\x00\x02") -> Callable[[Path], None]:
    """Write a file that is no image."""

    def write(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)

    return write


def decomposed(folder: Path) -> Truth:
    """Images from macOS, whose accents are characters of their own, and masks from Windows."""
    labels = {}
    for index, word in enumerate(("Zürich", "Genève", "Łódź", "Orléans")):
        drawn = areas(index)
        image, mask = unicodedata.normalize("NFD", f"{word} 1"), unicodedata.normalize("NFC", f"{word} 1")
        save(folder / f"Bilder é/{image}.jpg", picture(drawn, index))
        save(folder / f"Masken é/{mask}.png", 255 * drawn.astype(np.uint8))
        labels[f"Bilder é/{image}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def mixed_endings(folder: Path) -> Truth:
    """Images from several cameras: endings in upper and lower case."""
    labels = {}
    for index, ending in enumerate((".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".PNG")):
        drawn = areas(index)
        save(folder / f"Images/IMG_{index:04}{ending}", picture(drawn, index))
        save(folder / f"Masks/IMG_{index:04}.{'PNG' if index % 2 else 'png'}", 255 * drawn.astype(np.uint8))
        labels[f"Images/IMG_{index:04}{ending}"] = drawn
    return Truth(task="binary", labels=labels)


def other_machine(folder: Path) -> Truth:
    """A list with full paths of a Windows machine."""
    labels, rows = {}, ["image;mask"]
    for index in range(1, 7):
        drawn = areas(index)
        save(folder / f"shots/DSC{index:05}.JPG", picture(drawn, index))
        save(folder / f"drawn/result {7 - index}.png", 255 * drawn.astype(np.uint8))
        rows.append(
            f"C:\\Users\\me\\project\\shots\\DSC{index:05}.JPG;C:\\Users\\me\\project\\drawn\\result {7 - index}.png"
        )
        labels[f"shots/DSC{index:05}.JPG"] = drawn
    (folder / "list.csv").write_text("\r\n".join(rows) + "\r\n", encoding="utf-8-sig")
    return Truth(task="binary", labels=labels)


def relative_list(folder: Path) -> Truth:
    """A list with back slashes, its columns in other words, beside a column of patients."""
    labels, rows = {}, ["patient,image_path,mask_path"]
    for index in range(1, 9):
        drawn = areas(index)
        save(folder / f"p{index // 3}/us/{index}.png", picture(drawn, index, 1))
        save(folder / f"p{index // 3}/roi/r{9 - index}.png", 255 * drawn.astype(np.uint8))
        rows.append(f"p{index // 3},p{index // 3}\\us\\{index}.png,p{index // 3}\\roi\\r{9 - index}.png")
        labels[f"p{index // 3}/us/{index}.png"] = drawn
    text("index.csv", "\n".join(rows) + "\n")(folder)
    return Truth(task="binary", labels=labels)


def dates(folder: Path) -> Truth:
    """A folder per year, month and day, with images and masks in each."""
    labels = {}
    for place, day in enumerate(("2023/05/12", "2023/05/14", "2023/11/02")):
        for index in range(3):
            seed = 10 * place + index
            drawn = areas(seed)
            save(folder / f"{day}/images/cam{index}.png", picture(drawn, seed))
            save(folder / f"{day}/masks/cam{index}.png", 255 * drawn.astype(np.uint8))
            labels[f"{day}/images/cam{index}.png"] = drawn
    return Truth(task="binary", labels=labels)


def copied(folder: Path) -> Truth:
    """Copies of a file manager, of images and of masks."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index)
        for sign in ("", " (1)") if index == 2 else ("", " - Copy") if index == 3 else ("",):
            save(folder / f"images/field {index}{sign}.png", picture(drawn, index))
            save(folder / f"masks/field {index}{sign}.png", 255 * drawn.astype(np.uint8))
            labels[f"images/field {index}{sign}.png"] = drawn
    return Truth(task="binary", labels=labels)


def padded(folder: Path) -> Truth:
    """Numbers of images without zeros in front, those of masks with them."""
    labels = {}
    for index in range(1, 13):
        drawn = areas(index)
        save(folder / f"images/{index}.png", picture(drawn, index))
        save(folder / f"masks/{index:03}.png", 255 * drawn.astype(np.uint8))
        labels[f"images/{index}.png"] = drawn
    return Truth(task="binary", labels=labels)


def scattered(folder: Path) -> Truth:
    """A sub-folder of masks in each folder of images."""
    labels = {}
    for place in ("wall north", "wall south"):
        for index in range(4):
            seed = index + 10 * (place == "wall south")
            drawn = areas(seed)
            save(folder / f"{place}/{index:03}.jpg", picture(drawn, seed))
            save(folder / f"{place}/masks/{index:03}.png", 255 * drawn.astype(np.uint8))
            labels[f"{place}/{index:03}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def two_annotators(folder: Path) -> Truth:
    """Masks of two people: the user chooses."""
    labels = {}
    for index in range(1, 7):
        drawn, other = areas(index), np.roll(areas(index), 1, 0)
        save(folder / f"images/{index}.png", picture(drawn, index))
        save(folder / f"masks_anna/{index}.png", 255 * drawn.astype(np.uint8))
        save(folder / f"masks_ben/{index}.png", 255 * other.astype(np.uint8))
        labels[f"images/{index}.png"] = drawn
    return Truth(task="binary", labels=labels, options={"masks": "masks_anna"})


LEGEND = "Legend of the masks\n\nforest: 34,139,34\nwater: 0,0,255\nroad: 128,128,128\nbackground: 0,0,0\n"
LAND = {0: (0, 0, 0), 1: (34, 139, 34), 2: (0, 0, 255), 3: (128, 128, 128)}

SETS: dict[str, Draw] = {
    "files of systems": paired(
        ("images/{}.png", "masks/{}.png"),
        count=6,
        extra=together(
            binary_file("images/Thumbs.db"),
            binary_file("images/desktop.ini", b"[.ShellClassInfo]\r\n"),
            binary_file("masks/.DS_Store"),
            binary_file("images/._1.png"),
            binary_file("__MACOSX/images/._1.png"),
            binary_file("__MACOSX/._images"),
            binary_file("masks/~$notes.docx"),
            binary_file(".ipynb_checkpoints/images/1-checkpoint.png"),
            pictures(".ipynb_checkpoints/{}-checkpoint.png", 2),
            pictures("@eaDir/{}.png", 2),
            pictures("images/@eaDir/{}.png/SYNOPHOTO_THUMB_M.jpg", 6),
            pictures("masks/@eaDir/{}.png/SYNOPHOTO_THUMB_M.jpg", 6),
            pictures("#recycle/images/{}.png", 2),
            pictures("$RECYCLE.BIN/S-1-5-21/$R{}.png", 2),
        ),
    ),
    "decomposed accents": decomposed,
    "mixed endings": mixed_endings,
    "a list of another machine": other_machine,
    "a list with back slashes": relative_list,
    "folders of dates": dates,
    "copies of a file manager": copied,
    "padded numbers": padded,
    "masks below the images": scattered,
    "two annotators": two_annotators,
    "a legend": paired(
        ("img/tile {}.png", "labels/tile {}.png"),
        coding=LAND,
        kinds=3,
        count=5,
        extra=text("legend.txt", LEGEND),
        names=("forest", "water", "road"),
    ),
    "a legend as README": paired(
        ("images/{}.jpg", "masks/{}.png"),
        coding=LAND,
        kinds=3,
        count=5,
        extra=text("README.txt", "Tiles of 2021.\nColours: forest (34, 139, 34), water (0, 0, 255)\n"),
        options={"task": "multiclass"},
    ),
    "a legend as JSON": paired(
        ("images/{}.jpg", "masks/{}.png"),
        coding=LAND,
        kinds=3,
        count=5,
        extra=text(
            "classes.json",
            '{"background": [0, 0, 0], "forest": [34, 139, 34], "water": [0, 0, 255], "road": [128, 128, 128]}',
        ),
        names=("forest", "water", "road"),
    ),
    "a legend in hexadecimal": paired(
        ("images/{}.jpg", "masks/{}.png"),
        coding=LAND,
        kinds=3,
        count=5,
        extra=text(
            "colors.json", '{"#000000": "background", "#228B22": "forest", "#0000FF": "water", "#808080": "road"}'
        ),
        names=("forest", "water", "road"),
    ),
    "numbers in a text file": paired(
        ("images/{}.jpg", "masks/{}.png"),
        coding=numbers(3),
        kinds=3,
        count=5,
        extra=text("labels.txt", "0: background\n1: forest\n2: water\n3: road\n"),
        names=("forest", "water", "road"),
    ),
    "Image 1 and Mask 1": paired(("Image {}.jpg", "Mask {}.png"), count=6),
    "Images and Masks with numbers": paired(("Images/Image_{}.jpg", "Masks/Mask_{}.png"), count=12),
    "original and overlay": paired(("{}_original.png", "{}_binary.png"), count=5, extra=pictures("{}_overlay.png", 5)),
    "previews": paired(
        ("images/{}.png", "masks/{}.png"),
        count=5,
        extra=together(pictures("previews/{}.png", 5), pictures("thumbnails/{}.jpg", 5)),
    ),
    "suffix of an export": paired(("raw/{:03}.tif", "export/{:03}_Simple Segmentation.png"), count=5),
    "dots in names": paired(("imgs/2021.05.1{}.cam.png", "masks/2021.05.1{}.cam.mask.png"), count=5, coding=binary(1)),
    "masks as JPEG": paired(("data/img/{}.jpg", "data/msk/{}.jpg"), count=5),
    "german": paired(("Bilder/{}.png", "Masken/{}.png"), count=5),
    "french": paired(("images originales/{}.png", "masques/{}.png"), count=5),
    "spanish": paired(("imagenes/{}.png", "mascaras/{}.png"), count=5),
    "chinese": paired(("原图/{}.png", "标签/{}.png"), count=5),
    "split below": paired(
        ("images/train2021/{}.png", "masks/train2021/{}.png"),
        ("images/val2021/{}.png", "masks/val2021/{}.png"),
        splits={"train": 4, "val": 4},
    ),
    "backup of the masks": paired(
        ("images/{}.png", "masks/{}.png"),
        count=5,
        extra=pictures("masks_old/{}.png", 5, 1),
        options={"masks": "masks"},
    ),
}
