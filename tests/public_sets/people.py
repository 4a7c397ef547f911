"""Imitations of further public sets: masks in many files or folders, of faces, streets, plants and products."""

import json
from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import (
    SIZE,
    Draw,
    Truth,
    areas,
    binary,
    code,
    numbers,
    paired,
    picture,
    pictures,
    text,
)

RUGD = {0: (0, 0, 0), 1: (108, 64, 20), 2: (0, 102, 0), 3: (0, 255, 0)}
RUGD_TABLE = "0 void 0 0 0\n1 dirt 108 64 20\n2 grass 0 102 0\n3 tree 0 255 0\n4 pole 0 153 153\n"
A2D2 = '{"#ff0000": "Car 1", "#b432ff": "Road", "#87ceff": "Sky", "#000000": "None"}'
IDD = [{"label": name, "polygon": []} for name in ("road", "car")]


def faces(folder: Path) -> Truth:
    """A file per part of a face, whose number has zeros in front, as in CelebAMask-HQ (Lee et al. 2020)."""
    labels, parts = {}, ("skin", "hair", "l_eye")
    for index in range(6):
        drawn = areas(index, 3)
        save(folder / f"images/{index}.jpg", picture(drawn, index))
        for kind, part in enumerate(parts, 1):
            save(folder / f"masks/{index:05}_{part}.png", np.dstack([255 * (drawn == kind).astype(np.uint8)] * 3))
        labels[f"images/{index}.jpg"] = drawn
    return Truth(task="multiclass", labels=labels, names=("skin", "hair"))


def face_synthetics(folder: Path) -> Truth:
    """FaceSynthetics (Wood et al. 2021): landmarks and class numbers beside each image; 255 is ignored."""
    labels = {}
    for index in range(6):
        drawn = areas(index, 3)
        save(folder / f"{index:06}.png", picture(drawn, index))
        save(folder / f"{index:06}_seg.png", drawn.astype(np.uint8))
        text(f"{index:06}_ldmks.txt", "12.0 33.1\n")(folder)
        labels[f"{index:06}.png"] = drawn
    return Truth(task="multiclass", labels=labels)


def agriculture_vision(folder: Path) -> Truth:
    """Agriculture-Vision (Chiu et al. 2020): folders of channels, of valid areas, and one per class to choose."""
    labels, kinds = {}, ("double_plant", "water", "weed_cluster")
    for place, part in enumerate(("train", "val")):
        for index in range(1, 5):
            seed = 10 * place + index
            drawn, name = areas(seed, 3), f"1{seed:03}_0-0-512-512"
            save(folder / f"{part}/images/rgb/{name}.jpg", picture(drawn, seed))
            save(folder / f"{part}/images/nir/{name}.jpg", picture(drawn, seed, 1))
            save(folder / f"{part}/boundaries/{name}.png", np.full(SIZE, 255, np.uint8))
            save(folder / f"{part}/masks/{name}.png", np.full(SIZE, 255, np.uint8))
            for kind, word in enumerate(kinds, 1):
                save(folder / f"{part}/labels/{word}/{name}.png", 255 * (drawn == kind).astype(np.uint8))
            labels[f"{part}/images/rgb/{name}.jpg"] = (drawn == 3).astype(int)
    options: dict[str, object] = {"images": "images/rgb", "masks": "labels/weed_cluster"}
    return Truth(task="binary", labels=labels, splits={"train": 4, "val": 4}, options=options)


def idd(folder: Path) -> Truth:
    """IDD (Varma et al. 2019): named like Cityscapes, with numbers of its own; the user chooses the kind of files."""
    labels = {}
    for part in ("train", "val"):
        for place in ("0", "1"):
            for _ in range(2):
                seed, name = len(labels), f"{part}/{place}/{len(labels):06}"
                drawn = areas(seed, 3)
                save(folder / f"leftImg8bit/{name}_leftImg8bit.png", picture(drawn, seed))
                save(folder / f"gtFine/{name}_gtFine_labelids.png", drawn.astype(np.uint8))
                save(folder / f"gtFine/{name}_gtFine_color.png", code(drawn, RUGD))
                text(f"gtFine/{name}_gtFine_polygons.json", json.dumps({"imgHeight": SIZE[0], "objects": IDD}))(folder)
                labels[f"leftImg8bit/{name}_leftImg8bit.png"] = drawn
    options: dict[str, object] = {"image_suffix": "_leftImg8bit", "mask_suffix": "_gtFine_labelids"}
    return Truth(task="multiclass", labels=labels, splits={"train": 4, "val": 4}, options=options)


def rellis(folder: Path) -> Truth:
    """RELLIS-3D (Jiang et al. 2021): numbers and colours in two folders per sequence."""
    labels = {}
    for sequence in ("00000", "00001", "00002"):
        for index in range(3):
            seed = 10 * int(sequence) + index
            drawn, name = areas(seed, 3), f"frame{seed:06}-1581624663_149"
            save(folder / f"{sequence}/pylon_camera_node/{name}.jpg", picture(drawn, seed))
            save(folder / f"{sequence}/pylon_camera_node_label_id/{name}.png", drawn.astype(np.uint8))
            save(folder / f"{sequence}/pylon_camera_node_label_color/{name}.png", code(drawn, RUGD))
            labels[f"{sequence}/pylon_camera_node/{name}.jpg"] = drawn
    return Truth(task="multiclass", labels=labels, options={"masks": "pylon_camera_node_label_id"})


