"""COCO files: read, written, and compared with pycocotools."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as reference
from pycocotools.coco import COCO

from annotated import annotated_set, box, class_masks, labels_of, random_objects
from drawn import SIZE, image, save
from pixelwise.datasets.annotations import Bitmap, Shape, Shapes
from pixelwise.datasets.formats import coco
from pixelwise.datasets.formats.run_lengths.coco_rle import decode_rle, encode_rle
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, OutputFailed

OPTIONS = DataOptions()
SQUARE = [4, 4, 10, 4, 10, 9, 4, 9]


def document(annotations: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    entry = {"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    categories = [{"id": 3, "name": "dog"}, {"id": 90, "name": "cat"}]
    records = [{"id": i, "image_id": 1, "category_id": 3, "iscrowd": 0, **a} for i, a in enumerate(annotations)]
    return {"images": [entry], "annotations": records, "categories": categories, **changes}


def folder(root: Path, content: object, name: str = "annotations.json", images: tuple[str, ...] = ("a.png",)) -> Path:
    for seed, path in enumerate(images):
        save(root / path, image(seed))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return root


def labels(root: Path, options: DataOptions = OPTIONS) -> np.ndarray:
    (result,) = labels_of(coco.read(root, options)).values()
    return result


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    peer: Any = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    encoded = peer["counts"].decode()
    size = mask.shape[0], mask.shape[1]
    assert encode_rle(Bitmap(row=0, column=0, pixels=mask), size) == encoded
    region = decode_rle(encoded, size, "", Path())
    drawn = np.zeros(size, bool)
    height, width = region.pixels.shape
    drawn[region.row : region.row + height, region.column : region.column + width] = region.pixels
    assert np.array_equal(drawn, mask)
    if height:
        assert encode_rle(region, size) == encoded
        assert region.pixels[[0, -1]].any(axis=1).all(), "cropped"


@pytest.mark.parametrize("counts", ["", "~", "0", [1, 2], [-1, 13], [4, "x"], [12, 2**70], [[3], [9]], "\u00e9", None])
def test_damaged_run_lengths_are_refused(counts: object) -> None:
    with pytest.raises(BadDataset, match="annotation 7"):
        decode_rle(counts, (3, 4), "annotation 7", Path("a.json"))


@pytest.mark.parametrize(
    "outline",
    [
        [SQUARE],
        SQUARE,
        [[str(n) for n in SQUARE]],
        {"size": list(SIZE), "counts": [4 * 32 + 4, *([5, 27] * 6)[:-1], 32 * 40 - 4 * 32 - 4 - 5 * 32 - 5]},
    ],
    ids=["polygon", "flat", "texts", "run lengths"],
)
def test_outlines_in_every_form(tmp_path: Path, outline: object) -> None:
    expected = np.zeros(SIZE, int)
    expected[4:9, 4:10] = 1
    root = folder(tmp_path, document([{"segmentation": outline}, {"segmentation": [[20, 20, 22, 20, 22, 22]]}]))
    assert coco.recognise(root)
    assert np.array_equal(labels(root) == 1, expected)


def test_rings_of_an_annotation_are_joined_and_crowds_lie_below(tmp_path: Path) -> None:
    parts = {"segmentation": [SQUARE, [8, 4, 14, 4, 14, 9, 8, 9]]}
    other = {"segmentation": [[20, 20, 30, 20, 30, 30, 20, 30]]}
    crowd = {"segmentation": [[0, 0, 12, 0, 12, 12, 0, 12]], "iscrowd": 1}
    drawn = labels(folder(tmp_path, document([parts, other, crowd])))
    assert (drawn == 1).sum() == 50
    assert (drawn == 2).sum() == 100
    assert drawn[0, 0] == -1


def test_classes_follow_the_ids_and_an_unused_parent_is_no_class(tmp_path: Path) -> None:
    root = folder(tmp_path, document([{"segmentation": [SQUARE], "category_id": 90}, {"segmentation": [SQUARE]}]))
    assert coco.read(root, OPTIONS).classes == ("dog", "cat")
    parent = [{"id": 0, "name": "pets", "supercategory": "none"}, {"id": 3, "name": "dog", "supercategory": "pets"}]
    folder(root, document([{"segmentation": [SQUARE]}], categories=parent))
    assert coco.read(root, OPTIONS).classes == ("dog",)
    folder(root, document([{"segmentation": [SQUARE]}], categories=[]))
    dataset = coco.read(root, OPTIONS)
    assert dataset.classes == ("class 3",)
    assert any("categories" in message for message in dataset.messages)


def test_a_box_without_outline_is_ignored_and_boxes_alone_are_refused(tmp_path: Path) -> None:
    alone = {"segmentation": [], "bbox": [20, 20, 5, 5]}
    root = folder(tmp_path, document([{"segmentation": [SQUARE]}, alone, {"segmentation": [[1, 1, 2, 2]]}]))
    dataset = coco.read(root, OPTIONS)
    assert (labels(root) == 255).sum() + (labels(root) == -1).sum() == 25
    assert any("box" in message for message in dataset.messages)
    assert any("without an area" in message for message in dataset.messages)
    folder(root, document([alone]))
    with pytest.raises(BadDataset, match="boxes alone"):
        coco.read(root, OPTIONS)


@pytest.mark.parametrize("height", [float("inf"), float("nan")])
def test_sizes_that_are_no_numbers_are_refused(tmp_path: Path, height: float) -> None:
    content = document([{"segmentation": [SQUARE]}])
    content["images"][0]["height"] = height
    with pytest.raises(BadDataset, match="height"):
        coco.read(folder(tmp_path, content), OPTIONS)


@pytest.mark.parametrize("name", ["x\\y\\a.png", "/home/bob/set/a.png", "C:\\data\\a.png", "./a.png", "A.PNG"])
def test_images_are_found_by_the_end_of_a_path(tmp_path: Path, name: str) -> None:
    content = document([{"segmentation": [SQUARE]}])
    content["images"][0]["file_name"] = name
    root = folder(tmp_path, content, "annotations/x.json", ("images/a.png", "images/other.png"))
    dataset = coco.read(root, OPTIONS)
    assert [member.name for member in dataset.images] == ["a"]
    assert any("not listed" in message for message in dataset.messages)


def test_splits_come_from_file_names_and_each_finds_its_images(tmp_path: Path) -> None:
    for split in ("train", "val"):
        folder(
            tmp_path,
            document([{"segmentation": [SQUARE]}]),
            f"annotations/instances_{split}2017.json",
            (f"images/{split}2017/a.png",),
        )
    folder(tmp_path, document([{"caption": "a dog"}]), "annotations/captions_val2017.json", ())
    dataset = coco.read(tmp_path, OPTIONS)
    assert [(member.name, member.split) for member in dataset.images] == [("train/a", "train"), ("val/a", "val")]
    assert [member.image.parent.name for member in dataset.images] == ["train2017", "val2017"]
    assert any("captions_val2017.json" in message for message in dataset.messages)
    chosen = coco.read(tmp_path, DataOptions(masks="instances_val2017.json"))
    assert [member.name for member in chosen.images] == ["val/a"]


def test_an_image_in_two_files_is_refused_and_one_listed_twice_is_joined(tmp_path: Path) -> None:
    twice = document([{"segmentation": [SQUARE]}, {"segmentation": [[20, 20, 24, 20, 24, 24, 20, 24]], "image_id": 2}])
    twice["images"] += [{**twice["images"][0]}, {**twice["images"][0], "id": 2}]
    assert labels(folder(tmp_path / "twice", twice)).max() == 2
    root = folder(tmp_path / "two", document([{"segmentation": [SQUARE]}]), "train.json")
    folder(root, document([{"segmentation": [SQUARE]}]), "val.json")
    with pytest.raises(BadDataset, match="--masks"):
        coco.read(root, OPTIONS)


def test_missing_images_are_counted(tmp_path: Path) -> None:
    content = document([{"segmentation": [SQUARE]}])
    content["images"].append({"id": "2", "file_name": "gone.png"})
    root = folder(tmp_path, content)
    with pytest.raises(BadDataset, match=r"1 of 2 images .*gone.png.*--allow-missing"):
        coco.read(root, OPTIONS)
    dataset = coco.read(root, DataOptions(allow_missing=True))
    assert any("gone.png" in message for message in dataset.messages)
    (root / "a.png").unlink()
    with pytest.raises(BadDataset, match="none of them"):
        coco.read(root, DataOptions(allow_missing=True))


def test_ids_of_images_are_checked(tmp_path: Path) -> None:
    content = document([{"segmentation": [SQUARE]}, {"segmentation": [SQUARE], "image_id": 9}])
    root = folder(tmp_path, content, images=("a.png", "b.png"))
    with pytest.raises(BadDataset, match="--allow-missing"):
        coco.read(root, OPTIONS)
    assert any("such as 9" in message for message in coco.read(root, DataOptions(allow_missing=True)).messages)
    content["images"].append({"id": 1, "file_name": "b.png"})
    folder(root, content)
    with pytest.raises(BadDataset, match=r"a\.png and b\.png"):
        coco.read(root, OPTIONS)


def test_an_image_without_annotations_is_background(tmp_path: Path) -> None:
    content = document([{"segmentation": [SQUARE], "image_id": "1"}])
    content["images"].append({"id": 2, "file_name": "b.png"})
    dataset = coco.read(folder(tmp_path, content, images=("a.png", "b.png")), OPTIONS)
    assert labels_of(dataset)["b"].max() == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{", "line 1"),
        ('{"images": [], "annotations": [], "categories": ', "line 1"),
        ("[" * 100_000, "nested"),
        (document([{"segmentation": [[1, 2, 3]]}]), r"annotations\[0\]"),
        (document([{"segmentation": [[1, 2, float("nan"), 4, 5, 6]]}]), "out of range"),
        (document([{"segmentation": [SQUARE], "category_id": 4}]), "category_id"),
        (document([{"segmentation": [SQUARE], "image_id": 9}]), "image_id"),
        (document([{"segmentation": {"size": [9, 9], "counts": "x"}}]), "9 × 9"),
        (document([{"segmentation": "x"}]), "segmentation"),
        (document([{"segmentation": [SQUARE]}], images=[{"id": 1}]), "file_name"),
        (document([{"segmentation": [SQUARE]}], images={}), "images"),
        ({**document([]), "annotations": [7]}, r"annotations\[0\]"),
    ],
)
def test_malformed_files_are_refused_by_place(tmp_path: Path, change: object, words: str) -> None:
    root = folder(tmp_path, change)
    with pytest.raises(BadDataset, match=words) as error:
        coco._read_file(coco._Reading(root, OPTIONS, coco.ImageIndex(root)), root / "annotations.json", None)
    assert "annotations.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_json_is_not_taken_for_coco(tmp_path: Path) -> None:
    folder(tmp_path, {"shapes": [], "imagePath": "a.png"})
    assert not coco.recognise(tmp_path)
    (tmp_path / "annotations.json").write_bytes(b"\xff\xfe\0")
    assert not coco.recognise(tmp_path)


@given(st.integers(0, 10_000))
def test_objects_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("set")
    ignored = Shape(rings=(box(3, 3, 9, 9),), ignore=True)
    some = random_objects(seed)
    unknown = Shapes(shapes=some.shapes, source=some.source, complete=False)
    mixed = Shapes(shapes=(*some.shapes[:2], ignored, *some.shapes[2:]), source=some.source)
    dataset = annotated_set(root / "in", some, unknown, mixed)
    for polygons in (False, True):
        assert coco.write(dataset, root / f"out{polygons}", polygons=polygons) == ()
        again = coco.read(root / f"out{polygons}", OPTIONS)
        assert again.instances
        expected, found = labels_of(dataset), labels_of(again)
        assert list(found) == list(expected)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_class_masks_come_back_with_their_splits(tmp_path: Path) -> None:
    dataset = class_masks(tmp_path / "in")
    assert coco.write(dataset, tmp_path / "out") == ()
    again = coco.read(tmp_path / "out", OPTIONS)
    assert (again.instances, again.classes) == (False, dataset.classes)
    expected, found = labels_of(dataset), labels_of(again)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    with pytest.raises(OutputFailed):
        coco.write(dataset, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools 2.0.11 with numpy 2
def test_pycocotools_reads_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = annotated_set(tmp_path / "in", random_objects(1), random_objects(2))
    coco.write(dataset, tmp_path / "out")
    peer: Any = COCO(str(tmp_path / "out/annotations/instances.json"))
    expected = labels_of(dataset)
    for entry in peer.loadImgs(peer.getImgIds()):
        drawn = np.zeros(SIZE, int)
        for record in peer.loadAnns(peer.getAnnIds(imgIds=entry["id"])):
            mask = peer.annToMask(record).astype(bool)
            assert mask.sum() == record["area"]
            assert list(reference.toBbox(peer.annToRLE(record))) == record["bbox"]
            drawn[mask] = record["id"]
        assert np.array_equal(drawn > 0, expected[Path(entry["file_name"]).stem] > 0)
    capsys.readouterr()
