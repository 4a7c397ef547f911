"""Imitations of public sets of aerial and satellite images."""

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
    pictures,
    text,
    together,
)

LAND = {0: (0, 0, 0), 1: (0, 255, 255), 2: (255, 255, 0), 3: (0, 0, 255)}
LAND_TABLE = "name,r,g,b\nurban_land,0,255,255\nagriculture_land,255,255,0\nwater,0,0,255\nunknown,0,0,0\n"
STREET = {0: (0, 0, 0), 1: (128, 64, 128), 2: (0, 128, 0), 3: (64, 0, 128)}
TOPS = {0: (255, 255, 255), 1: (0, 0, 255), 2: (0, 255, 255), 3: (255, 255, 0)}
DUBAI = """{"classes": [{"title": "Unlabeled", "color": "#9B9B9B"}, {"title": "Water", "color": "#E2A929"},
{"title": "Land", "color": "#8429F6"}, {"title": "Road", "color": "#6EC1E4"}]}"""
FLOOD = numbers(4)
COLOURS: dict[str, object] = {"task": "multiclass"}  # of colours without a table


def cloud38(folder: Path) -> Truth:
    """38-Cloud (Mohajerani and Saeedi 2019): a folder per channel."""
    labels = {}
    for index in range(1, 7):
        drawn, name = areas(index), f"patch_{index}_1_by_{index}_LC08_L1TP_002053_20160520"
        for channel in ("red", "green", "blue", "nir"):
            save(folder / f"38-Cloud_training/train_{channel}/{channel}_{name}.TIF", picture(drawn, index, 1))
        save(folder / f"38-Cloud_training/train_gt/gt_{name}.TIF", 255 * drawn.astype(np.uint8))
        labels[f"38-Cloud_training/train_red/red_{name}.TIF"] = drawn
    return Truth(task="binary", labels=labels, options={"images": "train_red", "masks": "train_gt"})


def xbd(folder: Path) -> Truth:
    """xBD (Gupta et al. 2019): targets beside JSON of another kind."""
    labels = {}
    for index in range(1, 7):
        name, drawn = f"guatemala-volcano_{index:08}_post_disaster", areas(index, 2)
        save(folder / f"train/images/{name}.png", picture(drawn, index))
        save(folder / f"train/targets/{name}_target.png", drawn.astype(np.uint8))
        text(f"train/labels/{name}.json", '{"features": {"lng_lat": [], "xy": []}, "metadata": {}}')(folder)
        labels[f"train/images/{name}.png"] = drawn
    return Truth(task="multiclass", labels=labels)


def uavid(folder: Path) -> Truth:
    """UAVid (Lyu et al. 2020): a folder per sequence, colours without a table."""
    labels = {}
    for part in ("train", "val"):
        for sequence in (1, 2, 3):
            for index in range(3):
                seed = 100 * (part == "val") + 10 * sequence + index
                drawn, number = areas(seed, 3), f"{100 * index:06}"
                place = f"uavid_{part}/seq{sequence + 20 * (part == 'val')}"
                save(folder / f"{place}/Images/{number}.png", picture(drawn, seed))
                save(folder / f"{place}/Labels/{number}.png", code(drawn, STREET))
                labels[f"{place}/Images/{number}.png"] = drawn
    return Truth(task="multiclass", labels=labels, splits={"train": 9, "val": 9}, options=COLOURS)


def loveda(folder: Path) -> Truth:
    """LoveDA (Wang et al. 2021): two kinds of scenes below each split."""
    labels = {}
    for part in ("Train", "Val"):
        for scene in ("Urban", "Rural"):
            for index in range(3):
                seed = 100 * (part == "Val") + 10 * (scene == "Urban") + index
                drawn, place = areas(seed, 4), f"{part}/{scene}"
                save(folder / f"{place}/images_png/{seed}.png", picture(drawn, seed))
                save(folder / f"{place}/masks_png/{seed}.png", drawn.astype(np.uint8))
                labels[f"{place}/images_png/{seed}.png"] = drawn
    return Truth(task="multiclass", labels=labels, splits={"train": 6, "val": 6})


def drone(folder: Path) -> None:
    """Pictures of labels, for people."""
    for index in range(4):
        save(folder / f"RGB_color_image_masks/RGB_color_image_masks/{index:03}.png", code(areas(index, 3), STREET))


