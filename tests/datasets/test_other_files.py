"""Folders without images or masks are refused with what they contain, and what to do."""

import json
from pathlib import Path

import pytest

from drawn import image, mask, save
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.errors import BadDataset


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tissuenet_train.npz", "Name the arrays"),
        ("tissuenet_train.mat", "Name the arrays"),
        ("tissuenet_train.pkl", "TIFF or PNG"),
        ("imagesTr/spleen_0.mgz", "NIfTI"),
        ("scan.czi", "TIFF"),
        ("data.zip", "Unpack"),
        ("clip.mp4", "frames"),
        ("photo.HEIC", "PNG"),
    ],
)
def test_files_of_another_kind_are_named_with_a_way_out(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"0123")
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert Path(name).suffix.casefold() in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("name", ["Annotations/case_0.xml", "outlines.mat", "labels.json"])
def test_annotations_without_a_known_format_are_named(tmp_path: Path, name: str) -> None:
    for index in range(2):
        save(tmp_path / f"images/case_{index}.png", image(index))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("<Annotations/>", "utf-8")
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert name in str(caught.value)


def test_shapefiles_are_named_with_the_formats_that_are_read(tmp_path: Path) -> None:
    save(tmp_path / "tiles/1.tif", image(1))
    for ending in (".shp", ".dbf", ".shx", ".prj", ".cpg"):
        (tmp_path / f"buildings{ending}").write_bytes(b"\0\0'\n")
    with pytest.raises(BadDataset, match=r"buildings\.shp.*\.gpkg"):
        detect_dataset(tmp_path)


def test_boxes_are_called_boxes(tmp_path: Path) -> None:
    for index in range(2):
        save(tmp_path / f"JPEGImages/{index}.jpg", image(index))
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        text = "<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>"
        (tmp_path / f"Annotations/{index}.xml").write_text(text, "utf-8")
    with pytest.raises(BadDataset, match="boxes alone"):
        detect_dataset(tmp_path)


def test_files_without_common_names_pair_by_the_list_that_the_message_names(tmp_path: Path) -> None:
    rows = ["image,mask"]
    for index in range(6):
        save(tmp_path / f"images/a{index * 7}.png", image(index))
        save(tmp_path / f"masks/z{index * 3 + 1}.png", mask(index))
        rows.append(f"images/a{index * 7}.png,masks/z{index * 3 + 1}.png")
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert "pairs.csv" in str(caught.value)
    assert "would pair" not in str(caught.value), "a rule for a few of the files is no rule"
    (tmp_path / "pairs.csv").write_text("\n".join(rows), "utf-8")
    assert len(detect_dataset(tmp_path).cases) == 6


HASTY = {"project_name": "p", "export_format_version": "1.1", "label_classes": [], "images": []}
LABELBOX = {"data_row": {"id": "c", "external_id": "0.png"}, "projects": {"p": {"labels": []}}}
LABELBOX_OLD = {"ID": "c", "DataRow ID": "d", "Labeled Data": "https://example.org/0.png", "Label": {"objects": []}}


@pytest.mark.parametrize(
    ("name", "content", "program", "advice"),
    [
        ("export.json", json.dumps(HASTY), "Hasty", "COCO"),
        ("export.json", json.dumps(HASTY, indent=2), "Hasty", "PNG"),
        ("export.ndjson", "\n".join([json.dumps(LABELBOX)] * 2), "Labelbox", "PNG"),
        ("labels/export.json", json.dumps([LABELBOX]), "Labelbox", "COCO"),
        ("export.json", json.dumps([LABELBOX_OLD]), "Labelbox", "PNG"),
    ],
)
def test_exports_of_other_programs_are_named(
    tmp_path: Path, name: str, content: str, program: str, advice: str
) -> None:
    for index in range(2):
        save(tmp_path / f"images/{index}.png", image(index))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert program in str(caught.value)
    assert advice in str(caught.value)
    assert name in str(caught.value)
