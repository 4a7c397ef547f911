"""Outlines of ImageScope and ASAP: classes, holes, and files that are refused."""

from pathlib import Path

import pytest

from annotated import labels_of
from drawn import image, save
from pixelwise.datasets.formats import slide_outlines
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()


def vertices(left: int, top: int, right: int, bottom: int) -> str:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners)


def region(box: tuple[int, int, int, int], hole: bool = False) -> str:
    return f'<Region NegativeROA="{int(hole)}"><Attributes/><Vertices>{vertices(*box)}</Vertices></Region>'


def write(folder: Path, xml: str) -> Path:
    save(folder / "images/im_0.tif", image(0))
    (folder / "xml").mkdir(parents=True, exist_ok=True)
    (folder / "xml/im_0.xml").write_text(xml, encoding="utf-8")
    return folder


def test_layers_are_classes_and_negative_regions_are_holes(tmp_path: Path) -> None:
    described = '<Attributes><Attribute Name="Description" Value=""/></Attributes>'
    named = '<Attributes><Attribute Name="Epithelial" Value=""/></Attributes>'
    first = f'<Annotation Name="stroma">{described}<Regions>{region((2, 2, 12, 10))}</Regions></Annotation>'
    inner = region((20, 4, 30, 14)) + region((22, 6, 25, 9), hole=True)
    second = f'<Annotation Name="">{named}<Regions>{inner}{region((3, 20, 8, 25))}</Regions></Annotation>'
    root = write(tmp_path, f"<Annotations>{first}{second}</Annotations>")
    assert slide_outlines.recognise(root)
    found = slide_outlines.read(root, OPTIONS)
    assert (found.classes, found.instances) == (("Epithelial", "stroma"), True)
    drawn = labels_of(found)["im_0"] > 0
    assert int(drawn.sum()) == 80 + 100 - 9 + 25
    assert not drawn[7, 23]


@pytest.mark.parametrize(
    "xml",
    [
        f"<Annotations><Annotation><Regions>{region((2, 2, 12, 10))}",
        f'<!DOCTYPE x [<!ENTITY a "b">]><Annotations><Annotation>{region((2, 2, 9, 9))}</Annotation></Annotations>',
        '<Annotations><Annotation><Region><Vertex X="a" Y="1"/></Region></Annotation></Annotations>',
        f"<Annotations>{'<a>' * 40}<Vertex/>{'</a>' * 40}</Annotations>",
    ],
)
def test_damaged_files_are_refused_with_their_line(tmp_path: Path, xml: str) -> None:
    with pytest.raises(BadDataset, match="line"):
        slide_outlines.read(write(tmp_path, xml), OPTIONS)


@pytest.mark.parametrize("encoding", ["Xtf-8", "base64"])
def test_unknown_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    body = f"<Annotations><Annotation><Regions>{region((2, 2, 12, 10))}</Regions></Annotation></Annotations>"
    with pytest.raises(BadDataset, match=r"encoding|valid XML"):
        slide_outlines.read(write(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?>{body}'), OPTIONS)


def test_a_missing_image_is_refused_or_left_out(tmp_path: Path) -> None:
    xml = f"<Annotations><Annotation>{region((2, 2, 9, 9))}</Annotation></Annotations>"
    root = write(tmp_path, xml)
    (root / "xml/gone.xml").write_text(xml, encoding="utf-8")
    with pytest.raises(BadDataset, match="--allow-missing"):
        slide_outlines.read(root, OPTIONS)
    assert len(slide_outlines.read(root, DataOptions(allow_missing=True)).images) == 1
