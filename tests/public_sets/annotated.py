"""Imitations of public sets whose annotations are outlines, run lengths or arrays in files of other kinds."""

import base64
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from drawn import save
from public_sets.drawing import SIZE, Draw, Truth, areas, cells, picture, text


def as_json(path: Path, content: object) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def runs(mask: np.ndarray, order: str = "F") -> str:
    """Run lengths of Kaggle: first pixel from 1 and length, down the columns or along the rows."""
    flat = np.pad(mask.ravel(order=order).astype(np.int8), 1)
    starts, stops = np.flatnonzero(np.diff(flat) == 1) + 1, np.flatnonzero(np.diff(flat) == -1) + 1
    return " ".join(f"{start} {stop - start}" for start, stop in zip(starts, stops, strict=True))


def boxes(drawn: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The rectangles of drawn objects as numbers and corners (x, y)."""
    found = []
    for number in range(1, int(drawn.max()) + 1):
        rows, columns = np.nonzero(drawn == number)
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        found.append((number, np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)))
    return found


def severstal(folder: Path) -> Truth:
    """Severstal (Kaggle 2019): a row per image and class with run lengths; images without a row have no defect."""
    labels, rows = {}, ["ImageId,ClassId,EncodedPixels"]
    for index in range(1, 9):
        name, drawn = f"000{index}2cc93b.jpg", areas(index, 3) if index < 7 else areas(index, 3) * 0
        save(folder / f"train_images/{name}", picture(drawn > 0, index))
        rows += [f"{name},{kind},{runs(drawn == kind)}" for kind in (1, 2, 3) if (drawn == kind).any()]
        labels[f"train_images/{name}"] = drawn
    save(folder / "test_images/0000f269f.jpg", picture(areas(70), 70))
    text("train.csv", "\n".join(rows) + "\n")(folder)
    text("sample_submission.csv", "ImageId,EncodedPixels,ClassId\n0000f269f.jpg,1 409600,0\n")(folder)
    return Truth(task="multiclass", labels=labels)


def severstal_joined(folder: Path) -> Truth:
    """The first form of Severstal, and of Understanding Clouds: image and class in one column."""
    labels, rows = {}, ["Image_Label,EncodedPixels"]
    for index in range(1, 9):
        name, drawn = f"00{index}1c5e1.jpg", areas(index, 3)
        drawn[drawn == index % 4] = 0
        save(folder / f"train_images/{name}", picture(drawn > 0, index))
        rows += [f"{name}_{kind},{runs(drawn == n)}" for n, kind in enumerate(("Fish", "Flower", "Gravel"), 1)]
        labels[f"train_images/{name}"] = drawn
    text("train.csv", "\n".join(rows) + "\n")(folder)
    return Truth(task="multiclass", labels=labels, names=("Fish", "Flower", "Gravel"))


def airbus(folder: Path) -> Truth:
    """Airbus ships (Kaggle 2018): a row per ship; images without a ship have an empty row."""
    labels, rows = {}, ["ImageId,EncodedPixels"]
    for index in range(1, 9):
        name, drawn = f"00{index}155eb5.jpg", cells(index) if index % 3 else cells(index) * 0
        save(folder / f"train_v2/{name}", picture(drawn > 0, index))
        rows += [f"{name},{runs(drawn == number)}" for number, _ in boxes(drawn)] or [f"{name},"]
        labels[f"train_v2/{name}"] = drawn
    text("train_ship_segmentations_v2.csv", "\n".join(rows) + "\n")(folder)
    return Truth(task="instance", labels=labels)


def dsb2018_table(folder: Path) -> Truth:
    """Data Science Bowl 2018 with its table alone: names without an ending, a folder per image."""
    labels, rows = {}, ["ImageId,EncodedPixels"]
    for index in range(1, 7):
        name, drawn = f"00ae65c1c6{index}", cells(index)
        save(folder / f"stage1_train/{name}/images/{name}.png", picture(drawn > 0, index))
        rows += [f"{name},{runs(drawn == number)}" for number, _ in boxes(drawn)]
        labels[f"stage1_train/{name}/images/{name}.png"] = drawn
    text("stage1_train_labels.csv", "\n".join(rows) + "\n")(folder)
    return Truth(task="instance", labels=labels)


def hubmap(folder: Path) -> Truth:
    """HuBMAP (Kaggle 2020): one row per image, all objects together."""
    labels, rows = {}, ["id,encoding"]
    for index in range(1, 7):
        drawn = areas(index)
        save(folder / f"train/2f6ecfcd{index}.tiff", picture(drawn > 0, index))
        rows.append(f"2f6ecfcd{index},{runs(drawn)}")
        labels[f"train/2f6ecfcd{index}.tiff"] = drawn
    text("train.csv", "\n".join(rows) + "\n")(folder)
    return Truth(task="binary", labels=labels)


def sartorius(folder: Path) -> Truth:
    """Sartorius (Kaggle 2021): a row per cell, run lengths along the rows."""
    labels, rows = {}, ["id,annotation,width,height,cell_type"]
    for index in range(1, 7):
        drawn = cells(index)
        save(folder / f"train/0030fd0e6{index}.png", picture(drawn > 0, index, 1))
        rows += [
            f"0030fd0e6{index},{runs(drawn == number, 'C')},{SIZE[1]},{SIZE[0]},shsy5y" for number, _ in boxes(drawn)
        ]
        labels[f"train/0030fd0e6{index}.png"] = drawn
    text("train.csv", "\n".join(rows) + "\n")(folder)
    return Truth(task="instance", labels=labels)


def tgs_table(folder: Path) -> Truth:
    """A table of run lengths alone, beside another table."""
    labels, rows = {}, ["id,rle_mask"]
    for index in range(1, 9):
        drawn = areas(index) * (index != 3)
        save(folder / f"train/images/00{index}e218f21.png", picture(drawn > 0, index, 1))
        rows.append(f"00{index}e218f21,{runs(drawn)}")
        labels[f"train/images/00{index}e218f21.png"] = drawn
    text("train.csv", "\n".join(rows) + "\n")(folder)
    text("depths.csv", "id,z\n001e218f21,713\n")(folder)
    return Truth(task="binary", labels=labels)


def supervisely(folder: Path) -> Truth:
    """A project of Supervisely: meta.json, and a folder of images and one of JSON per data set."""
    labels, classes = {}, ("leaf", "fruit")
    for part in ("ds0", "ds1"):
        for index in range(4):
            seed = index + 10 * (part == "ds1")
            drawn, found = np.zeros(SIZE, int), []
            for number, corners in boxes(cells(seed)):
                kind = number % 2
                (left, top), (right, bottom) = corners[0].astype(int), corners[2].astype(int)
                drawn[top:bottom, left:right] = kind + 1
                if number % 3:
                    ring = [[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]]
                    shape = {"geometryType": "polygon", "points": {"exterior": np.array(ring).tolist(), "interior": []}}
                else:
                    buffer = BytesIO()
                    Image.fromarray(np.full((bottom - top, right - left), True)).save(buffer, "PNG")
                    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode("ascii")
                    shape = {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [int(left), int(top)]}}
                found.append({"classTitle": classes[kind], "id": number, "tags": [], **shape})
            save(folder / f"{part}/img/im_{seed}.jpg", picture(drawn > 0, seed))
            size = {"height": SIZE[0], "width": SIZE[1]}
            as_json(
                folder / f"{part}/ann/im_{seed}.jpg.json",
                {"description": "", "tags": [], "size": size, "objects": found},
            )
            labels[f"{part}/img/im_{seed}.jpg"] = drawn
    described = [{"title": name, "shape": "any", "color": "#FF0000"} for name in classes]
    as_json(folder / "meta.json", {"classes": described, "tags": []})
    return Truth(task="multiclass", labels=labels, names=classes, options={"task": "multiclass"})


def segment_anything(folder: Path) -> Truth:
    """SA-1B (Kirillov et al. 2023): a file of masks beside each image, without classes."""
    labels = {}
    for index in range(1, 6):
        drawn, found = cells(index), []
        for number, _ in boxes(drawn):
            flat = (drawn == number).ravel(order="F")
            changes = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0, append=0))
            counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
            found.append(
                {"id": number, "segmentation": {"size": list(SIZE), "counts": counts}, "area": int(flat.sum())}
            )
        image = {"image_id": index, "width": SIZE[1], "height": SIZE[0], "file_name": f"sa_{index}.jpg"}
        save(folder / f"sa_000000/sa_{index}.jpg", picture(drawn > 0, index))
        as_json(folder / f"sa_000000/sa_{index}.json", {"image": image, "annotations": found})
        labels[f"sa_000000/sa_{index}.jpg"] = drawn
    return Truth(task="instance", labels=labels)


def livecell(folder: Path) -> Truth:
    """LIVECell (Edlund et al. 2021): annotations as an object by their ids, one class."""
    labels = {}
    for place, (part, where) in enumerate((("train", "train_val"), ("val", "train_val"), ("test", "test"))):
        images, found = [], {}
        for index in range(4):
            seed, name = 10 * place + index, f"A172_Phase_C7_1_0{place}d{index:02}h00m_1.tif"
            drawn = cells(seed)
            save(folder / f"images/livecell_{where}_images/{name}", picture(drawn > 0, seed, 1))
            images.append({"id": seed, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
            for _, corners in boxes(drawn):
                record = {"id": len(found), "image_id": seed, "category_id": 1, "iscrowd": 0}
                found[str(len(found))] = {**record, "segmentation": [corners.ravel().tolist()]}
            labels[f"images/livecell_{where}_images/{name}"] = drawn
        document = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "cell"}]}
        as_json(folder / f"livecell_coco_{part}.json", document)
    return Truth(task="instance", labels=labels, splits={"train": 4, "val": 4, "test": 4})


def monuseg(folder: Path) -> Truth:
    """MoNuSeg (Kumar et al. 2020): outlines of ImageScope, one file per image."""
    labels, place = {}, "MoNuSeg 2018 Training Data"
    for index in range(1, 6):
        name, drawn = f"TCGA-18-559{index}-01Z-00-DX1", cells(index)
        save(folder / f"{place}/Tissue Images/{name}.tif", picture(drawn > 0, index))
        regions = ""
        for number, corners in boxes(drawn):
            points = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
            regions += f'<Region Id="{number}" Type="0"><Attributes/><Vertices>{points}</Vertices></Region>'
        inner = f'<Annotation Id="1" Name="" LineColor="65280"><Regions>{regions}</Regions></Annotation>'
        xml = f'<?xml version="1.0"?><Annotations MicronsPerPixel="0.252">{inner}</Annotations>'
        text(f"{place}/Annotations/{name}.xml", xml)(folder)
        labels[f"{place}/Tissue Images/{name}.tif"] = drawn
    return Truth(task="instance", labels=labels)


def camelyon(folder: Path) -> Truth:
    """Outlines of ASAP in the form of CAMELYON, with groups as classes."""
    labels = {}
    for index in range(1, 6):
        drawn, found = areas(index) * 0, ""
        for number, corners in boxes(cells(index)):
            (left, top), (right, bottom) = corners[0].astype(int), corners[2].astype(int)
            drawn[top:bottom, left:right] = 1 + number % 2
            points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(corners))
            group = ("stroma", "tumor")[number % 2]
            inner = f"<Coordinates>{points}</Coordinates>"
            found += f'<Annotation Name="A {number}" Type="Polygon" PartOfGroup="{group}">{inner}</Annotation>'
        groups = "".join(f'<Group Name="{name}" PartOfGroup="None"/>' for name in ("stroma", "tumor"))
        listed = f"<AnnotationGroups>{groups}</AnnotationGroups>"
        xml = f"<ASAP_Annotations><Annotations>{found}</Annotations>{listed}</ASAP_Annotations>"
        save(folder / f"tumor_{index:03}.png", picture(drawn > 0, index))
        text(f"tumor_{index:03}.xml", xml)(folder)
        labels[f"tumor_{index:03}.png"] = drawn
    return Truth(task="multiclass", labels=labels, names=("stroma", "tumor"), options={"task": "multiclass"})


def mat_set(image: str, mask: str, content: Callable[[np.ndarray], dict[str, object]], kind: str) -> Draw:
    """A set whose masks are in files of MATLAB."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for index in range(1, 7):
            drawn = cells(index) if kind == "instance" else areas(index)
            save(folder / image.format(index), picture(drawn > 0, index))
            path = folder / mask.format(index)
            path.parent.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(path, content(drawn), do_compression=True)
            labels[image.format(index)] = drawn
        return Truth(task=kind, labels=labels)

    return draw


def nuclei(drawn: np.ndarray) -> dict[str, object]:
    """The arrays of CoNSeP (Graham et al. 2019)."""
    count = int(drawn.max())
    types = np.where(drawn > 0, 1 + drawn % 3, 0)
    return {
        "inst_map": drawn.astype(float),
        "type_map": types.astype(float),
        "inst_type": np.ones((count, 1)),
        "inst_centroid": np.ones((count, 2)),
    }


def lizard(drawn: np.ndarray) -> dict[str, object]:
    """The arrays of Lizard (Graham et al. 2021)."""
    count = int(drawn.max())
    return {"inst_map": drawn.astype(np.int32), "id": np.arange(1, count + 1)[:, None], "class": np.ones((count, 1))}


def crack_forest(drawn: np.ndarray) -> dict[str, object]:
    """The structure of CrackForest (Shi et al. 2016): segments 1 and 2, and their boundaries."""
    edges = np.diff(drawn, axis=0, prepend=0) != 0
    return {"groundTruth": {"Segmentation": (drawn + 1).astype(np.uint16), "Boundaries": edges.astype(np.uint8)}}


def uci_arrays(folder: Path) -> Truth:
    """Arrays of images and masks in one file per split."""
    labels = {}
    for part in ("train", "val"):
        drawn = [areas(index + 10 * (part == "val")) for index in range(4)]
        images = np.stack([picture(mask, index) for index, mask in enumerate(drawn)])
        np.savez(folder / f"{part}.npz", images=images, masks=np.stack(drawn).astype(np.uint8))
        labels |= {f"{part}.npz/images/{index}": mask for index, mask in enumerate(drawn)}
    return Truth(task="binary", labels=labels, splits={"train": 4, "val": 4})


def synapse_npz(folder: Path) -> Truth:
    """The slices of Synapse as TransUNet stores them: an image and a label in each file."""
    labels = {}
    (folder / "train_npz").mkdir()
    for case in (5, 6, 7, 8):
        for index in range(3):
            drawn = areas(10 * case + index, 3)
            name = f"train_npz/case{case:04}_slice{index:03}.npz"
            np.savez(
                folder / name, image=picture(drawn, index + case, 1) / np.float32(255), label=drawn.astype(np.float32)
            )
            labels[f"{name}/image"] = drawn
    text("lists/lists_Synapse/train.txt", "case0005_slice000\n")(folder)
    return Truth(task="multiclass", labels=labels)


SETS: dict[str, Draw] = {
    "Severstal": severstal,
    "Understanding Clouds": severstal_joined,
    "Airbus ships": airbus,
    "DSB 2018, table": dsb2018_table,
    "HuBMAP": hubmap,
    "Sartorius": sartorius,
    "TGS salt, table": tgs_table,
    "Supervisely": supervisely,
    "SA-1B": segment_anything,
    "LIVECell": livecell,
    "MoNuSeg": monuseg,
    "CAMELYON": camelyon,
    "CoNSeP": mat_set("Train/Images/train_{}.png", "Train/Labels/train_{}.mat", nuclei, "instance"),
    "Lizard": mat_set("lizard_images/consep_{}.png", "Labels/consep_{}.mat", lizard, "instance"),
    "CrackForest": mat_set("image/{:03}.jpg", "groundTruth/{:03}.mat", crack_forest, "binary"),
    "masks of MATLAB": mat_set(
        "images/{}.png", "masks/{}.mat", lambda drawn: {"mask": drawn.astype(np.uint8)}, "binary"
    ),
    "arrays": uci_arrays,
    "Synapse of TransUNet": synapse_npz,
}
