"""Imitations of exports of annotation programs, with their folders, names and paths of other machines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from drawn import save
from public_sets.annotated import as_json, boxes
from public_sets.drawing import SIZE, Draw, Truth, areas, cells, picture, text

Points = list[list[float]]
Annotate = Callable[[Path, int, str, list[Points]], None]
HEIGHT, WIDTH = SIZE


def outlined(image: str, annotate: Annotate, names: tuple[str, ...] = ("cell",), **truth: Any) -> Draw:
    """Images of objects, whose outlines a program has written file by file."""

    def draw(folder: Path) -> Truth:
        labels: dict[str, np.ndarray] = {}
        for index in range(1, 7):
            drawn, name = cells(index), image.format(index)
            save(folder / name, picture(drawn > 0, index))
            annotate(folder, index, name, [points.tolist() for _, points in boxes(drawn)])
            labels[name] = drawn
        return Truth(**{"task": "instance", "labels": labels, "names": names, **truth})

    return draw


def as_xy(points: Points) -> list[dict[str, float]]:
    """Points as V7 Darwin writes them."""
    return [{"x": x, "y": y} for x, y in points]


def darwin_2(folder: Path, index: int, name: str, outlines: list[Points]) -> None:
    """A file of version 2 in the folder of a release, with a box around each polygon, and a tag."""
    box = {"x": 0, "y": 0, "w": 3, "h": 3}
    slot = {"type": "image", "slot_name": "0", "width": WIDTH, "height": HEIGHT}
    members: list[dict[str, Any]] = [
        {"name": "cell", "slot_names": ["0"], "bounding_box": box, "polygon": {"paths": [as_xy(points)]}}
        for points in outlines
    ]
    members.append({"name": "blurred", "slot_names": ["0"], "tag": {}})
    item = {"name": Path(name).name, "path": "/plate 1", "slots": [slot]}
    document = {"version": "2.0", "item": item, "annotations": members}
    as_json(folder / f"releases/latest/annotations/{index}.json", document)


def darwin_1(folder: Path, index: int, name: str, outlines: list[Points]) -> None:
    """A file of version 1."""
    image = {"width": WIDTH, "height": HEIGHT, "filename": Path(name).name, "original_filename": "x.png", "path": "/"}
    members = [{"name": "cell", "polygon": {"path": as_xy(points)}} for points in outlines]
    as_json(folder / f"annotations/{index}.json", {"dataset": "d", "image": image, "annotations": members})


def voc_polygons(folder: Path, _: int, name: str, outlines: list[Points]) -> None:
    """An XML file of Roboflow beside each image."""
    members = "".join(
        "<object><name>cell</name><polygon>"
        + "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(points, 1))
        + "</polygon><bndbox><xmin>1</xmin></bndbox></object>"
        for points in outlines
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    content = f"<annotation><filename>{Path(name).name}</filename>{size}{members}</annotation>"
    text(str(Path(name).with_suffix(".xml")), content)(folder)


def labelme_web(folder: Path, index: int, name: str, outlines: list[Points]) -> None:
    """An XML file of LabelMe (MIT) in a tree of its own; the last object is deleted."""
    members = [
        f"<object><name>cell</name><deleted>{deleted}</deleted><polygon><username>me</username>"
        + "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
        + "</polygon></object>"
        for deleted, points in [*((0, points) for points in outlines), (1, [[0, 0], [50, 0], [50, 30]])]
    ]
    content = f"<annotation>\n<filename>\n{Path(name).name}\n</filename>{''.join(members)}</annotation>"
    text(f"Annotations/site/{index}.xml", content)(folder)


def yolo_rows(folder: Path, _: int, name: str, outlines: list[Points]) -> None:
    """A label file beside each image, with the lists of Darknet."""
    rows = [
        " ".join(
            ["0", *(f"{v / side:.6f}" for point in points for v, side in zip(point, (WIDTH, HEIGHT), strict=True))]
        )
        for points in outlines
    ]
    text(str(Path(name).with_suffix(".txt")), "\n".join(rows) + "\n")(folder)
    text("data/obj.names", "cell\n")(folder)
    text("data/obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")(folder)


def yolo_alone(folder: Path, index: int, name: str, outlines: list[Points]) -> None:
    """The same with classes.txt alone."""
    yolo_rows(folder, index, name, outlines)
    for path in (folder / "data").glob("obj.*"):
        path.unlink()
    text("classes.txt", "cell\n")(folder)


def yolo_far(folder: Path, index: int, name: str, outlines: list[Points]) -> None:
    """Labels in a tree that a configuration in another folder describes."""
    yolo_rows(folder, index, name, outlines)
    path = folder / Path(name).with_suffix(".txt")
    target = folder / str(path.relative_to(folder)).replace("images", "labels")
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    for unused in (folder / "data").glob("obj.*"):
        unused.unlink()
    text("cfg/cells.yaml", "path: ../sets/a\ntrain: images/train\nval: images/train\nnames:\n  0: cell\n")(folder)


def via_table(folder: Path, _: int, name: str, outlines: list[Points]) -> None:
    """The CSV export of VIA: a row per region."""
    path = folder / "via_export_csv.csv"
    if not path.exists():
        header = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
        path.write_text(header + "\n", encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        for number, points in enumerate(outlines):
            xs, ys = zip(*points, strict=True)
            shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
            cells_ = ['"' + json.dumps(cell).replace('"', '""') + '"' for cell in ({}, shape, {"type": "cell"})]
            file.write(f"{Path(name).name},99,{cells_[0]},{len(outlines)},{number},{cells_[1]},{cells_[2]}\n")


def label_studio_min(folder: Path, index: int, name: str, outlines: list[Points]) -> None:
    """JSON-MIN of Label Studio: the results of each control under its name."""
    path = folder / "project-3-at-2024-05-02.json"
    tasks = json.loads(path.read_text("utf-8")) if path.exists() else []
    results = [
        {
            "points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points],
            "polygonlabels": ["cell"],
            "original_width": WIDTH,
            "original_height": HEIGHT,
        }
        for points in outlines
    ]
    image = f"/data/upload/3/8c1f{index}e2a-{Path(name).name}"
    tasks.append({"image": image, "id": index, "label": results, "annotator": 1, "annotation_id": index})
    as_json(path, tasks)


def panoptic(things: bool) -> Draw:
    """COCO panoptic: a PNG of segment numbers per image; pixels of no segment are not labelled if there is stuff."""

    def draw(folder: Path) -> Truth:
        labels: dict[str, np.ndarray] = {}
        images, records = [], []
        for index in range(1, 7):
            drawn = cells(index) if things else areas(index, 2)
            numbers = np.array([0, *(3226956 + 300 * index + 97 * n for n in range(1, int(drawn.max()) + 1))])[drawn]
            colours = np.dstack([numbers & 255, numbers >> 8 & 255, numbers >> 16]).astype(np.uint8)
            save(folder / f"train2017/{index:012}.jpg", picture(drawn > 0, index))
            save(folder / f"annotations/panoptic_train2017/{index:012}.png", colours)
            segments = [
                {"id": int(numbers[drawn == n][0]), "category_id": 1 if things else 10 * n, "iscrowd": 0}
                for n in range(1, int(drawn.max()) + 1)
            ]
            images.append({"id": index, "file_name": f"{index:012}.jpg", "height": HEIGHT, "width": WIDTH})
            records.append({"image_id": index, "file_name": f"{index:012}.png", "segments_info": segments})
            labels[f"train2017/{index:012}.jpg"] = drawn if things else np.where(drawn > 0, drawn, -1)
        categories = [{"id": 1, "name": "cell", "isthing": 1}] if things else [
            {"id": 10, "name": "person", "isthing": 1}, {"id": 20, "name": "grass", "isthing": 0}
        ]  # fmt: skip
        document = {"images": images, "annotations": records, "categories": categories}
        as_json(folder / "annotations/panoptic_train2017.json", document)
        if things:
            return Truth(task="instance", labels=labels)
        return Truth(task="binary", labels={k: np.where(v < 0, v, v - 1) for k, v in labels.items()}, names=("grass",))

    return draw


def voc_augmented(folder: Path) -> Truth:
    """VOC 2012 with the masks of SBD in SegmentationClassAug, and the lists of the splits."""
    labels = {}
    names = [f"2007_{index:06}" for index in range(1, 7)]
    for index, name in enumerate(names):
        drawn = areas(index, 2)
        save(folder / f"VOC2012/JPEGImages/{name}.jpg", picture(drawn, index))
        save(folder / f"VOC2012/SegmentationClassAug/{name}.png", drawn.astype(np.uint8))
        labels[f"VOC2012/JPEGImages/{name}.jpg"] = drawn
    text("VOC2012/ImageSets/Segmentation/train.txt", "\n".join(names[:4]) + "\n")(folder)
    text("VOC2012/ImageSets/Segmentation/val.txt", "\n".join(names[4:]) + "\n")(folder)
    return Truth(task="multiclass", labels=labels, splits={"train": 4, "val": 2})


def ilastik_hdf5(folder: Path) -> Truth:
    """Simple segmentations of ilastik, exported as HDF5 in its default data set."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index, 2)
        save(folder / f"plate {index}.png", picture(drawn, index))
        with h5py.File(folder / f"plate {index}_Simple Segmentation.h5", "w") as file:
            file["exported_data"] = (drawn + 1).astype(np.uint8)[..., None]
        labels[f"plate {index}.png"] = drawn
    return Truth(task="multiclass", labels=labels)


SETS: dict[str, Draw] = {
    "ilastik, HDF5": ilastik_hdf5,
    "V7 Darwin": outlined("images/plate 1/a{}.png", darwin_2),
    "V7 Darwin, version 1": outlined("images/a{}.png", darwin_1),
    "VOC with polygons": outlined("train/a{}.jpg", voc_polygons),
    "LabelMe of MIT": outlined("Images/site/a{}.jpg", labelme_web),
    "Darknet": outlined("obj_train_data/a{}.jpg", yolo_rows),
    "YOLO beside images": outlined("a{}.jpg", yolo_alone),
    "YOLO, configuration elsewhere": outlined("sets/a/images/train/p{}.jpg", yolo_far),
    "VIA, CSV": outlined("pics/a{}.png", via_table),
    "Label Studio, JSON-MIN": outlined("a{}.png", label_studio_min),
    "panoptic, things": panoptic(things=True),
    "panoptic, with stuff": panoptic(things=False),
    "VOC with SBD": voc_augmented,
}