def mvtec(folder: Path) -> Truth:
    """MVTec AD (Bergmann et al. 2019): masks of defective test images alone."""
    labels = {}
    for index in range(6):
        save(folder / f"bottle/train/good/{index:03}.png", picture(areas(index) * 0, index))
        labels[f"bottle/train/good/{index:03}.png"] = areas(index) * 0
    for place, kind in enumerate(("good", "broken_large", "contamination")):
        for index in range(3):
            seed = 10 * place + index + 20
            drawn = areas(seed) * (kind != "good")
            save(folder / f"bottle/test/{kind}/{index:03}.png", picture(drawn, seed))
            if kind != "good":
                save(folder / f"bottle/ground_truth/{kind}/{index:03}_mask.png", 255 * drawn.astype(np.uint8))
            labels[f"bottle/test/{kind}/{index:03}.png"] = drawn
    return Truth(task="binary", labels=labels)


def change_detection(folder: Path) -> Truth:
    """LEVIR-CD (Chen and Shi 2020): two dates and the change; the user chooses the date."""
    labels = {}
    for index in range(1, 6):
        drawn = areas(index)
        save(folder / f"train/A/train_{index}.png", picture(drawn * 0, index + 50))
        save(folder / f"train/B/train_{index}.png", picture(drawn, index))
        save(folder / f"train/label/train_{index}.png", 255 * drawn.astype(np.uint8))
        labels[f"train/B/train_{index}.png"] = drawn
    return Truth(task="binary", labels=labels, options={"images": "B", "masks": "label"})


def endoscene(folder: Path) -> Truth:
    """EndoScene (Vázquez et al. 2017): polyps, lumen and reflections in folders of their own; the user chooses."""
    labels = {}
    for part in ("CVC-300", "CVC-612"):
        for index in range(1, 4):
            seed = index + 10 * (part == "CVC-612")
            drawn = areas(seed)
            save(folder / f"{part}/bbdd/{index}.bmp", picture(drawn, seed))
            for kind in ("gtpolyp", "gtlumen", "gtspecular", "void"):
                other = drawn if kind == "gtpolyp" else areas(seed + len(kind) * 50)
                save(folder / f"{part}/{kind}/{index}.bmp", 255 * other.astype(np.uint8))
            labels[f"{part}/bbdd/{index}.bmp"] = drawn
    return Truth(task="binary", labels=labels, options={"images": "bbdd", "masks": "gtpolyp"})


def sen1floods(folder: Path) -> Truth:
    """Sen1Floods11 (Bonafilia et al. 2020): two sensors and several labels, -1 is unknown; the user chooses."""
    labels = {}
    import tifffile

    for index in range(1, 6):
        drawn = areas(index)
        unknown = np.zeros(SIZE, bool)
        unknown[-3:] = True
        bands = np.repeat(picture(drawn, index, 1)[None], 13, 0).astype(np.uint16)
        for kind, content in (("S2Hand", bands), ("LabelHand", np.where(unknown, -1, drawn).astype(np.int16))):
            path = folder / f"HandLabeled/{kind}/Ghana_{index}_{kind}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                path, content, planarconfig="separate" if content.ndim == 3 else None, photometric="minisblack"
            )
        labels[f"HandLabeled/S2Hand/Ghana_{index}_S2Hand.tif"] = np.where(unknown, -1, drawn)
    return Truth(task="binary", labels=labels)


def comma(folder: Path) -> Truth:
    """comma10k: colours that the README explains."""
    colours = {0: (64, 32, 32), 1: (255, 0, 0), 2: (128, 128, 96), 3: (0, 255, 102)}
    return paired(
        ("imgs/{:04}_0a9.png", "masks/{:04}_0a9.png"),
        coding=colours,
        kinds=3,
        count=5,
        extra=text("README.md", "#402020 road #ff0000 lane\n"),
        options={"task": "multiclass"},
    )(folder)


