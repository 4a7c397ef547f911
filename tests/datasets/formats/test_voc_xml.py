"""XML files with polygons: uneven points are refused, objects without one are counted, boxes alone are not read."""

from pathlib import Path

import pytest

from drawn import image, save
from pixelwise.datasets.formats import voc_xml
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
SQUARE = "<x1>2</x1><y1>2</y1><x2>9</x2><y2>2</y2><x3>9</x3><y3>8</y3>"


def write(folder: Path, *polygons: str) -> Path:
    save(folder / "a.png", image(1))
    members = "".join(f"<object><name>cell</name>{polygon}</object>" for polygon in polygons)
    content = f"<annotation><filename>a.png</filename>{members}</annotation>"
    (folder / "a.xml").write_text(content, encoding="utf-8")
    return folder


def test_objects_without_a_polygon_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write(tmp_path, f"<polygon>{SQUARE}</polygon>", "<bndbox><xmin>1</xmin></bndbox>")
    found = voc_xml.read(root, OPTIONS)
    assert found.classes == ("cell",)
    assert any("1 object" in message for message in found.messages)


def test_boxes_alone_are_another_format(tmp_path: Path) -> None:
    assert not voc_xml.recognise(write(tmp_path, "<bndbox><xmin>1</xmin></bndbox>"))
    # control: with one polygon the same files are recognised
    assert voc_xml.recognise(write(tmp_path, f"<polygon>{SQUARE}</polygon>"))


@pytest.mark.parametrize("points", [SQUARE.replace("<y3>8</y3>", ""), SQUARE.replace("8", "far")])
def test_points_that_are_no_pairs_of_numbers_are_refused(tmp_path: Path, points: str) -> None:
    with pytest.raises(BadDataset, match="line 1"):
        voc_xml.read(write(tmp_path, f"<polygon>{points}</polygon>"), OPTIONS)
