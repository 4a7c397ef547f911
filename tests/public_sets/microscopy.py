"""Imitations of public sets of microscopy: nuclei, cells, tissue, electron microscopy."""

from pathlib import Path

import numpy as np
import tifffile

from drawn import save
from public_sets.drawing import (
    SIZE,
    Draw,
    Truth,
    areas,
    binary,
    cells,
    numbers,
    objects,
    paired,
    picture,
    pictures,
    text,
    together,
)


def glas(folder: Path) -> Truth:
    """GlaS (Sirinukunwattana et al. 2017): the split begins the name of each file."""
    labels, place = {}, "Warwick QU Dataset (Released 2016_07_08)"
    for part, count in (("train", 6), ("testA", 3), ("testB", 2)):
        for index in range(1, count + 1):
            seed = index + 10 * len(labels)
            drawn = cells(seed)
            save(folder / f"{place}/{part}_{index}.bmp", picture(drawn > 0, seed))
            save(folder / f"{place}/{part}_{index}_anno.bmp", drawn.astype(np.uint8))
            labels[f"{place}/{part}_{index}.bmp"] = drawn
    text(
        f"{place}/Grade.csv", "name,patient ID,grade (GlaS),grade (Sirinukunwattana et al. 2015)\ntestA_1,5,benign,1\n"
    )(folder)
    return Truth(task="instance", labels=labels, splits={"train": 5, "val": 1, "test": 5})


def crag(folder: Path) -> Truth:
    """CRAG (Graham et al. 2019)."""
    labels = {}
    for part in ("train", "valid"):
        for index in range(1, 6):
            seed = index + 10 * (part == "valid")
            drawn = cells(seed)
            save(folder / f"CRAG/{part}/Images/{part}_{index}.png", picture(drawn > 0, seed))
            save(folder / f"CRAG/{part}/Annotation/{part}_{index}.png", drawn.astype(np.uint8))
            save(folder / f"CRAG/{part}/Overlay/{part}_{index}.png", picture(drawn, seed + 50))
            labels[f"CRAG/{part}/Images/{part}_{index}.png"] = drawn
    return Truth(task="instance", labels=labels, splits={"train": 5, "val": 5})


def tnbc(folder: Path) -> Truth:
    """TNBC (Naylor et al. 2018): a folder of images and one of masks per patient."""
    labels = {}
    for patient in range(1, 5):
        for index in range(1, 4):
            seed = 10 * patient + index
            drawn = areas(seed)
            save(folder / f"Slide_{patient:02}/{patient:02}_{index}.png", picture(drawn > 0, seed))
            save(folder / f"GT_{patient:02}/{patient:02}_{index}.png", 255 * drawn.astype(np.uint8))
            labels[f"Slide_{patient:02}/{patient:02}_{index}.png"] = drawn
    return Truth(task="binary", labels=labels)


def neurips(folder: Path) -> Truth:
    """NeurIPS 2022 cell segmentation (Ma et al. 2024): images of all kinds, labels as TIFF."""
    labels = {}
    for index, ending in enumerate(("bmp", "png", "tif", "jpg", "png", "tif"), 1):
        drawn = cells(index)
        save(folder / f"Training-labeled/images/cell_{index:05}.{ending}", picture(drawn > 0, index))
        save(folder / f"Training-labeled/labels/cell_{index:05}_label.tiff", drawn.astype(np.uint16))
        labels[f"Training-labeled/images/cell_{index:05}.{ending}"] = drawn
    return Truth(task="instance", labels=labels)


def bbbc039(folder: Path) -> Truth:
    """BBBC039: numbers in the red channel of RGBA masks, and lists of names per split."""
    labels = {}
    for index in range(1, 7):
        name, drawn = f"IXMtest_A{index:02}_s1_w1051DAA7C-7042-435F-99F0-1E847D9B42C{index}", cells(index)
        save(folder / f"images/{name}.tif", picture(drawn > 0, index, 1).astype(np.uint16) * 40)
        mask = np.zeros((*SIZE, 4), np.uint8)
        mask[..., 0], mask[..., 3] = drawn, 255
        save(folder / f"masks/{name}.png", mask)
        labels[f"images/{name}.tif"] = drawn
    text("metadata/training.txt", "IXMtest_A01_s1.png\n")(folder)
    return Truth(task="instance", labels=labels)


