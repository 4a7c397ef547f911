"""CVAT files."""

from pathlib import Path

import numpy as np
import pytest

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import cvat
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
META = (
    "<meta><job><labels><label><name>dog</name><color>#ff0000</color></label>"
    "<label><name>cat</name></label></labels></job></meta>"
)
SQUARE = '<polygon label="dog" points="4.00,4.00;10.00,4.00;10.00,9.00;4.00,9.00" z_order="0"></polygon>'
OTHER = '<polygon label="dog" points="20,20;24,20;24,24;20,24" z_order="0"/>'


def folder(root: Path, body: str, name: str = "a.png", meta: str = META, subset: str = "") -> Path:
    save(root / "images" / name.split("/")[-1], image(0))
    head = f'<image id="0" name="{name}" subset="{subset}" width="{SIZE[1]}" height="{SIZE[0]}">'
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{meta}\n{head}\n{body}</image>'
    )
    (root / "annotations.xml").write_text(f"{text}</annotations>", "utf-8")
    return root


def labels(root: Path) -> np.ndarray:
    (drawn,) = labels_of(cvat.read(root, OPTIONS)).values()
    return drawn


def test_polygons_masks_and_ellipses(tmp_path: Path) -> None:
    mask = '<mask label="dog" rle="1, 2, 2, 1" left="20" top="10" width="3" height="2" z_order="0"></mask>'
    ellipse = '<ellipse label="dog" cx="30" cy="24" rx="4" ry="4" z_order="0"/>'
    root = folder(tmp_path, SQUARE + mask + ellipse, "sub/a.png", subset="Validation")
    assert cvat.recognise(root)
    dataset = cvat.read(root, OPTIONS)
    assert (dataset.classes, dataset.instances) == (("dog", "cat"), True)
    assert [(member.name, member.split) for member in dataset.images] == [("val/a", "val")]
    drawn = labels(root) > 0
    assert drawn[4:9, 4:10].all()
    assert drawn[10:12, 20:23].tolist() == [[False, True, True], [False, False, True]]
    assert abs(drawn[19:29, 25:35].sum() - np.pi * 16) < 4


def test_z_order_and_groups(tmp_path: Path) -> None:
    upper = '<polygon label="cat" points="0,0;40,0;40,12;0,12" z_order="-1" group_id="5"/>'
    part = '<polygon label="cat" points="0,30;4,30;4,32;0,32" z_order="0" group_id="5"/>'
    drawn = labels(folder(tmp_path, SQUARE + upper + part + OTHER))
    assert drawn[0, 0] == drawn[31, 0]
    assert drawn[5, 5] not in (drawn[0, 0], drawn[21, 21])


def test_boxes_are_ignored_and_lines_left_out(tmp_path: Path) -> None:
    box = '<box label="dog" xtl="4" ytl="4" xbr="20" ybr="12" z_order="3"/>'
    line = '<polyline label="dog" points="1,1;2,2"/>'
    tag = '<tag label="cat"><attribute name="x">1</attribute></tag>'
    dataset = cvat.read(folder(tmp_path, SQUARE + box + line + tag + OTHER), OPTIONS)
    drawn = labels(tmp_path)
    assert drawn[5, 5] == 1
    assert drawn[5, 15] == -1
    assert len(dataset.messages) == 2


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<annotations>", f"{BOMB}<annotations>", "document type"),
        ("<annotations>", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotations>', "document type"),
        ("</image>", "", "line 6"),
        ("4.00,4.00;", "4.00;", "line 6"),
        ("4.00,4.00;", "nan,4.00;", "line 6"),
        (
            '<polygon label="dog"',
            '<mask rle="1,2" left="0" top="0" width="9" height="9"/><polygon label="dog"',
            "9 × 9",
        ),
        ('<polygon label="dog"', '<mask rle="x" left="0" top="0" width="1" height="1"/><polygon label="dog"', "1 × 1"),
        ('<polygon label="dog"', '<mask rle="1" left="0" top="a" width="1" height="1"/><polygon label="dog"', "top"),
        ("<version>", "<a>" * 40 + "</a>" * 40 + "<version>", "levels"),
        ("<version>", '<track id="0"></track><version>', "CVAT for images"),
        ('name="a.png"', 'name="gone.png"', "gone.png"),
    ],
)
def test_malformed_files_are_refused_by_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    root = folder(tmp_path, SQUARE)
    path = root / "annotations.xml"
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(BadDataset, match=words) as error:
        cvat.read(root, OPTIONS)
    assert "annotations.xml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["Xtf-8", "utf-7", "shift_jis", "base64"])
def test_unknown_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    root = folder(tmp_path, SQUARE)
    path = root / "annotations.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?>\n' + path.read_text("utf-8").split("?>")[-1], "utf-8")
    with pytest.raises(BadDataset, match=r"encoding|valid XML"):
        cvat.read(root, OPTIONS)


def test_other_xml_is_not_taken_for_cvat(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>", encoding="utf-8")
    assert not cvat.recognise(tmp_path)
