"""Regions of a data set: from dataset.json of nnU-Net, from the option, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn import image, pairs, save
from pixelwise.datasets.dataset import Dataset, load_dataset
from pixelwise.datasets.records import Region
from pixelwise.errors import BadDataset, BadOption
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

NESTED = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def nested(seed: int) -> np.ndarray:
    """Rectangles in one another: 1 around 2 around 3."""
    drawn = np.zeros((32, 40), np.uint8)
    for value, edge in ((1, 0), (2, 4), (3, 8)):
        drawn[3 + edge : 30 - edge, 4 + edge + seed % 3 : 32 - edge] = value
    return drawn


def nnunet(root: Path, labels: dict[str, Any], order: list[int] | None, change: int = 0) -> Path:
    for number in range(4):
        save(root / f"imagesTr/c{number}_0000.png", image(number))
        mask = nested(number)
        mask[0, 0] = change
        save(root / f"labelsTr/c{number}.png", mask)
    content: dict[str, Any] = {"channel_names": {"0": "gray"}, "labels": labels, "file_ending": ".png"}
    content |= {} if order is None else {"regions_class_order": order}
    (root / "dataset.json").write_text(json.dumps(content), "utf-8")
    return root


def names(dataset: Dataset) -> list[tuple[str, tuple[int, ...], int]]:
    return [(region.name, region.classes, region.written) for region in dataset.labelling.regions]


def test_regions_of_nnunet(tmp_path: Path) -> None:
    dataset = load_dataset(nnunet(tmp_path, {**NESTED, "ignore": 4}, [1, 2, 3], change=4))
    assert dataset.classes == ("background", "class_1", "class_2", "enhancing")
    assert names(dataset) == [("whole", (1, 2, 3), 1), ("core", (2, 3), 2), ("enhancing", (3,), 3)]
    assert dataset.labelling.ignore_value == 4
    assert any("order" in text and "--regions" in text for text in dataset.messages)


def test_the_option_names_values_and_is_above_the_file(tmp_path: Path) -> None:
    root = pairs(tmp_path, draw=nested)
    dataset = load_dataset(root, task="multiclass", regions=("whole=1+2+3", "core=2+3", "inner=3"))
    assert dataset.labelling.regions[1] == Region(name="core", classes=(2, 3), written=2)
    assert load_dataset(root, task="multiclass").labelling.regions == ()


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (NESTED, None),
        (NESTED, [1, 2]),
        (NESTED, [1, 2, 2]),
        ({**NESTED, "core": "2"}, [1, 2, 3]),
        ({**NESTED, "core": [2.5]}, [1, 2, 3]),
        ({"background": 0, "whole": [1, 2], "core": [2]}, [1, 3]),
    ],
    ids=["no order", "short order", "twice", "text", "fraction", "not inside"],
)
def test_malformed_regions_are_refused(tmp_path: Path, labels: dict[str, Any], order: list[int] | None) -> None:
    with pytest.raises(BadDataset):
        load_dataset(nnunet(tmp_path, labels, order))


@pytest.mark.parametrize("regions", [("whole=1+2", "core=2"), ("a=1+2+3", "b=2+9", "c=3"), ("a=1", "a=2", "b=3")])
def test_regions_that_do_not_fit_the_masks_are_refused(tmp_path: Path, regions: tuple[str, ...]) -> None:
    with pytest.raises(BadDataset):
        load_dataset(pairs(tmp_path, draw=nested), task="multiclass", regions=regions)


@pytest.mark.parametrize("text", ["whole", "=1", "a=", "a=1+", "a=1+1", "a=-1"])
def test_an_unreadable_option_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="--regions"):
        load_dataset(Path(), regions=(text,))


def test_objects_have_no_regions(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="objects"):
        load_dataset(pairs(tmp_path, draw=nested), task="instance", regions=("a=1+2+3",))


def test_nnunet_gets_the_regions_and_others_report_them(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "in", {**NESTED, "ignore": 4}, [1, 2, 3], change=4)
    result = convert(root, to="nnunet", out=tmp_path / "out", progress=Progress())
    assert names(load_dataset(tmp_path / "out")) == names(result.dataset)
    assert not any("regions" in text for text in result.losses)
    others = convert(root, to="folders", out=tmp_path / "folders", progress=Progress())
    assert any("regions whole, core, enhancing" in text for text in others.losses)
