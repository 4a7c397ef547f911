"""Layouts with a folder per case, as people and programs make them, and names in one folder."""

from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import (
    Draw,
    Truth,
    areas,
    binary,
    cells,
    numbers,
    paired,
    picture,
    pictures,
    text,
    together,
)

CLASSES_CSV = "Pixel Value, Class\n0, background\n1, crack\n"


def one_file_per_class(image: str, mask: str, names: tuple[str, str] = ("iris", "pupil")) -> Draw:
    """A binary mask per class, under the name of the class."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for index in range(1, 7):
            drawn = areas(index, 2)
            save(folder / image.format(index), picture(drawn, index))
            for kind, name in enumerate(names, 1):
                save(folder / mask.format(index, name), 255 * (drawn == kind).astype(np.uint8))
            labels[image.format(index)] = drawn
        return Truth(task="multiclass", labels=labels, names=names)

    return draw


def objects_beside(folder: Path) -> Truth:
    """A folder per image, with the image and a mask per object beside it."""
    labels = {}
    for index in range(1, 7):
        drawn = cells(index)
        save(folder / f"img{index}/img{index}.jpg", picture(drawn > 0, index))
        for number in range(1, int(drawn.max()) + 1):
            mask = 255 * (drawn == number).astype(np.uint8)
            save(folder / f"img{index}/img{index}-mask-{number:02}.png", mask)
        labels[f"img{index}/img{index}.jpg"] = drawn
    return Truth(task="instance", labels=labels)


def coloured_beside(folder: Path) -> Truth:
    """A folder per case with class numbers, and the same in colours."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index, 2)
        save(folder / f"{index}/rgb.png", picture(drawn, index))
        save(folder / f"{index}/class.png", drawn.astype(np.uint8))
        save(folder / f"{index}/class_color.png", np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)[drawn])
        labels[f"{index}/rgb.png"] = drawn
    return Truth(task="multiclass", labels=labels)


def splits_at_the_end(folder: Path) -> Truth:
    """Names that end in their split, with the suffix of a mask after it."""
    labels = {}
    for index, split in enumerate(("training",) * 5 + ("validation",) * 2 + ("testing",) * 2):
        drawn = areas(index)
        save(folder / f"img_{index:03}_{split}.png", picture(drawn, index))
        save(folder / f"img_{index:03}_{split}_gt.png", 255 * drawn.astype(np.uint8))
        labels[f"img_{index:03}_{split}.png"] = drawn
    return Truth(task="binary", labels=labels, splits={"train": 5, "val": 2, "test": 2})


SETS: dict[str, Draw] = {
    "class before the name": one_file_per_class("img/{0:03}.png", "masks/{1}_{0:03}.png"),
    "class after the name": one_file_per_class("img/{0:03}.png", "masks/{0:03}_{1}.png"),
    "class files in case folders": one_file_per_class("case{0}/photo.png", "case{0}/{1}.png"),
    "objects beside their image": objects_beside,
    "colours beside numbers": coloured_beside,
    "splits end names": splits_at_the_end,
    "image and mask": paired(("case{0}/image.png", "case{0}/mask.png"), count=4),
    "img and label": paired(
        ("p{0}_json/img.png", "p{0}_json/label.png"),
        count=4,
        coding=numbers(2),
        kinds=2,
        extra=together(pictures("p{0}_json/label_viz.png", 4), text("p1_json/label_names.txt", "_background_\ncat\n")),
    ),
    "named as the case": paired(("case{0}/case{0}_image.png", "case{0}/case{0}_mask.png"), count=4),
    "image of the case": paired(("case{0}/case{0}.png", "case{0}/case{0}_seg.png"), count=4),
    "original and ground truth": paired(("case{0}/original.png", "case{0}/ground_truth.png"), count=4),
    "scan and segmentation": paired(("patient{0}/scan.png", "patient{0}/segmentation.png"), count=4),
    "two folders of one name": paired(("images/case{0}/image.png", "masks/case{0}/mask.png"), count=4),
    "two folders, number": paired(("images/case{0}/0.png", "masks/case{0}/0.png"), count=4),
    "masks flat": paired(("images/case{0}/case{0}.png", "masks/case{0}.png"), count=4),
    "numbers with prefixes": paired(
        ("case1/img_{:03}.png", "case1/seg_{:03}.png"), ("case2/img_{:03}.png", "case2/seg_{:03}.png")
    ),
    "raw and gt": paired(("s1/raw/a{}.png", "s1/gt/a{}.png"), ("s2/raw/a{}.png", "s2/gt/a{}.png")),
    "scan and annotation folders": paired(
        ("subject1/scan/{}.png", "subject1/annotation/{}.png"), ("subject2/scan/{}.png", "subject2/annotation/{}.png")
    ),
    "by the pixels": paired(("{0}/slice.png", "{0}/lesion.png"), count=4),
    "by the pixels, words": paired(("case{0}/photo.jpg", "case{0}/crack.png"), count=4),
    "image_1 and label_1": paired(("case{0}/image_{0}.png", "case{0}/label_{0}.png"), count=4),
    "gt of the number": paired(("set/{:04}.png", "set/{:04}-gt.png"), count=4),
    "label in front": paired(("set/im{}.png", "set/label_im{}.png"), count=4),
    "x and y": paired(("x/{}.png", "y/{}.png"), count=4),
    "train_x and train_y": paired(
        ("train_x/{}.png", "train_y/{}.png"), ("test_x/{}.png", "test_y/{}.png"), splits={"train": 3, "test": 4}
    ),
    "inputs and targets": paired(("inputs/{}.png", "targets/{}.png"), count=4),
    "X_train": paired(
        ("data/train/image/{}.png", "data/train/label/{}.png"), ("data/test/{}.png", None), count=4, channels=1
    ),
    "Roboflow": paired(
        ("train/a{}_jpg.rf.0f3c1b2a9d.jpg", "train/a{}_jpg.rf.0f3c1b2a9d_mask.png"),
        ("valid/b{}_jpg.rf.0f3c1b2a9d.jpg", "valid/b{}_jpg.rf.0f3c1b2a9d_mask.png"),
        coding=binary(1),
        splits={"train": 4, "val": 4},
        names=("background", "crack"),
        extra=together(text("train/_classes.csv", CLASSES_CSV), text("valid/_classes.csv", CLASSES_CSV)),
    ),
    "Roboflow, other hashes": paired(
        ("train/a{}_jpg.rf.0f3c1b2a9d.jpg", "train/a{}_jpg.rf.77aa1b2a9d_mask.png"),
        coding=binary(1),
        count=4,
        names=("background", "crack"),
        extra=text("train/_classes.csv", CLASSES_CSV),
    ),
    "Roboflow, folders": paired(("images/a{0}_jpg.rf.0f3c1b2a9d.jpg", "masks/a{0}_jpg.rf.77aa1b2a{0}d.png"), count=4),
}