def bbbc006(folder: Path) -> Truth:
    """BBBC006: names of images end in an identifier that the labels lack."""
    labels = {}
    for index in range(1, 7):
        name, drawn = f"mcf-z-stacks-03212011_a{index:02}_s1", cells(index)
        image = f"BBBC006_v1_images_z_16/{name}_w1a1c0d6ff-3f5a-47c5-9b3f-fa2b2f2f3c4{index}.tif"
        save(folder / image, picture(drawn > 0, index, 1).astype(np.uint16) * 9)
        save(folder / f"BBBC006_v1_labels/{name}.png", drawn.astype(np.uint16))
        labels[image] = drawn
    return Truth(task="instance", labels=labels)


def cellpose(folder: Path) -> Truth:
    """The training data of Cellpose (Stringer et al. 2021)."""
    labels = {}
    for part in ("train", "test"):
        for index in range(6):
            seed = index + 10 * (part == "test")
            drawn = cells(seed)
            save(folder / f"{part}/{index:03}_img.png", picture(drawn > 0, seed))
            save(folder / f"{part}/{index:03}_masks.png", drawn.astype(np.uint16))
            labels[f"{part}/{index:03}_img.png"] = drawn
    return Truth(task="instance", labels=labels, splits={"train": 5, "val": 1, "test": 6})


def stacks(folder: Path, image: str, mask: str, drawn: np.ndarray, dtype: type, seed: int) -> None:
    """Write an image stack and a label stack."""
    (folder / image).parent.mkdir(parents=True, exist_ok=True)
    pages = np.stack([picture(plane, seed + index, 1) for index, plane in enumerate(drawn)])
    tifffile.imwrite(folder / image, pages, photometric="minisblack", metadata=None)
    tifffile.imwrite(folder / mask, drawn.astype(dtype), photometric="minisblack", metadata=None)


def lucchi(folder: Path) -> Truth:
    """EPFL electron microscopy (Lucchi et al. 2013): a stack of pages for training, and one for testing."""
    labels = {}
    for place, part in enumerate(("training", "testing")):
        drawn = np.stack([areas(10 * place + index) for index in range(6)])
        stacks(folder, f"{part}.tif", f"{part}_groundtruth.tif", 255 * drawn, np.uint8, 10 * place)
        labels |= {f"{part}.tif/{index}": plane for index, plane in enumerate(drawn)}
    return Truth(task="binary", labels=labels, splits={"test": 6})


def isbi2012(folder: Path) -> Truth:
    """ISBI 2012 (Arganda-Carreras et al. 2015): stacks, the test stack without labels; membranes are 0."""
    drawn = np.stack([areas(index) for index in range(8)])
    stacks(folder, "train-volume.tif", "train-labels.tif", 255 * drawn, np.uint8, 0)
    pages = np.stack([picture(areas(50 + index), 50 + index, 1) for index in range(8)])
    tifffile.imwrite(folder / "test-volume.tif", pages, photometric="minisblack", metadata=None)
    return Truth(task="binary", labels={f"train-volume.tif/{index}": plane for index, plane in enumerate(drawn)})


def stack_per_case(folder: Path) -> Truth:
    """A stack of images and one of labels for each recording, in two folders."""
    labels = {}
    for case in range(3):
        drawn = np.stack([areas(10 * case + index) for index in range(4)])
        stacks_folder = folder / "labels"
        stacks_folder.mkdir(exist_ok=True)
        stacks(folder, f"images/rec{case}.tif", f"labels/rec{case}.tif", drawn, np.uint8, 10 * case)
        labels |= {f"images/rec{case}.tif/{index}": plane for index, plane in enumerate(drawn)}
    return Truth(task="binary", labels=labels, options={"format": "pages"})


def phc_gfp(folder: Path) -> Truth:
    """Omnipose (Cutler et al. 2022): masks and flows beside the images."""
    labels = {}
    for index in range(6):
        drawn = cells(index)
        save(folder / f"bact_phase/train_sorted/A22/{index}.tif", picture(drawn > 0, index, 1))
        save(folder / f"bact_phase/train_sorted/A22/{index}_masks.tif", drawn.astype(np.uint16))
        save(folder / f"bact_phase/train_sorted/A22/{index}_flows.tif", picture(drawn, index + 9, 1))
        labels[f"bact_phase/train_sorted/A22/{index}.tif"] = drawn
    return Truth(task="instance", labels=labels)