SETS: dict[str, Draw] = {
    "DeepGlobe roads": paired(
        ("train/{}_sat.jpg", "train/{}_mask.png"),
        ("valid/{}_sat.jpg", None),
        coding=gray_as_rgb(),
        extra=together(
            text("metadata.csv", "image_id,split,sat_image_path,mask_path\n1,train,train/1_sat.jpg,train/1_mask.png\n"),
            text("class_dict.csv", "name,r,g,b\nroad,255,255,255\nbackground,0,0,0\n"),
        ),
        names=("background", "road"),
    ),
    "DeepGlobe land cover": paired(
        ("train/{}_sat.jpg", "train/{}_mask.png"),
        ("valid/{}_sat.jpg", None),
        coding=LAND,
        kinds=3,
        extra=text("class_dict.csv", LAND_TABLE),
        names=("urban_land", "agriculture_land", "water"),
    ),
    "Massachusetts buildings": paired(
        ("png/train/2{}828915_15.png", "png/train_labels/2{}828915_15.png"),
        ("png/val/22{}28945_15.png", "png/val_labels/22{}28945_15.png"),
        ("png/test/228{}930_15.png", "png/test_labels/228{}930_15.png"),
        coding=gray_as_rgb(),
        splits={"train": 4, "val": 4, "test": 4},
        extra=text("label_class_dict.csv", "name,r,g,b\nbackground,0,0,0\nbuilding,255,255,255\n"),
        names=("background", "building"),
    ),
    "Massachusetts buildings in red": paired(
        ("tiff/train/2{}828915_15.tiff", "tiff/train_labels/2{}828915_15.tif"),
        count=4,
        coding={0: (0, 0, 0), 1: (255, 0, 0)},
    ),
    "Massachusetts roads": paired(
        ("train/sat/10{}78660_15.tiff", "train/map/10{}78660_15.tif"),
        ("valid/sat/10{}2866_15.tiff", "valid/map/10{}2866_15.tif"),
        splits={"train": 4, "val": 4},
    ),
    "Inria": paired(
        ("AerialImageDataset/train/images/austin{}.tif", "AerialImageDataset/train/gt/austin{}.tif"),
        ("AerialImageDataset/train/images/tyrol-w{}.tif", "AerialImageDataset/train/gt/tyrol-w{}.tif"),
        ("AerialImageDataset/test/images/sfo{}.tif", None),
    ),
    "WHU buildings": paired(
        ("train/image/{}.tif", "train/label/{}.tif"),
        ("val/image/{}.tif", "val/label/{}.tif"),
        ("test/image/{}.tif", "test/label/{}.tif"),
        splits={"train": 4, "val": 4, "test": 4},
        count=4,
    ),
    "AIRS": paired(
        ("train/image/christchurch_{}.tif", "train/label/christchurch_{}.tif"),
        count=4,
        coding=binary(1),
        extra=pictures("train/label/christchurch_{}_vis.tif", 4),
    ),
    "LandCover.ai": paired(
        ("images/M-33-20-D-c-4-{}.tif", "masks/M-33-20-D-c-4-{}.tif"),
        coding=numbers(4),
        kinds=4,
        count=4,
        extra=together(text("train.txt", "M-33-20-D-c-4-1_0\n"), text("split.py", "import glob\n")),
    ),
    "LoveDA": loveda,
    "UAVid": uavid,
    "FloodNet": paired(
        (
            "FloodNet-Supervised_v1.0/train/train-org-img/6{}.jpg",
            "FloodNet-Supervised_v1.0/train/train-label-img/6{}_lab.png",
        ),
        ("FloodNet-Supervised_v1.0/val/val-org-img/7{}.jpg", "FloodNet-Supervised_v1.0/val/val-label-img/7{}_lab.png"),
        coding=FLOOD,
        kinds=4,
        splits={"train": 4, "val": 4},
    ),
    "Potsdam": paired(
        ("2_Ortho_RGB/top_potsdam_2_1{}_RGB.tif", "5_Labels_all/top_potsdam_2_1{}_label.tif"),
        coding=TOPS,
        kinds=3,
        count=4,
        options=COLOURS,
    ),
    "Vaihingen": paired(
        ("top/top_mosaic_09cm_area{}.tif", "gts_for_participants/top_mosaic_09cm_area{}.tif"),
        coding=TOPS,
        kinds=3,
        count=4,
        options=COLOURS,
    ),
    "Semantic drone": paired(
        (
            "dataset/semantic_drone_dataset/original_images/{:03}.jpg",
            "dataset/semantic_drone_dataset/label_images_semantic/{:03}.png",
        ),
        coding=numbers(3),
        kinds=3,
        count=4,
        start=0,
        extra=together(
            drone,
            text(
                "class_dict_seg.csv",
                "name, r, g, b\nunlabeled, 0, 0, 0\npaved-area, 128, 64, 128\ndirt, 130, 76, 0\ngrass, 0, 102, 0\n",
            ),
        ),
    ),
    "Aeroscapes": paired(
        ("aeroscapes/JPEGImages/000001_{:03}.jpg", "aeroscapes/SegmentationClass/000001_{:03}.png"),
        coding=numbers(3),
        kinds=3,
        count=4,
        extra=together(
            pictures("aeroscapes/Visualizations/000001_{:03}.png", 4),
            text("aeroscapes/ImageSets/trn.txt", "000001_001\n"),
        ),
    ),
    "xBD": xbd,
    "38-Cloud": cloud38,
    "GID": paired(
        ("image_RGB/GF2_{}.tif", "label_5classes/GF2_{}_label.tif"), coding=LAND, kinds=3, count=4, options=COLOURS
    ),
    "OpenEarthMap": paired(
        ("OpenEarthMap/aachen/images/aachen_{}.tif", "OpenEarthMap/aachen/labels/aachen_{}.tif"),
        ("OpenEarthMap/lodz/images/lodz_{}.tif", "OpenEarthMap/lodz/labels/lodz_{}.tif"),
        coding=numbers(4),
        kinds=4,
        extra=text("OpenEarthMap/train.txt", "aachen_1.tif\n"),
    ),
    "flood areas": paired(
        ("Image/{}.jpg", "Mask/{}.png"), count=4, extra=text("metadata.csv", "Image,Mask\n1.jpg,1.png\n2.jpg,2.png\n")
    ),
    "water bodies": paired(
        ("Water Bodies Dataset/Images/water_body_{}.jpg", "Water Bodies Dataset/Masks/water_body_{}.jpg"), count=4
    ),
    "Dubai": paired(
        ("Tile 1/images/image_part_{:03}.jpg", "Tile 1/masks/image_part_{:03}.png"),
        ("Tile 2/images/image_part_{:03}.jpg", "Tile 2/masks/image_part_{:03}.png"),
        ("Tile 3/images/image_part_{:03}.jpg", "Tile 3/masks/image_part_{:03}.png"),
        coding={0: (155, 155, 155), 1: (226, 169, 41), 2: (132, 41, 246), 3: (110, 193, 228)},
        kinds=3,
        extra=text("classes.json", DUBAI),
    ),
}
