"""Class tables with a header: any order of columns, separators, colours in other forms, folders below."""

from pathlib import Path

import numpy as np
import pytest

import drawn
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.masks.class_table import parse_json, parse_table, read_class_table

ROAD, SEA = (255, 0, 0), (0, 0, 255)
VARIANTS = (
    "name,r,g,b\nroad,255,0,0\nsea,0,0,255\n",
    "r,g,b,name\n255,0,0,road\n0,0,255,sea\n",
    "R, G, B, Class\n255, 0, 0, road\n0, 0, 255, sea\n",
    "Name;Red;Green;Blue\nroad;255;0;0\nsea;0;0;255\n",
    "class_name\tcolor\nroad\t#FF0000\nsea\t#0000ff\n",
    'label,rgb\nroad,"255,0,0"\nsea,"(0, 0, 255)"\n',
    "id,color,Class Name,weight\n1,255 0 0,road,0.5\n2,0 0 255,sea,1\n",
    "\ufeffNAME,R,G,B\r\nroad,255,0,0\r\nsea,0,0,255\r\n".removeprefix("\ufeff"),
)


@pytest.mark.parametrize("text", VARIANTS)
def test_variants_of_a_table_of_colours(text: str) -> None:
    assert [(entry.name, entry.colour) for entry in parse_table(text)] == [("road", ROAD), ("sea", SEA)]


@pytest.mark.parametrize(
    "text",
    [
        "label\tGT_code\nroad\t1\nsea\t2\n",
        '# ITK-SnAP\n1 255 0 0 1 1 1 "road"\n2 0 0 255 0.5 1 0 "sea"\n',
    ],
)
def test_tables_of_numbers(text: str) -> None:
    assert [(entry.name, entry.value) for entry in parse_table(text)] == [("road", 1), ("sea", 2)]


@pytest.mark.parametrize(("folders", "found"), [(("1_json", "2_json"), True), (("1_json", "2_json", "other"), False)])
def test_equal_tables_beside_each_image_are_one(tmp_path: Path, folders: tuple[str, ...], found: bool) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
        first = "sea" if folder == "other" else "ground"
        (tmp_path / folder / "label_names.txt").write_text(f"{first}\nroad\n", encoding="utf-8")
    assert bool(read_class_table(tmp_path).entries) is found


@pytest.mark.parametrize("row", ["road,256,0,0", "road,1,2", ",1,2,3", "road,a,b,c"])
def test_rows_that_do_not_fit_the_header_are_named(row: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_table(f"name,r,g,b\n{row}\n")


@pytest.mark.parametrize(
    "text",
    [
        '{"classes": [{"title": "road", "color": "#FF0000"}, {"title": "sea", "color": "#0000FF"}]}',
        '[{"name": "road", "color": [255, 0, 0]}, {"name": "sea", "rgb": [0, 0, 255]}]',
        '{"road": [255, 0, 0], "sea": "#0000FF"}',
    ],
)
def test_tables_in_json(text: str) -> None:
    assert [(entry.name, entry.colour) for entry in parse_json(text)] == [("road", ROAD), ("sea", SEA)]


def test_a_table_below_the_folder_is_read_if_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "set/a").mkdir(parents=True)
    (tmp_path / "set/a/class_dict.csv").write_text(VARIANTS[0], encoding="utf-8")
    assert len(read_class_table(tmp_path).entries) == 2
    (tmp_path / "set/b").mkdir()
    (tmp_path / "set/b/class_dict.csv").write_text(VARIANTS[1], encoding="utf-8")
    assert not read_class_table(tmp_path).entries
    (tmp_path / "class_dict.csv").write_text(VARIANTS[2], encoding="utf-8")
    assert len(read_class_table(tmp_path).entries) == 2


@pytest.mark.parametrize("value", [1, 255])
def test_gray_masks_get_the_names_of_their_colours(tmp_path: Path, value: int) -> None:
    folder = drawn.pairs(tmp_path, draw=lambda seed: drawn.mask(seed, value))
    (folder / "class_dict.csv").write_text("name,r,g,b\nroad,255,255,255\nother,0,0,0\n", encoding="utf-8")
    dataset = load_dataset(folder)
    assert dataset.classes == ("other", "road")
    assert np.array_equal(dataset.read(dataset.cases[0]).labels, drawn.mask(0) > 0)