def nuinsseg(folder: Path) -> Truth:
    """NuInsSeg (Mahbod et al. 2024): many kinds of masks per organ; the user chooses."""
    labels = {}
    for organ in ("human bladder", "mouse liver"):
        for index in range(1, 4):
            seed, name = index + 10 * (organ != "human bladder"), f"{organ.replace(' ', '_')}_{index:02}"
            drawn = cells(seed)
            save(folder / f"{organ}/tissue images/{name}.png", picture(drawn > 0, seed))
            save(folder / f"{organ}/mask binary/{name}.png", 255 * (drawn > 0).astype(np.uint8))
            save(folder / f"{organ}/mask binary without border/{name}.png", 255 * (drawn > 1).astype(np.uint8))
            save(folder / f"{organ}/label masks/{name}.tif", drawn.astype(np.uint16))
            save(folder / f"{organ}/label masks modify/{name}.tif", drawn.astype(np.uint16))
            save(folder / f"{organ}/overlay/{name}.png", picture(drawn, seed + 40))
            labels[f"{organ}/tissue images/{name}.png"] = drawn
    return Truth(task="instance", labels=labels, options={"images": "tissue images", "masks": "label masks modify"})


def cvppp(folder: Path) -> Truth:
    """CVPPP leaves (Minervini et al. 2016): leaves, foreground and centres beside each image."""
    labels = {}
    for place in ("A1", "A2"):
        for index in range(1, 5):
            seed = index + 10 * (place == "A2")
            drawn, name = cells(seed), f"{place}/plant{index:03}"
            save(folder / f"{name}_rgb.png", picture(drawn > 0, seed))
            save(folder / f"{name}_label.png", drawn.astype(np.uint8))
            save(folder / f"{name}_fg.png", 255 * (drawn > 0).astype(np.uint8))
            save(folder / f"{name}_centers.png", (255 * (np.diff(drawn, axis=0, prepend=0) > 0)).astype(np.uint8))
            labels[f"{name}_rgb.png"] = drawn
    return Truth(task="instance", labels=labels)


def panoptils(folder: Path) -> Truth:
    """A folder per patient with images, masks and overlays as files of the same names."""
    labels = {}
    for patient in range(1, 5):
        for index in range(1, 4):
            seed = 10 * patient + index
            drawn = areas(seed, 3)
            save(folder / f"patient{patient}/rgb/roi{index}.png", picture(drawn > 0, seed))
            save(folder / f"patient{patient}/masks/roi{index}.png", drawn.astype(np.uint8))
            labels[f"patient{patient}/rgb/roi{index}.png"] = drawn
    return Truth(task="multiclass", labels=labels)


SETS: dict[str, Draw] = {
    "GlaS": glas,
    "CRAG": crag,
    "TNBC": tnbc,
    "NeurIPS CellSeg": neurips,
    "BBBC039": bbbc039,
    "BBBC006": bbbc006,
    "Cellpose": cellpose,
    "Omnipose": phc_gfp,
    "NuInsSeg": nuinsseg,
    "CVPPP": cvppp,
    "regions of patients": panoptils,
    "EPFL EM": lucchi,
    "ISBI 2012": isbi2012,
    "a stack per recording": stack_per_case,
    "StarDist DSB2018": objects("dsb2018/train/images/a{}.tif", "dsb2018/train/masks/a{}.tif"),
    "S-BSST265": objects(
        "rawimages/Ganglioneuroblastoma_{}.tif",
        "groundtruth/Ganglioneuroblastoma_{}.tif",
        extra=together(
            pictures("visualized_groundtruth/Ganglioneuroblastoma_{}.tif", 5),
            text("groundtruth_svgs/Ganglioneuroblastoma_1.svg", "<svg/>"),
            text("image_description.csv", "Image_Name;Magnification\nGanglioneuroblastoma_1;10x\n"),
        ),
    ),
    "YeaZ": objects("images/pos{}_im.tif", "masks/pos{}_mask.tif"),
    "CryoNuSeg": objects(
        "tissue images/Human_AdrenalGland_{:02}.tif", "Annotator 1/label masks/Human_AdrenalGland_{:02}.tif", channels=3
    ),
    "MitoEM slices": objects("im/im{:04}.png", "mito/seg{:04}.tif"),
    "BBBC020": paired(("images/jw-1h {}_c5.TIF", "masks/jw-1h {}_c5.TIF"), count=4, channels=1),
    "embryo": paired(("raw/{}.png", "label/{}_label.png"), coding=numbers(3), kinds=3, count=4, channels=1),
    "WBC": paired(("Dataset 1/{:03}.bmp", "Dataset 1/{:03}.png"), coding={0: 0, 1: 128, 2: 255}, kinds=2, count=4),
    "blood cells": paired(("original/{}.png", "mask/{}.png"), count=4, coding=binary(1)),
}
