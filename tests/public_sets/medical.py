"""Imitations of public medical sets: endoscopy, skin, eyes, X-ray, ultrasound, MRI."""

from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import (
    Draw,
    Truth,
    areas,
    gray_as_rgb,
    numbers,
    paired,
    picture,
    pictures,
    text,
    together,
)


def ph2(folder: Path) -> Truth:
    """PH2 (Mendonça et al. 2013): a folder per image, with folders inside."""
    labels = {}
    for index in range(2, 7):
        name, drawn = f"IMD{index:03}", areas(index)
        place = f"PH2Dataset/PH2 Dataset images/{name}"
        save(folder / f"{place}/{name}_Dermoscopic_Image/{name}.bmp", picture(drawn, index))
        save(folder / f"{place}/{name}_lesion/{name}_lesion.bmp", 255 * drawn.astype(np.uint8))
        save(folder / f"{place}/{name}_roi/{name}_R1_Label3.bmp", 255 * np.roll(drawn, 3, 0).astype(np.uint8))
        labels[f"{place}/{name}_Dermoscopic_Image/{name}.bmp"] = drawn
    text("PH2Dataset/PH2_dataset.txt", "Name || Histological Diagnosis\n")(folder)
    options = {"images": "Dermoscopic_Image", "masks": "lesion"}  # what the message names
    return Truth(task="binary", labels=labels, options=options)


def busi(folder: Path) -> Truth:
    """BUSI (Al-Dhabyani et al. 2020): masks beside images, in folders of diagnoses."""
    labels = {}
    for place, kind in enumerate(("benign", "malignant", "normal")):
        for index in range(1, 5):
            seed = 10 * place + index
            drawn = areas(seed) * (kind != "normal")
            name = f"Dataset_BUSI_with_GT/{kind}/{kind} ({index})"
            save(folder / f"{name}.png", picture(drawn, seed))
            save(folder / f"{name}_mask.png", 255 * drawn.astype(np.uint8))
            labels[f"{name}.png"] = drawn
    return Truth(task="binary", labels=labels)


def lgg(folder: Path) -> Truth:
    """LGG MRI (Buda et al. 2019): a folder per patient, most slices without a tumour."""
    labels = {}
    for patient in range(4):
        name = f"TCGA_CS_494{patient}_1996090{patient}"
        for index in range(1, 6):
            seed = 10 * patient + index
            drawn = areas(seed) * (index == 3)
            path = f"lgg-mri-segmentation/kaggle_3m/{name}/{name}_{index}"
            save(folder / f"{path}.tif", picture(drawn, seed))
            save(folder / f"{path}_mask.tif", 255 * drawn.astype(np.uint8))
            labels[f"{path}.tif"] = drawn
    text("lgg-mri-segmentation/kaggle_3m/data.csv", "Patient,RNASeqCluster\nTCGA_CS_4941,2\n")(folder)
    return Truth(task="binary", labels=labels)


def montgomery(folder: Path) -> Truth:
    """Montgomery chest X-rays (Jaeger et al. 2014): a folder of masks per lung."""
    labels = {}
    for index in range(1, 6):
        name, drawn = f"MCUCXR_{index:04}_{index % 2}.png", areas(index, 2)
        save(folder / f"MontgomerySet/CXR_png/{name}", picture(drawn, index, 1))
        for number, side in enumerate(("leftMask", "rightMask"), 1):
            mask = 255 * (drawn == number).astype(np.uint8)
            save(folder / f"MontgomerySet/ManualMask/{side}/{name}", mask)
        labels[f"MontgomerySet/CXR_png/{name}"] = drawn
    text("MontgomerySet/ClinicalReadings/MCUCXR_0001_0.txt", "Patient's Sex: F\n")(folder)
    return Truth(task="multiclass", labels=labels, names=("leftMask", "rightMask"))


