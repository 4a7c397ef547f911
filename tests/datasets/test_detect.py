"""Formats made of folders: each is recognised, and read as the arrays that were drawn."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pixelwise
from drawn import save
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.detect import FORMATS
from pixelwise.errors import BadDataset, BadOption

SIZE = (24, 30)


def picture(index: int, channels: int = 0) -> np.ndarray:
    rng = np.random.default_rng(index)
    return rng.integers(0, 200, (*SIZE, channels) if channels else SIZE).astype(np.uint8)


def numbered(index: int) -> np.ndarray:
    """Objects 1 to 3, apart from one another, moved by the index."""
    labels = np.zeros(SIZE, np.int32)
    for number in range(3):
        labels[3 + index : 9 + index, 9 * number + 1 : 9 * number + 7] = number + 1
    return labels


def binary(index: int) -> np.ndarray:
    return (numbered(index) > 0).astype(np.int32)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def labels_by_name(dataset: Dataset) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for case in dataset.cases:
        labels = dataset.read(case).labels
        assert isinstance(labels, np.ndarray)
        assert labels.dtype == np.int32
        assert labels.shape == SIZE
        found[case.name] = labels
    return found


def same_objects(labels: np.ndarray, expected: np.ndarray) -> bool:
    """Whether both have the same objects, whatever their numbers."""
    pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and (0, 0) in pairs


# nnU-Net


def nnunet(
    folder: Path,
    *,
    channels: int = 1,
    ending: str = ".png",
    version: int = 2,
    described: bool = True,
    labels: dict[str, int] | None = None,
    values: Callable[[int], np.ndarray] = binary,
    test: bool = False,
) -> None:
    """Draw a folder with a file per channel."""
    for index in range(8):
        where = "Ts" if test and index > 5 else "Tr"
        for channel in range(channels):
            save(folder / f"images{where}/case_{index:03}_{channel:04}{ending}", picture(10 * index + channel))
        save(folder / f"labels{where}/case_{index:03}{ending}", values(index).astype(np.uint8))
    labels = labels or {"background": 0, "cell": 1}
    names = {str(channel): f"stain {channel}" for channel in range(channels)}
    if not described:
        return
    if version == 2:
        write_json(folder / "dataset.json", {"channel_names": names, "labels": labels, "file_ending": ending})
    else:
        by_value = {str(value): name for name, value in labels.items()}
        write_json(folder / "dataset.json", {"modality": names, "labels": by_value, "numTraining": 8})


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_nnunet_of_both_versions(tmp_path: Path, version: int, ending: str) -> None:
    nnunet(tmp_path, version=version, ending=ending)
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.classes, dataset.channels) == ("binary", ("background", "cell"), 1)
    for name, labels in labels_by_name(dataset).items():
        assert np.array_equal(labels, binary(int(name[-3:])))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_nnunet_with_a_file_per_channel(tmp_path: Path, channels: int) -> None:
    nnunet(tmp_path / "Dataset001_Cells", channels=channels)
    dataset = pixelwise.load_dataset(tmp_path)
    assert dataset.channels == channels
    for case in dataset.cases:
        image, labels = dataset.read(case)
        index = int(case.name[-3:])
        assert np.array_equal(image, np.stack([picture(10 * index + channel) for channel in range(channels)]))
        assert labels is not None
        assert np.array_equal(labels, binary(index))


def test_nnunet_test_folder_is_the_test_split(tmp_path: Path) -> None:
    nnunet(tmp_path, test=True)
    dataset = pixelwise.load_dataset(tmp_path)
    assert [len(dataset.splits[split]) for split in ("train", "val", "test")] == [5, 1, 2]


def test_nnunet_test_folder_without_labels_is_for_prediction(tmp_path: Path) -> None:
    nnunet(tmp_path, test=True)
    for path in (tmp_path / "labelsTs").iterdir():
        path.unlink()
    dataset = pixelwise.load_dataset(tmp_path)
    assert not dataset.splits["test"]
    assert any("predict" in message for message in dataset.messages)


def test_nnunet_cases_of_four_digits_are_no_channels(tmp_path: Path) -> None:
    """AMOS: names as in the Medical Decathlon, with labelled validation images in folders of their own."""
    for index in range(9):
        where = ("Tr", "Va", "Ts")[index // 4]
        save(tmp_path / f"images{where}/amos_{7000 + index}.png", picture(index))
        if where != "Ts":
            save(tmp_path / f"labels{where}/amos_{7000 + index}.png", binary(index).astype(np.uint8))
    write_json(tmp_path / "dataset.json", {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}})
    dataset = pixelwise.load_dataset(tmp_path)
    assert {split: len(cases) for split, cases in dataset.splits.items()} == {"train": 4, "val": 4, "test": 0}
    assert dataset.channels == 1


def test_nnunet_ignore_label_and_gaps(tmp_path: Path) -> None:
    def values(index: int) -> np.ndarray:
        return np.array([0, 2, 5, 9])[numbered(index)]

    nnunet(tmp_path, labels={"background": 0, "nucleus": 2, "rim": 5, "ignore": 9}, values=values)
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("multiclass", ("background", "nucleus", "rim"))
    for name, labels in labels_by_name(dataset).items():
        assert np.array_equal(labels, np.array([0, 1, 2, 255])[numbered(int(name[-3:]))])


def test_nnunet_without_description(tmp_path: Path) -> None:
    nnunet(tmp_path, described=False)
    assert pixelwise.load_dataset(tmp_path).task == "binary"


def test_nnunet_regions_are_refused(tmp_path: Path) -> None:
    nnunet(tmp_path, labels={"background": 0, "whole": [1, 2], "core": 2})  # type: ignore[dict-item]
    with pytest.raises(BadDataset, match="region whole"):
        pixelwise.load_dataset(tmp_path)


def test_nnunet_with_a_missing_channel_file_is_refused(tmp_path: Path) -> None:
    nnunet(tmp_path, channels=2)
    (tmp_path / "imagesTr/case_002_0000.png").unlink()
    with pytest.raises(BadDataset, match="_0000 for image case_002"):
        pixelwise.load_dataset(tmp_path)


def test_nnunet_with_a_missing_label_is_reported(tmp_path: Path) -> None:
    nnunet(tmp_path)
    (tmp_path / "labelsTr/case_002.png").unlink()
    with pytest.raises(BadDataset, match="case_002_0000"):
        pixelwise.load_dataset(tmp_path)
    assert len(pixelwise.load_dataset(tmp_path, allow_missing=True).cases) == 7


# a file per object


OBJECT_LAYOUTS = {
    "dsb2018": ("stage1_train/id{0}/images/id{0}.png", "stage1_train/id{0}/masks/{1}f3a.png"),
    "folder per image": ("id{0}/image/id{0}.tif", "id{0}/mask/{1}.tif"),
    "image in its folder": ("id{0}/picture.png", "id{0}/masks/m{1}.png"),
    "masks in a folder of the name": ("images/x{0}.png", "masks/x{0}/{1}.png"),
    "numbered masks": ("images/x{0}.png", "masks/x{0}_{1}.png"),
    "numbered masks with a word": ("images/x_{0}.png", "masks/x_{0}_mask_{1}.png"),
    "splits": ("train/images/x{0}.png", "train/masks/x{0}/{1}.png"),
}


@pytest.mark.parametrize("layout", OBJECT_LAYOUTS)
def test_a_file_per_object(tmp_path: Path, layout: str) -> None:
    image, mask = OBJECT_LAYOUTS[layout]
    for index in range(6):
        save(tmp_path / image.format(index), picture(index))
        for number in range(1, 4):
            save(tmp_path / mask.format(index, number), (255 * (numbered(index) == number)).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, len(dataset.cases)) == ("instance", 6)
    for case in dataset.cases:
        image_read, labels = dataset.read(case)
        index = next(i for i in range(6) if np.array_equal(image_read[0], picture(i)))
        assert isinstance(labels, np.ndarray)
        assert same_objects(labels, numbered(index))


def test_an_image_without_objects_has_an_empty_folder(tmp_path: Path) -> None:
    image, mask = OBJECT_LAYOUTS["dsb2018"]
    for index in range(6):
        save(tmp_path / image.format(index), picture(index))
        (tmp_path / mask.format(index, 0)).parent.mkdir(parents=True)
        for number in range(1, 4) if index else ():
            save(tmp_path / mask.format(index, number), (numbered(index) == number).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    empty = [case for case in dataset.cases if not np.asarray(dataset.read(case).labels).any()]
    assert len(empty) == 1
    assert dataset.read(empty[0]).image.shape == (1, *SIZE)


def test_overlapping_objects_are_reported(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"images/x{index}.png", picture(index))
        save(tmp_path / f"masks/x{index}/1.png", (numbered(index) == 1).astype(np.uint8))
        save(tmp_path / f"masks/x{index}/2.png", (numbered(index) > 0).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    assert any("several masks" in message for message in dataset.messages)
    assert all(np.array_equal(labels > 0, labels == 1) for labels in labels_by_name(dataset).values())


def test_files_of_the_same_names_are_classes(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"images/x{index}.png", picture(index))
        for number, name in enumerate(("liver", "kidney"), 1):
            save(tmp_path / f"masks/x{index}/{name}.png", (numbered(index) == number).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("multiclass", ("background", "kidney", "liver"))


# a folder per class


CLASS_LAYOUTS = {
    "below masks": ("images/{0}.png", "masks/{1}/{0}.png"),
    "other words": ("img/{0}.jpg", "annotations/{1}/{0}.png"),
    "with the class in the name": ("images/{0}.png", "masks/{1}/{0}_{1}.png"),
    "with a suffix": ("images/im{0}.png", "gt/{1}/im{0}_XY.png"),
    "beside the images": ("images/{0}.png", "{1}/{0}.png"),
    "splits above": ("train/images/{0}.png", "train/masks/{1}/{0}.png"),
    "splits between": ("images/train/{0}.png", "masks/train/{1}/{0}.png"),
    "splits below": ("images/train/{0}.png", "masks/{1}/train/{0}.png"),
}


@pytest.mark.parametrize("layout", CLASS_LAYOUTS)
def test_a_folder_per_class(tmp_path: Path, layout: str) -> None:
    image, mask = CLASS_LAYOUTS[layout]
    for index in range(6):
        save(tmp_path / image.format(index), picture(index))
        for number, name in enumerate(("cat", "dog"), 1):
            save(tmp_path / mask.format(index, name), (255 * (numbered(index) == number)).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("multiclass", ("background", "cat", "dog"))
    for case in dataset.cases:
        labels = np.asarray(dataset.read(case).labels)
        index = int("".join(filter(str.isdigit, case.image.stem)))
        assert np.array_equal(labels, np.where(numbered(index) == 3, 0, numbered(index)))


def test_a_class_without_a_file_does_not_occur(tmp_path: Path) -> None:
    image, mask = CLASS_LAYOUTS["below masks"]
    for index in range(6):
        save(tmp_path / image.format(index), picture(index))
        for number, name in enumerate(("cat", "dog") if index % 2 else ("cat",), 1):
            save(tmp_path / mask.format(index, name), (numbered(index) == number).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    assert all((labels == 2).any() == (int(name) % 2) for name, labels in labels_by_name(dataset).items())
    assert any("no file of some class" in message for message in dataset.messages)


@pytest.mark.parametrize("names", [("annotator1", "annotator2"), ("old", "new"), ("1", "2")])
def test_folders_of_versions_are_not_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    for index in range(6):
        save(tmp_path / f"images/{index}.png", picture(index))
        for shift, name in enumerate(names):
            save(tmp_path / f"masks/{name}/{index}.png", np.roll(binary(index), shift, 1).astype(np.uint8))
    with pytest.raises(BadDataset, match="Choose one folder with --masks"):
        pixelwise.load_dataset(tmp_path)
    assert pixelwise.load_dataset(tmp_path, masks=f"masks/{names[0]}").task == "binary"
    assert len(pixelwise.load_dataset(tmp_path, format="folder-per-class").classes) == 3


def test_two_masks_of_the_same_pixels_are_not_objects(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"images/x{index}.png", picture(index))
        for number in (1, 2):
            save(tmp_path / f"masks/x{index}_{number}.png", np.roll(binary(index), number, 1).astype(np.uint8))
    with pytest.raises(BadDataset, match="mark the same pixels"):
        pixelwise.load_dataset(tmp_path)
    assert pixelwise.load_dataset(tmp_path, format="file-per-object").task == "instance"


def test_pictures_for_people_are_no_class(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"images/{index}.png", picture(index))
        save(tmp_path / f"masks/preview/{index}.png", picture(index, 3))
        for number, name in enumerate(("cat", "dog"), 1):
            save(tmp_path / f"masks/{name}/{index}.png", (numbered(index) == number).astype(np.uint8))
    assert pixelwise.load_dataset(tmp_path).classes == ("background", "cat", "dog")


def test_folders_of_masks_with_classes_inside_are_not_classes(tmp_path: Path) -> None:
    for index in range(6):
        for place in ("north", "south"):
            save(tmp_path / f"images/{place}/{index}.png", picture(index + 10 * (place == "north")))
            save(tmp_path / f"masks/{place}/{index}.png", binary(index).astype(np.uint8))
    assert pixelwise.load_dataset(tmp_path).task == "binary"


# Cell Tracking Challenge


def draw_video(folder: Path, video: str, *, silver: bool, markers: bool, cells: int, digits: int = 3) -> None:
    for index in range(4):
        number = f"{index:0{digits}}"
        save(folder / f"{video}/t{number}.tif", picture(index + 10 * int(video)))
        save(folder / f"{video}_GT/TRA/man_track{number}.tif", numbered(index).astype(np.uint16)) if markers else None
        gold = np.where(numbered(index) <= cells, numbered(index), 0).astype(np.uint16)
        if index % 2:
            save(folder / f"{video}_GT/SEG/man_seg{number}.tif", gold)
        if silver:
            save(folder / f"{video}_ST/SEG/man_seg{number}.tif", numbered(index).astype(np.uint16))


@pytest.mark.parametrize("digits", [3, 4])
def test_silver_truth_is_preferred(tmp_path: Path, digits: int) -> None:
    for video in ("01", "02"):
        draw_video(tmp_path, video, silver=True, markers=True, cells=1, digits=digits)
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, len(dataset.cases)) == ("instance", 8)
    assert not {case.group for case in dataset.splits["train"]} & {case.group for case in dataset.splits["val"]}
    for name, labels in labels_by_name(dataset).items():
        assert same_objects(labels, numbered(int(name[-1])))


def test_sparse_gold_truth_ignores_what_it_does_not_cover(tmp_path: Path) -> None:
    for video in ("01", "02"):
        draw_video(tmp_path / "Fluo-N2DH", video, silver=False, markers=True, cells=2)
    dataset = pixelwise.load_dataset(tmp_path)
    assert len(dataset.cases) == 4
    for name, labels in labels_by_name(dataset).items():
        expected = numbered(int(name[-1]))
        assert np.array_equal(labels, np.where((expected == 0) | (expected == 3), -1, expected))


def test_complete_gold_truth_has_a_background(tmp_path: Path) -> None:
    for video in ("01", "02"):
        draw_video(tmp_path, video, silver=False, markers=True, cells=3)
    for name, labels in labels_by_name(pixelwise.load_dataset(tmp_path)).items():
        assert same_objects(labels, numbered(int(name[-1])))


# Cityscapes


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path: Path, kind: str) -> None:
    road, car = (7, 26) if kind == "labelIds" else (0, 13)
    for index in range(8):
        place = ("train/ulm", "train/bonn", "val/lindau")[index % 3]
        stem = f"{place}/{place.split('/')[1]}_{index:06}_000019"
        save(tmp_path / f"leftImg8bit/{stem}_leftImg8bit.png", picture(index, 3))
        truth = np.array([road, car, car, 255 if kind == "labelTrainIds" else car])[numbered(index)]
        save(tmp_path / f"gtFine/{stem}_gtFine_{kind}.png", truth.astype(np.uint8))
        save(tmp_path / f"gtFine/{stem}_gtFine_instanceIds.png", truth.astype(np.uint16) * 1000)
        save(tmp_path / f"gtFine/{stem}_gtFine_color.png", picture(index, 3))
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("binary", ("road", "car"))
    assert [len(dataset.splits[split]) for split in ("train", "val", "test")] == [6, 2, 0]
    for name, labels in labels_by_name(dataset).items():
        expected = numbered(int(name.split("_")[-2]))
        last = 255 if kind == "labelTrainIds" else 1
        assert np.array_equal(labels, np.array([0, 1, 1, last])[expected])


# retinal vessels


VESSELS = {
    "drive": ("training/images/{0}_training.tif", "training/1st_manual/{0}_manual1.png", "training/mask/{0}_mask.png"),
    "one folder": ("images/{0}.png", "1st_manual/{0}.png", "mask/{0}.png"),
    "hrf": ("images/{0}_dr.jpg", "manual1/{0}_dr.tif", "mask/{0}_dr_mask.tif"),
}


@pytest.mark.parametrize("layout", VESSELS)
def test_the_field_of_view_is_not_the_truth(tmp_path: Path, layout: str) -> None:
    image, truth, view = VESSELS[layout]
    seen = np.zeros(SIZE, bool)
    seen[2:-2, 2:-2] = True
    for index in range(6):
        number = f"{index + 1:02}"
        save(tmp_path / image.format(number), picture(index, 3))
        save(tmp_path / truth.format(number), (255 * binary(index)).astype(np.uint8))
        save(tmp_path / view.format(number), (255 * seen).astype(np.uint8))
    dataset = pixelwise.load_dataset(tmp_path)
    assert (dataset.task, len(dataset.cases)) == ("binary", 6)
    for name, labels in labels_by_name(dataset).items():
        assert np.array_equal(labels, np.where(seen, binary(int(name[:2]) - 1), 255))


def test_an_observer_is_chosen(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"Image_{index:02}L.jpg", picture(index, 3))
        save(tmp_path / f"Image_{index:02}L_1stHO.png", binary(index).astype(np.uint8))
        save(tmp_path / f"Image_{index:02}L_2ndHO.png", 1 - binary(index).astype(np.uint8))
    first, second = (pixelwise.load_dataset(tmp_path, masks=name) for name in (None, "_2ndHO"))
    for name, labels in labels_by_name(first).items():
        assert np.array_equal(labels, binary(int(name[-3:-1])))
        assert np.array_equal(labels_by_name(second)[name], 1 - labels)
    with pytest.raises(BadDataset, match="_1stHO, _2ndHO"):
        pixelwise.load_dataset(tmp_path, masks="third")


# lists


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_files(tmp_path: Path, separator: str) -> None:
    rows = [("image", "mask", "split", "group")]
    for index in range(6):
        save(tmp_path / f"a/{index}.png", picture(index))
        save(tmp_path / f"b/t{index}.png", binary(index).astype(np.uint8))
        rows.append((f"a/{index}.png", f"b/t{index}.png", "val" if index > 3 else "train", f"patient {index // 2}"))
    (tmp_path / "data.csv").write_text("\n".join(separator.join(row) for row in rows), encoding="utf-8")
    dataset = pixelwise.load_dataset(tmp_path)
    assert {case.name for case in dataset.splits["val"]} == {"4", "5"}
    for name, labels in labels_by_name(dataset).items():
        assert np.array_equal(labels, binary(int(name)))


def test_lists_of_lines_without_header(tmp_path: Path) -> None:
    for split, indices in (("train", range(4)), ("val", range(4, 6))):
        for index in indices:
            save(tmp_path / f"a/{index}.png", picture(index))
            save(tmp_path / f"b/t{index}.png", binary(index).astype(np.uint8))
        lines = [f"a/{index}.png b/t{index}.png" for index in indices]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    dataset = pixelwise.load_dataset(tmp_path)
    assert [len(dataset.splits[split]) for split in ("train", "val")] == [4, 2]


def test_absolute_paths_and_missing_files(tmp_path: Path) -> None:
    lines = ["img,label"]
    for index in range(6):
        image = save(tmp_path / f"elsewhere/a/{index}.png", picture(index))
        mask = save(tmp_path / f"elsewhere/b/{index}.png", binary(index).astype(np.uint8))
        lines.append(f"{image},{mask}")
    last = lines[-1].split(",")[1]
    (tmp_path / "set").mkdir()
    path = tmp_path / "set/list.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert len(pixelwise.load_dataset(tmp_path / "set").cases) == 6
    path.write_text("\n".join([*lines, f"nothing.png,{last}"]), encoding="utf-8")
    with pytest.raises(BadDataset, match="line 8"):
        pixelwise.load_dataset(tmp_path / "set")


# the option


def test_a_format_can_be_named_or_switched_off(tmp_path: Path) -> None:
    nnunet(tmp_path)
    assert pixelwise.load_dataset(tmp_path, format="nnunet").format == "nnU-Net"
    with pytest.raises(BadDataset):
        pixelwise.load_dataset(tmp_path, format="cityscapes")
    with pytest.raises(BadOption, match="nnunet"):
        pixelwise.load_dataset(tmp_path, format="nnunett")
    assert pixelwise.load_dataset(tmp_path, format="folders").format == ""


def test_plain_folders_have_no_format(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"images/{index}.png", picture(index))
        save(tmp_path / f"masks/{index}.png", binary(index).astype(np.uint8))
    assert not [format.key for format in FORMATS if format.recognise(tmp_path)]
    assert pixelwise.load_dataset(tmp_path).format == ""


@pytest.mark.parametrize("suffix", ["csv", "json", "geojson", "gpkg", "xml", "txt"])
def test_a_link_to_nowhere_is_no_annotation(tmp_path: Path, suffix: str) -> None:
    for index in range(3):
        save(tmp_path / f"images/a{index}.png", picture(index))
        save(tmp_path / f"masks/a{index}.png", 255 * binary(index).astype(np.uint8))
    (tmp_path / f"old.{suffix}").symlink_to(tmp_path / "moved away")
    dataset = pixelwise.load_dataset(tmp_path)
    assert len(dataset.cases) == 3
    assert dataset.task == "binary"
