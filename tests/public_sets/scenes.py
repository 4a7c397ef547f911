"""Imitations of public sets of photographs: streets, objects, animals, plants, under water."""

from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import (
    Draw,
    Truth,
    areas,
    binary,
    code,
    gray_as_rgb,
    numbers,
    paired,
    picture,
    text,
    together,
)

CAMVID = {0: (0, 0, 0), 1: (64, 128, 64), 2: (192, 0, 128), 3: (0, 128, 192)}
CAMVID_TABLE = "64 128 64\tAnimal\n192 0 128\t\tArchway\n0 128 192\tBicyclist\n0 0 0\t\tVoid\n"
SUIM = {0: (0, 0, 0), 1: (0, 0, 255), 2: (0, 255, 0), 3: (255, 255, 0), 4: (255, 0, 255)}
BASE = "ADEChallengeData2016"


def voc_palette(image: np.ndarray, path: Path) -> None:
    """Save indices with a palette of bright colours."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    indexed = Image.fromarray(image.astype(np.uint8), mode="P")
    colours = [(index * 67 % 256, index * 131 % 256, index * 29 % 256) for index in range(256)]
    indexed.putpalette([channel for colour in colours for channel in colour])
    indexed.save(path)


def oxford_pet(folder: Path) -> Truth:
    """Oxford-IIIT Pet (Parkhi et al. 2012): 1 is the animal, 2 the background, 3 the border."""
    labels = {}
    for index in range(1, 7):
        drawn, name = areas(index, 2), f"{'Abyssinian' if index % 2 else 'beagle'}_{index}"
        save(folder / f"images/{name}.jpg", picture(drawn, index))
        save(folder / f"annotations/trimaps/{name}.png", np.array([2, 1, 3], np.uint8)[drawn])
        text(f"annotations/trimaps/._{name}.png", "\x00\x05\x16\x07")(folder)
        box = (
            f"<annotation><filename>{name}.jpg</filename><object><bndbox><xmin>1</xmin></bndbox></object></annotation>"
        )
        text(f"annotations/xmls/{name}.xml", box)(folder)
        labels[f"images/{name}.jpg"] = drawn
    text("annotations/trainval.txt", "Abyssinian_1 1 1 1\n")(folder)
    text("annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\n")(folder)
    return Truth(task="multiclass", labels=labels)


def carvana(folder: Path) -> Truth:
    """Carvana (Kaggle 2017): masks as GIF, and the same as run lengths in a table."""
    draw = paired(
        ("train/fff9b3a537{:02}_16.jpg", "train_masks/fff9b3a537{:02}_16_mask.gif"),
        ("test/0004d4463b{:02}_01.jpg", None),
        count=4,
        extra=together(
            text("train_masks.csv", "img,rle_mask\nfff9b3a53701_16.jpg,5 3\n"),
            text("metadata.csv", "id,year,make\nfff9b3a537,2016,Ford\n"),
        ),
    )
    return draw(folder)


def davis(folder: Path) -> Truth:
    """DAVIS 2017 (Pont-Tuset et al. 2017): objects of a video keep their numbers."""
    labels = {}
    for video in ("bear", "camel", "dance", "gold"):
        for index in range(4):
            seed = len(labels)
            drawn = areas(seed, 2)
            save(folder / f"DAVIS/JPEGImages/480p/{video}/{index:05}.jpg", picture(drawn, seed))
            voc_palette(drawn, folder / f"DAVIS/Annotations/480p/{video}/{index:05}.png")
            labels[f"DAVIS/JPEGImages/480p/{video}/{index:05}.jpg"] = drawn
    text("DAVIS/ImageSets/2017/train.txt", "bear\n")(folder)
    return Truth(task="multiclass", labels=labels)


def cub(folder: Path) -> Truth:
    """CUB-200-2011 segmentations: a folder per species on both sides."""
    labels = {}
    for species in ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"):
        for index in range(1, 4):
            seed, name = len(labels), f"{species}/{species[4:]}_{index:04}_79{index}"
            drawn = areas(seed)
            save(folder / f"images/{name}.jpg", picture(drawn, seed))
            save(folder / f"segmentations/{name}.png", 255 * drawn.astype(np.uint8))
            labels[f"images/{name}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def fish(folder: Path) -> Truth:
    """A large-scale fish dataset (Ulucan et al. 2020): folders called GT beside the images of each species."""
    labels = {}
    for species in ("Red Mullet", "Shrimp", "Trout"):
        for index in range(1, 5):
            seed = len(labels)
            drawn, place = areas(seed), f"Fish_Dataset/{species}"
            save(folder / f"{place}/{species}/{index:05}.png", picture(drawn, seed))
            save(folder / f"{place}/{species} GT/{index:05}.png", 255 * drawn.astype(np.uint8))
            labels[f"{place}/{species}/{index:05}.png"] = drawn
    return Truth(task="binary", labels=labels)


def kitti(folder: Path) -> Truth:
    """KITTI semantics (Alhaija et al. 2018): several kinds of truth beside the images."""
    labels = {}
    for index in range(8):
        drawn, name = areas(index, 3), f"{index:06}_10.png"
        save(folder / f"training/image_2/{name}", picture(drawn, index))
        save(folder / f"training/semantic/{name}", np.array([7, 8, 11, 26], np.uint8)[drawn])
        save(folder / f"training/semantic_rgb/{name}", code(drawn, CAMVID))
        save(folder / f"training/instance/{name}", (256 * drawn).astype(np.uint16))
        save(folder / f"testing/image_2/{name}", picture(drawn, index + 50))
        labels[f"training/image_2/{name}"] = drawn
    return Truth(task="multiclass", labels=labels, options={"images": "image_2", "masks": "semantic"})


def mapillary(folder: Path) -> Truth:
    """Mapillary Vistas (Neuhold et al. 2017): labels, instances and panoptic pictures."""
    labels = {}
    for part in ("training", "validation"):
        for index in range(4):
            seed, name = index + 10 * (part == "validation"), f"{part[0]}Qx{index}9_a"
            drawn = areas(seed, 3)
            save(folder / f"{part}/images/{name}.jpg", picture(drawn, seed))
            voc_palette(drawn, folder / f"{part}/labels/{name}.png")
            save(folder / f"{part}/instances/{name}.png", (256 * drawn).astype(np.uint16))
            save(folder / f"{part}/panoptic/{name}.png", code(drawn, CAMVID))
            labels[f"{part}/images/{name}.jpg"] = drawn
    return Truth(task="multiclass", labels=labels, splits={"train": 4, "val": 4})


def bdd(folder: Path) -> Truth:
    """BDD100K semantic segmentation (Yu et al. 2020), first release: names with the kind of file."""
    labels = {}
    for part in ("train", "val"):
        for index in range(4):
            seed, name = index + 10 * (part == "val"), f"{part[0]}0a0a0b1a-7c39d84{index}"
            drawn = areas(seed, 3)
            save(folder / f"bdd100k/seg/images/{part}/{name}.jpg", picture(drawn, seed))
            save(folder / f"bdd100k/seg/labels/{part}/{name}_train_id.png", drawn.astype(np.uint8))
            save(folder / f"bdd100k/seg/color_labels/{part}/{name}_train_color.png", code(drawn, CAMVID))
            labels[f"bdd100k/seg/images/{part}/{name}.jpg"] = drawn
    return Truth(task="multiclass", labels=labels, splits={"train": 4, "val": 4})


def coco_stuff(folder: Path) -> Truth:
    """COCO-Stuff (Caesar et al. 2018): pixel maps, and a list of classes beside them."""
    draw = paired(
        ("images/train2017/{:012}.jpg", "stuffthingmaps/train2017/{:012}.png"),
        ("images/val2017/9{:011}.jpg", "stuffthingmaps/val2017/9{:011}.png"),
        coding={0: 0, 1: 1, 2: 95, 3: 150},
        kinds=3,
        splits={"train": 4, "val": 4},
    )
    return draw(folder)


def cwfid(folder: Path) -> Truth:
    """CWFID (Haug and Ostermann 2014): masks of vegetation, annotations as colours."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index)
        save(folder / f"images/{index:03}_image.png", picture(drawn, index))
        save(folder / f"masks/{index:03}_mask.png", 255 * drawn.astype(np.uint8))
        save(folder / f"annotations/{index:03}_annotation.png", code(drawn, {0: (0, 0, 0), 1: (0, 255, 0)}))
        text(f"annotations/{index:03}_annotation.yaml", "annotation: []\n")(folder)
        labels[f"images/{index:03}_image.png"] = drawn
    return Truth(task="binary", labels=labels, options={"masks": "masks"})