SETS: dict[str, Draw] = {
    "parts of faces": faces,
    "FaceSynthetics": face_synthetics,
    "Agriculture-Vision": agriculture_vision,
    "IDD": idd,
    "RUGD": paired(
        ("RUGD_frames-with-annotations/creek/creek_{:05}.png", "RUGD_annotations/creek/creek_{:05}.png"),
        ("RUGD_frames-with-annotations/park-1/park-1_{:05}.png", "RUGD_annotations/park-1/park-1_{:05}.png"),
        coding=RUGD,
        kinds=3,
        count=4,
        extra=text("RUGD_annotations/RUGD_annotation-colormap.txt", RUGD_TABLE),
        names=("dirt", "grass", "tree"),
    ),
    "RELLIS-3D": rellis,
    "MVTec AD": mvtec,
    "LEVIR-CD": change_detection,
    "EndoScene": endoscene,
    "Sen1Floods11": sen1floods,
    "comma10k": comma,
    "A2D2": paired(
        (
            "camera_lidar_semantic/2018/camera/cam_front_center/2018_camera_{:09}.png",
            "camera_lidar_semantic/2018/label/cam_front_center/2018_label_{:09}.png",
        ),
        coding={0: (0, 0, 0), 1: (255, 0, 0), 2: (180, 50, 255), 3: (135, 206, 255)},
        kinds=3,
        count=5,
        extra=text("camera_lidar_semantic/class_list.json", A2D2),
        names=("Car 1", "Road", "Sky"),
    ),
    "ISIC 2016": paired(
        (
            "ISBI2016_ISIC_Part1_Training_Data/ISIC_{:07}.jpg",
            "ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_{:07}_Segmentation.png",
        ),
        (
            "ISBI2016_ISIC_Part1_Test_Data/ISIC_9{:06}.jpg",
            "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_9{:06}_Segmentation.png",
        ),
        splits={"train": 3, "test": 4},
    ),
    "BKAI-IGH": paired(
        ("bkai/train/train/ab{}.jpeg", "bkai/train_gt/train_gt/ab{}.jpeg"),
        ("bkai/test/test/cd{}.jpeg", None),
        coding=binary(),
        count=4,
    ),
    "TN3K": paired(
        ("trainval-image/{:04}.jpg", "trainval-mask/{:04}.jpg"),
        ("test-image/{:04}.jpg", "test-mask/{:04}.jpg"),
        splits={"test": 4},
    ),
    "DRISHTI-GS": paired(
        (
            "Training/Images/drishtiGS_{:03}.png",
            "Training/GT/drishtiGS_{0:03}/SoftMap/drishtiGS_{0:03}_ODsegSoftmap.png",
        ),
        count=5,
    ),
    "RITE": paired(
        ("training/images/2{}_training.tif", "training/vessel/2{}_training.png"),
        count=4,
        extra=pictures("training/av/2{}_training.png", 4),
        options={"masks": "vessel"},
    ),
    "SIIM pneumothorax": paired(
        ("png_images/{}_train_1_.png", "png_masks/{}_train_1_.png"),
        ("png_images/{}_test_0_.png", "png_masks/{}_test_0_.png"),
        count=4,
        channels=1,
    ),
    "JSRT": paired(("Images/JPCLN{:03}.png", "fold1/masks/heart/JPCLN{:03}.gif"), count=5, channels=1),
    "BBBC005": paired(
        (
            "BBBC005_v1_images/SIMCEPImages_A0{0}_C{0}_F1_s0{0}_w1.TIF",
            "BBBC005_v1_ground_truth/SIMCEPImages_A0{0}_C{0}_F1_s0{0}_w1.TIF",
        ),
        count=5,
        channels=1,
    ),
    "SD-saliency-900": paired(("Source Images/In_{}.bmp", "Ground truth/In_{}.png"), count=5),
    "Trans10K": paired(
        ("train/images/{}.jpg", "train/masks/{}_mask.png"),
        ("validation/easy/images/9{}.jpg", "validation/easy/masks/9{}_mask.png"),
        coding={0: (0, 0, 0), 1: (255, 0, 0)},
        splits={"train": 4, "val": 4},
    ),
    "AISegment": paired(
        (
            "clip_img/1803151818/clip_00000000/1803151818-000000{:02}.jpg",
            "matting/1803151818/matting_00000000/1803151818-000000{:02}.png",
        ),
        count=5,
    ),
    "ScanNet": paired(
        ("scene0000_00/color/{}.jpg", "scene0000_00/label/{}.png"),
        ("scene0001_00/color/{}.jpg", "scene0001_00/label/{}.png"),
        ("scene0002_00/color/{}.jpg", "scene0002_00/label/{}.png"),
        coding=numbers(3),
        kinds=3,
    ),
    "COD10K": paired(
        ("Train/Image/COD10K-CAM-1-Aquatic-{}.jpg", "Train/GT_Object/COD10K-CAM-1-Aquatic-{}.png"),
        count=5,
        extra=pictures("Train/GT_Edge/COD10K-CAM-1-Aquatic-{}.png", 5, 1),
        options={"masks": "GT_Object"},
    ),
    "M2NIST-like TIFF": paired(("S2/{:03}_S2.tif", "GT/{:03}_GT.tif"), count=5, coding=numbers(2), kinds=2),
    "cloud masks": paired(("patch_{}/image.tif", "patch_{}/cloud_mask.tif"), count=5, coding=numbers(3), kinds=3),
    "weeds": paired(
        ("field/{}_image.png", "field/{}_annotation.png"),
        count=5,
        coding={0: (0, 0, 0), 1: (0, 255, 0), 2: (255, 0, 0)},
        kinds=2,
        extra=pictures("field/{}_mask.png", 0),
        options={"task": "multiclass"},
    ),
    "lesions of CT": paired(("frames/{:03}/ct.png", "frames/{:03}/infection.png"), count=5, channels=1),
    "mirrored names": paired(("A/photo{}.jpg", "B/photo{}_bw.png"), count=5),
}