def idrid(folder: Path) -> Truth:
    """IDRiD (Porwal et al. 2018): numbered folders, a folder of masks per lesion; some images lack a lesion."""
    kinds = {"1. Microaneurysms": "MA", "2. Haemorrhages": "HE"}
    labels = {}
    for place, split in enumerate(("a. Training Set", "b. Testing Set")):
        for index in range(1, 5):
            seed = 10 * place + index
            drawn = areas(seed, 2)
            if index == 2:
                drawn[drawn == 2] = 0
            name = f"IDRiD_{seed:02}"
            image = f"A. Segmentation/1. Original Images/{split}/{name}.jpg"
            save(folder / image, picture(drawn, seed))
            for number, (kind, ending) in enumerate(kinds.items(), 1):
                if (drawn == number).any():
                    mask = 255 * (drawn == number).astype(np.uint8)
                    path = f"A. Segmentation/2. All Segmentation Groundtruths/{split}/{kind}/{name}_{ending}.tif"
                    save(folder / path, mask)
            labels[image] = drawn
    return Truth(task="multiclass", labels=labels, splits={"test": 4})


def chase(folder: Path) -> Truth:
    """CHASE_DB1 and its two observers."""
    labels = {}
    for index in range(1, 4):
        for side in "LR":
            seed = 2 * index + (side == "R")
            drawn = areas(seed)
            name = f"Image_{index:02}{side}"
            save(folder / f"{name}.jpg", picture(drawn, seed))
            save(folder / f"{name}_1stHO.png", 255 * drawn.astype(np.uint8))
            save(folder / f"{name}_2ndHO.png", 255 * np.roll(drawn, 1, 1).astype(np.uint8))
            labels[f"{name}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def stare(folder: Path) -> Truth:
    """STARE (Hoover et al. 2000)."""
    labels = {}
    for index in range(1, 5):
        drawn = areas(index)
        save(folder / f"stare-images/im{index:04}.ppm", picture(drawn, index))
        for observer, shift in (("ah", 0), ("vk", 1)):
            mask = 255 * np.roll(drawn, shift, 1).astype(np.uint8)
            save(folder / f"labels-{observer}/im{index:04}.{observer}.ppm", mask)
        labels[f"stare-images/im{index:04}.ppm"] = drawn
    return Truth(task="binary", labels=labels)


def clinic_db(folder: Path) -> Truth:
    """CVC-ClinicDB (Bernal et al. 2015) as it is packed on Kaggle: everything as PNG and as TIFF."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index)
        for kind in ("PNG", "TIF"):
            save(folder / f"{kind}/Original/{index}.{kind.lower()}", picture(drawn, index))
            save(folder / f"{kind}/Ground Truth/{index}.{kind.lower()}", 255 * drawn.astype(np.uint8))
            labels[f"{kind}/Original/{index}.{kind.lower()}"] = drawn
    text("metadata.csv", "frame_id,sequence_id,png_image_path,png_mask_path\n1,1,PNG/Original/1.png,PNG/GT/1.png\n")(
        folder
    )
    return Truth(task="binary", labels=labels)


SETS: dict[str, Draw] = {
    "Kvasir-SEG": paired(
        ("Kvasir-SEG/images/cju0q{:03}kwl.jpg", "Kvasir-SEG/masks/cju0q{:03}kwl.jpg"),
        coding=gray_as_rgb(),
        count=4,
        extra=text("Kvasir-SEG/kavsir_bboxes.json", '{"cju0q001kwl": {"height": 40, "width": 56, "bbox": []}}'),
    ),
    "CVC-ClinicDB": paired(("CVC-ClinicDB/Original/{}.tif", "CVC-ClinicDB/Ground Truth/{}.tif"), count=12),
    "CVC-ClinicDB, twice": clinic_db,
    "ETIS-Larib": paired(("ETIS-LaribPolypDB/images/{}.png", "ETIS-LaribPolypDB/masks/{}.png"), count=12),
    "polyps for PraNet": paired(
        ("TrainDataset/image/{}.png", "TrainDataset/mask/{}.png"),
        ("TestDataset/CVC-300/images/{}.png", "TestDataset/CVC-300/masks/{}.png"),
        ("TestDataset/Kvasir/images/cju{}.png", "TestDataset/Kvasir/masks/cju{}.png"),
        splits={"test": 8},
    ),
    "Kvasir-Instrument": paired(
        ("images/ck2395w2mb4vu07480otsu6tw{}.jpg", "masks/ck2395w2mb4vu07480otsu6tw{}.png"),
        count=4,
        extra=together(text("train.txt", "ck2395w2mb4vu07480otsu6tw1\n"), text("test.txt", "ck239\n")),
    ),
    "ISIC 2018": paired(
        (
            "ISIC2018_Task1-2_Training_Input/ISIC_{:07}.jpg",
            "ISIC2018_Task1_Training_GroundTruth/ISIC_{:07}_segmentation.png",
        ),
        (
            "ISIC2018_Task1-2_Validation_Input/ISIC_9{:06}.jpg",
            "ISIC2018_Task1_Validation_GroundTruth/ISIC_9{:06}_segmentation.png",
        ),
        splits={"train": 4, "val": 4},
        extra=text("ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt", "CC-0\n"),
    ),
    "ISIC 2017": paired(
        ("ISIC-2017_Training_Data/ISIC_{:07}.jpg", "ISIC-2017_Training_Part1_GroundTruth/ISIC_{:07}_segmentation.png"),
        count=4,
        extra=together(
            pictures("ISIC-2017_Training_Data/ISIC_{:07}_superpixels.png", 4),
            text("ISIC-2017_Training_Part3_GroundTruth.csv", "image_id,melanoma\nISIC_0000001,0.0\n"),
        ),
    ),
    "PH2": ph2,
    "DRIVE": paired(
        ("DRIVE/training/images/2{}_training.tif", "DRIVE/training/1st_manual/2{}_manual1.gif"),
        ("DRIVE/test/images/0{}_test.tif", "DRIVE/test/1st_manual/0{}_manual1.gif"),
        splits={"train": 3, "test": 4},
    ),
    "STARE": stare,
    "CHASE_DB1": chase,
    "HRF": paired(
        ("images/{:02}_h.jpg", "manual1/{:02}_h.tif"), ("images/{:02}_g.jpg", "manual1/{:02}_g.tif"), count=4
    ),
    "FIVES": paired(
        ("train/Original/{}_A.png", "train/Ground truth/{}_A.png"),
        ("test/Original/{}_G.png", "test/Ground truth/{}_G.png"),
        splits={"test": 4},
    ),
    "IDRiD": idrid,
    "REFUGE": paired(
        ("Training400/Glaucoma/g{:04}.jpg", "Annotation-Training400/Disc_Cup_Masks/Glaucoma/g{:04}.bmp"),
        ("Training400/Non-Glaucoma/n{:04}.jpg", "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma/n{:04}.bmp"),
        coding={0: 255, 1: 128, 2: 0},
        kinds=2,
    ),
    "BUSI": busi,
    "Montgomery": montgomery,
    "Shenzhen": paired(
        ("CXR_png/CHNCXR_{:04}_0.png", "mask/CHNCXR_{:04}_0_mask.png"),
        count=4,
        channels=1,
        extra=text("ClinicalReadings/CHNCXR_0001_0.txt", "male 45yrs\nnormal\n"),
    ),
    "COVID-19 radiography": paired(
        ("COVID/images/COVID-{}.png", "COVID/masks/COVID-{}.png"),
        ("Normal/images/Normal-{}.png", "Normal/masks/Normal-{}.png"),
        coding=gray_as_rgb(),
    ),
    "LGG MRI": lgg,
    "Figshare brain tumour": paired(("images/{}.png", "masks/{}.png"), count=12, channels=1),
    "chest X-ray masks": paired(
        ("Lung Segmentation/CXR_png/CHNCXR_{:04}_0.png", "Lung Segmentation/masks/CHNCXR_{:04}_0_mask.png"), count=4
    ),
    "HC18": paired(
        ("training_set/{:03}_HC.png", "training_set/{:03}_HC_Annotation.png"),
        count=4,
        channels=1,
        extra=text(
            "training_set_pixel_size_and_HC.csv",
            "filename,pixel size(mm),head circumference (mm)\n001_HC.png,0.06,44\n",
        ),
    ),
    "CAMUS as PNG": paired(
        ("patient000{0}/patient000{0}_2CH_ED.png", "patient000{0}/patient000{0}_2CH_ED_gt.png"),
        coding=numbers(3),
        kinds=3,
        channels=1,
        count=4,
    ),
    "ultrasound nerve": paired(("train/{}_1.tif", "train/{}_1_mask.tif"), count=4, channels=1),
    "dental X-ray": paired(("Images/{}.jpg", "Labels/{}.png"), coding=numbers(2), kinds=2, count=4),
}