def suim(folder: Path) -> Truth:
    """SUIM (Islam et al. 2020): bitmaps of three-bit colours, and binary masks per class in the test set."""
    draw = paired(
        ("train_val/images/d_r_{}_.jpg", "train_val/masks/d_r_{}_.bmp"),
        ("TEST/images/d_r_9{}_.jpg", "TEST/masks/d_r_9{}_.bmp"),
        coding=SUIM,
        kinds=4,
        splits={"test": 4},
        options={"task": "multiclass"},
    )
    return draw(folder)


def lip(folder: Path) -> Truth:
    """LIP (Gong et al. 2017): images and segmentations in differently named folders of each split."""
    draw = paired(
        ("TrainVal_images/train_images/7{}_1.jpg", "TrainVal_parsing_annotations/train_segmentations/7{}_1.png"),
        ("TrainVal_images/val_images/8{}_2.jpg", "TrainVal_parsing_annotations/val_segmentations/8{}_2.png"),
        coding=numbers(4),
        kinds=4,
        splits={"train": 4, "val": 4},
    )
    return draw(folder)


SETS: dict[str, Draw] = {
    "Oxford-IIIT Pet": oxford_pet,
    "Carvana": carvana,
    "CamVid": paired(
        ("701_StillsRaw_full/0001TP_00{}690.png", "LabeledApproved_full/0001TP_00{}690_L.png"),
        coding=CAMVID,
        kinds=3,
        count=4,
        extra=text("label_colors.txt", CAMVID_TABLE),
        names=("Animal", "Archway", "Bicyclist"),
    ),
    "CamVid of Kaggle": paired(
        ("CamVid/train/0001TP_{:06}.png", "CamVid/train_labels/0001TP_{:06}_L.png"),
        ("CamVid/val/0016E5_{:05}.png", "CamVid/val_labels/0016E5_{:05}_L.png"),
        ("CamVid/test/Seq05VD_f{:05}.png", "CamVid/test_labels/Seq05VD_f{:05}_L.png"),
        coding=CAMVID,
        kinds=3,
        splits={"train": 4, "val": 4, "test": 4},
        extra=text(
            "CamVid/class_dict.csv",
            "name,r,g,b\nAnimal,64,128,64\nArchway,192,0,128\nBicyclist,0,128,192\nVoid,0,0,0\n",
        ),
        names=("Animal", "Archway", "Bicyclist"),
    ),
    "CamVid of SegNet": paired(
        ("CamVid/train/0001TP_{:06}.png", "CamVid/trainannot/0001TP_{:06}.png"),
        ("CamVid/val/0016E5_{:05}.png", "CamVid/valannot/0016E5_{:05}.png"),
        coding=numbers(3),
        kinds=3,
        splits={"train": 4, "val": 4},
        extra=text(
            "CamVid/train.txt", "/SegNet/CamVid/train/0001TP_000001.png /SegNet/CamVid/trainannot/0001TP_000001.png\n"
        ),
    ),
    "ADE20K scene parsing": paired(
        (f"{BASE}/images/training/ADE_train_{{:08}}.jpg", f"{BASE}/annotations/training/ADE_train_{{:08}}.png"),
        (f"{BASE}/images/validation/ADE_val_{{:08}}.jpg", f"{BASE}/annotations/validation/ADE_val_{{:08}}.png"),
        coding=numbers(6),
        kinds=6,
        splits={"train": 4, "val": 4},
        extra=text(
            f"{BASE}/objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1576\t11664\t1172\t1\twall\n"
        ),
    ),
    "COCO-Stuff": coco_stuff,
    "BDD100K": bdd,
    "Mapillary Vistas": mapillary,
    "KITTI": kitti,
    "KITTI road": paired(
        ("data_road/training/image_2/um_{:06}.png", "data_road/training/gt_image_2/um_road_{:06}.png"),
        coding={0: (255, 0, 0), 1: (255, 0, 255)},
        count=4,
    ),
    "SUIM": suim,
    "LIP": lip,
    "CUB-200": cub,
    "DAVIS": davis,
    "fish": fish,
    "CWFID": cwfid,
    "DUTS": paired(
        ("DUTS-TR/DUTS-TR-Image/ILSVRC2012_test_{:08}.jpg", "DUTS-TR/DUTS-TR-Mask/ILSVRC2012_test_{:08}.png"),
        ("DUTS-TE/DUTS-TE-Image/sun_{}.jpg", "DUTS-TE/DUTS-TE-Mask/sun_{}.png"),
        splits={"test": 4},
    ),
    "ECSSD": paired(("images/{:04}.jpg", "ground_truth_mask/{:04}.png"), count=4),
    "Weizmann horses": paired(
        ("weizmann_horse_db/horse/horse{:03}.png", "weizmann_horse_db/mask/horse{:03}.png"), coding=binary(1), count=4
    ),
    "MSRC": paired(
        ("Images/1_{}_s.bmp", "GroundTruth/1_{}_s_GT.bmp"),
        coding=CAMVID,
        kinds=3,
        count=4,
        options={"task": "multiclass"},
    ),
    "Stanford background": paired(
        ("images/{:07}.jpg", "labels_colored/{:07}.png"), coding={0: 1, 1: 2, 2: 3, 3: 4}, kinds=3, count=4
    ),
    "MinneApple": paired(
        ("detection/train/images/2015{}.png", "detection/train/masks/2015{}.png"), count=4, coding=binary(1)
    ),
    "PhenoBench": paired(
        ("PhenoBench/train/images/05-15_00{}_P0030851.png", "PhenoBench/train/semantics/05-15_00{}_P0030851.png"),
        ("PhenoBench/val/images/05-16_00{}_P0030851.png", "PhenoBench/val/semantics/05-16_00{}_P0030851.png"),
        coding=numbers(2),
        kinds=2,
        splits={"train": 4, "val": 4},
    ),
    "leaf disease": paired(
        ("data/data/images/{:05}.jpg", "data/data/masks/{:05}.png"), coding={0: (0, 0, 0), 1: (128, 0, 0)}, count=4
    ),
    "portraits": paired(("training/{:05}.png", "training/{:05}_matte.png"), count=4),
    "P3M": paired(("P3M-10k/train/blurred_image/p_{:04}.jpg", "P3M-10k/train/mask/p_{:04}.png"), count=4),
    "supervised people": paired(
        ("people_segmentation/images/ache-adult-{}.jpg", "people_segmentation/masks/ache-adult-{}.png"),
        coding=gray_as_rgb(1),
        count=4,
        extra=text("people_segmentation/segmentation/train.txt", "ache-adult-1\n"),
    ),
    "lanes": paired(("images/l_{}.jpg", "masks/l_{}.png"), coding={0: 255, 1: 0}, count=4, labels=(1, 0)),
    "TGS salt": paired(
        ("train/images/00{}e218f21.png", "train/masks/00{}e218f21.png"),
        ("test/images/5e52098{}d9.png", None),
        coding=binary(65535),
        dtype=np.uint16,
        count=4,
        extra=together(
            text("train.csv", "id,rle_mask\n001e218f21,\n002e218f21,1 5\n"), text("depths.csv", "id,z\na,7\n")
        ),
    ),
}
