"""Imitations of public sets with a class per image: folders of classes, and tables of labels."""

from collections.abc import Sequence
from pathlib import Path

from drawn import save
from public_sets.drawing import Draw, Truth, areas, picture, text


def table(
    image: str, name: str, header: str, row: str, classes: Sequence[str], file: str = "train.csv", count: int = 12
) -> Draw:
    """A set of photographs with a table in which each has a row with its name and class."""

    def draw(folder: Path) -> Truth:
        rows = [header]
        for index in range(1, count + 1):
            save(folder / image.format(index), picture(areas(index), index))
            rows.append(row.format(name=name.format(index), label=classes[index % len(classes)], other=index))
        text(file, "\n".join(rows) + "\n")(folder)
        return Truth(task="classification", names=tuple(sorted(set(classes))))

    return draw


def folders(pattern: str, classes: Sequence[str], count: int = 4) -> Draw:
    """A set with a folder per class."""

    def draw(folder: Path) -> Truth:
        for place, name in enumerate(classes):
            for index in range(1, count + 1):
                seed = 20 * place + index
                save(folder / pattern.format(name, seed), picture(areas(seed), seed))
        return Truth(task="classification", names=tuple(sorted(classes)))

    return draw


def one_hot(folder: Path) -> Truth:
    """ISIC 2018 task 3 and Plant Pathology: a column per class."""
    rows, classes = ["image,MEL,NV,BCC"], ("BCC", "MEL", "NV")
    for index in range(1, 13):
        save(folder / f"ISIC2018_Task3_Training_Input/ISIC_{index:07}.jpg", picture(areas(index), index))
        values = ["1.0" if index % 3 == column else "0.0" for column in range(3)]
        rows.append(f"ISIC_{index:07},{','.join(values)}")
    place = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
    text(place, "\n".join(rows) + "\n")(folder)
    return Truth(task="classification", names=classes)


SETS: dict[str, Draw] = {
    "CIFAR-10 of Kaggle": table("train/{}.png", "{}", "id,label", "{name},{label}", ("cat", "dog"), "trainLabels.csv"),
    "EyePACS": table(
        "train/{}_left.jpeg", "{}_left", "image,level", "{name},{label}", ("0", "1", "2"), "trainLabels.csv"
    ),
    "APTOS": table("train_images/0a4e{}.png", "0a4e{}", "id_code,diagnosis", "{name},{label}", ("0", "2")),
    "cassava": table("train_images/1000{}.jpg", "1000{}.jpg", "image_id,label", "{name},{label}", ("0", "3", "1")),
    "dog breeds": table("train/000bec{}.jpg", "000bec{}", "id,breed", "{name},{label}", ("boxer", "pug"), "labels.csv"),
    "HAM10000": table(
        "HAM10000_images_part_1/ISIC_{:07}.jpg",
        "ISIC_{:07}",
        "lesion_id,image_id,dx,dx_type,age,sex,localization",
        "HAM_{other:07},{name},{label},histo,80.0,male,scalp",
        ("bkl", "nv", "mel"),
        "HAM10000_metadata.csv",
    ),
    "ISIC 2018 classes": one_hot,
    "leaves": table("images/{}.jpg", "images/{}.jpg", "image,label", "{name},{label}", ("acer", "alnus")),
    "MURA-like lists": table(
        "images/p{}.png", "images/p{}.png", "path;class", "{name};{label}", ("normal", "abnormal"), "labels.csv"
    ),
    "ImageNet": folders("train/{}/n0144_{}.JPEG", ("n01440764", "n01443537", "n01484850")),
    "chest X-ray": folders("chest_xray/train/{}/IM-{:04}.jpeg", ("NORMAL", "PNEUMONIA")),
    "SDNET2018": folders("Decks/{}/7001-{}.jpg", ("Cracked", "Non-cracked")),
    "Food-101": folders("food-101/images/{}/10{}.jpg", ("apple_pie", "waffles", "sushi")),
    "intel scenes": folders("seg_train/seg_train/{}/{}.jpg", ("buildings", "forest", "glacier")),
    "PlantVillage": folders("PlantVillage/{}/0a{}___RS.JPG", ("Potato___healthy", "Tomato___Late_blight")),
    "Oxford flowers by folder": folders("flowers/{}/image_{:05}.jpg", ("daisy", "rose", "tulip")),
}
