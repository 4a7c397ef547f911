"""Tables of colours under other names count if the masks have their colours, and only then."""

from pathlib import Path

import numpy as np
import pytest

from drawn import coloured, image, save, several
from pixelwise import load_dataset
from pixelwise.datasets.masks.class_table import read_class_table

LEGENDS = {
    "legend.txt": "Colours of the masks\n\nwater: 255,0,0\nroad: 0,0,255\n",
    "set-colormap.txt": "0 void 0 0 0\n1 water 255 0 0\n2 road 0 0 255\n",
    "palette.csv": "water #FF0000\nroad #0000ff\n",
    "class_list.json": '{"#ff0000": "water", "#0000ff": "road"}',
    "label_colours.json": '[{"name": "water", "color": [255, 0, 0]}, {"name": "road", "color": [0, 0, 255]}]',
}


def write(folder: Path, draw: object = coloured) -> Path:
    for seed in range(5):
        save(folder / f"images/{seed}.png", image(seed, (32, 40, 3)))
        save(folder / f"masks/{seed}.png", draw(seed))  # pyright: ignore[reportCallIssue]
    return folder


@pytest.mark.parametrize("name", LEGENDS)
def test_a_legend_names_the_colours(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_text(LEGENDS[name], encoding="utf-8")
    dataset = load_dataset(tmp_path)
    assert {"water", "road"} <= set(dataset.classes)
    example = dataset.read(dataset.cases[0])
    water = (coloured(int(dataset.cases[0].name)) == (255, 0, 0)).all(-1)
    assert np.array_equal(example.labels == dataset.classes.index("water"), water)


@pytest.mark.parametrize("draw", [several(1, 2), lambda seed: np.array([0, 9, 70], np.uint8)[several(1, 2)(seed)]])
def test_a_legend_of_other_masks_is_not_used(tmp_path: Path, draw: object) -> None:
    """Control: numbers, for which the names in the order of the lines would be wrong."""
    write(tmp_path, draw)
    (tmp_path / "legend.txt").write_text(LEGENDS["legend.txt"], encoding="utf-8")
    assert not {"water", "road"} & set(load_dataset(tmp_path).classes)


def test_texts_and_files_of_single_images_are_no_legends(tmp_path: Path) -> None:
    (tmp_path / "colours.txt").write_text("Photographs of 2021\nby a camera, 12 13 14\n", encoding="utf-8")
    assert not read_class_table(tmp_path).entries
    for index in range(5):  # one for each image
        (tmp_path / f"{index}_labels.txt").write_text(LEGENDS["legend.txt"], encoding="utf-8")
    assert not read_class_table(tmp_path).entries
