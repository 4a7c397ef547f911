"""Imitations of public sets of cracks and of defects of products."""

from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import Draw, Truth, areas, binary, gray_as_rgb, numbers, paired, picture, text


def dagm(folder: Path) -> Truth:
    """DAGM 2007: labels of defective images alone; the others have no defect."""
    labels = {}
    for kind in (1, 2):
        for part in ("Train", "Test"):
            for index in range(1, 7):
                seed = 100 * kind + 10 * (part == "Test") + index
                drawn, place = areas(seed) * (index < 3), f"DAGM_KaggleUpload/Class{kind}/{part}"
                save(folder / f"{place}/{seed:04}.PNG", picture(drawn, seed, 1))
                if index < 3:
                    save(folder / f"{place}/Label/{seed:04}_label.PNG", 255 * drawn.astype(np.uint8))
                text(f"{place}/Label/Labels.txt", "1\n0001\t0\t0001.PNG\t0\t0\n")(folder)
                labels[f"{place}/{seed:04}.PNG"] = drawn
    return Truth(task="binary", labels=labels, splits={"test": 12}, options={"missing_empty": True})


def kolektor(folder: Path) -> Truth:
    """KolektorSDD (Tabernik et al. 2019): a folder per item."""
    labels = {}
    for item in range(1, 5):
        for index in range(3):
            seed = 10 * item + index
            drawn = areas(seed) * (index == 1)
            save(folder / f"kos{item:02}/Part{index}.jpg", picture(drawn, seed, 1))
            save(folder / f"kos{item:02}/Part{index}_label.bmp", 255 * drawn.astype(np.uint8))
            labels[f"kos{item:02}/Part{index}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def magnetic_tiles(folder: Path) -> Truth:
    """Magnetic tile defects (Huang et al. 2018): a folder per defect, masks beside the images."""
    labels = {}
    for place, kind in enumerate(("MT_Blowhole", "MT_Crack", "MT_Free")):
        for index in range(1, 5):
            seed = 10 * place + index
            drawn, name = areas(seed) * (kind != "MT_Free"), f"{kind}/Imgs/exp1_num_{seed}"
            save(folder / f"{name}.jpg", picture(drawn, seed, 1))
            save(folder / f"{name}.png", 255 * drawn.astype(np.uint8))
            labels[f"{name}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def visa(folder: Path) -> Truth:
    """VisA (Zou et al. 2022): normal and anomalous images, masks of the latter."""
    labels = {}
    for item in ("candle", "pcb1"):
        for index in range(6):
            seed = index + 10 * (item == "pcb1")
            kind, drawn = ("Anomaly", areas(seed)) if index < 3 else ("Normal", 0 * areas(seed))
            save(folder / f"{item}/Data/Images/{kind}/{index:03}.JPG", picture(drawn, seed))
            if index < 3:
                save(folder / f"{item}/Data/Masks/Anomaly/{index:03}.png", drawn.astype(np.uint8))
            labels[f"{item}/Data/Images/{kind}/{index:03}.JPG"] = drawn
        rows = "".join(
            f"{item}/Data/Images/Anomaly/{i:03}.JPG,bent,{item}/Data/Masks/Anomaly/{i:03}.png\n" for i in range(3)
        )
        text(f"{item}/image_anno.csv", f"image,label,mask\n{rows}")(folder)
    return Truth(task="binary", labels=labels)


def crack500(folder: Path) -> Truth:
    """Crack500 (Yang et al. 2019): masks beside the images, lists of pairs."""
    labels, rows = {}, {"train": [], "val": [], "test": []}
    for place, part in enumerate(rows):
        for index in range(4):
            seed = 10 * place + index
            drawn, name = areas(seed), f"{part}crop/20160222_08{seed:04}_1_361"
            save(folder / f"{name}.jpg", picture(drawn, seed))
            save(folder / f"{name}.png", 255 * drawn.astype(np.uint8))
            rows[part].append(f"{name}.jpg {name}.png")
            labels[f"{name}.jpg"] = drawn
    for part, lines in rows.items():
        text(f"{part}.txt", "\n".join(lines) + "\n")(folder)
    return Truth(task="binary", labels=labels, splits={"train": 4, "val": 4, "test": 4})


def aitex(folder: Path) -> Truth:
    """AITEX fabrics (Silvestre-Blanes et al. 2019): a few images have two masks."""
    labels = {}
    for index in range(1, 9):
        drawn, name = areas(index), f"{index:04}_002_00"
        save(folder / f"Defect_images/{name}.png", picture(drawn, index, 1))
        if index == 1:
            for number, part in ((1, drawn * (np.arange(56) < 28)), (2, drawn * (np.arange(56) >= 28))):
                save(folder / f"Mask_images/{name}_mask{number}.png", 255 * part.astype(np.uint8))
        else:
            save(folder / f"Mask_images/{name}_mask.png", 255 * drawn.astype(np.uint8))
        labels[f"Defect_images/{name}.png"] = drawn
    return Truth(task="binary", labels=labels)


SETS: dict[str, Draw] = {
    "DeepCrack": paired(
        ("train_img/7{}.jpg", "train_lab/7{}.png"), ("test_img/11{}.jpg", "test_lab/11{}.png"), splits={"test": 4}
    ),
    "Crack500": crack500,
    "Özgenel": paired(
        ("concreteCrackSegmentationDataset/rgb/{:03}.jpg", "concreteCrackSegmentationDataset/BW/{:03}.jpg"), count=4
    ),
    "CFD as pictures": paired(("cfd_image/{:03}.jpg", "seg_gt/{:03}.png"), count=4),
    "CrackTree": paired(("image/{}.jpg", "gt/{}.bmp"), count=12),
    "GAPs384": paired(("croppedimg/train_0{}_1_1.jpg", "croppedgt/train_0{}_1_1.png"), count=4),
    "EUGEN Müller": paired(("ORIGINAL_IMAGES/w{}.png", "GROUND_TRUTH/w{}.png"), coding=gray_as_rgb(), count=4),
    "DAGM": dagm,
    "KolektorSDD": kolektor,
    "KolektorSDD2": paired(
        ("train/1{:04}.png", "train/1{:04}_GT.png"), ("test/2{:04}.png", "test/2{:04}_GT.png"), splits={"test": 4}
    ),
    "NEU-seg": paired(
        ("NEU_Seg-main/images/training/{:06}.jpg", "NEU_Seg-main/annotations/training/{:06}.png"),
        ("NEU_Seg-main/images/test/{:06}.jpg", "NEU_Seg-main/annotations/test/{:06}.png"),
        coding=numbers(3),
        kinds=3,
        splits={"test": 4},
    ),
    "magnetic tiles": magnetic_tiles,
    "VisA": visa,
    "RSDDs": paired(
        ("Type-I RSDDs dataset/Rail surface images/rail_{}.jpg", "Type-I RSDDs dataset/GroundTruth/rail_{}.jpg"),
        count=4,
        channels=1,
    ),
    "AITEX": aitex,
    "MSD screens": paired(("oil/Oil_{:04}.jpg", "ground_truth_1/Oil_{:04}.png"), count=4, coding=binary(1)),
    "solar cells": paired(("images/img_{}.png", "masks/img_{}.png"), coding=numbers(4), kinds=4, count=4, channels=1),
}
