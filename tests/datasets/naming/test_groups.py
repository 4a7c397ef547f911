"""Groups are recognised from paths, and only when they are plain."""

import re

import pytest

from pixelwise.datasets.naming.groups import find_folders, find_groups, search_groups

GROUPED = {
    "patients in folders": ([f"patient{i // 4:02}/{i % 4}" for i in range(16)], r"patient\d+"),
    "folders in folders": ([f"sub-{i // 6:02}/ses{i // 2}/{i}" for i in range(24)], r"sub-\d+"),
    "numbered folders": ([f"{i // 4:03}/{i % 4}" for i in range(16)], r"^\d+"),
    "videos in folders": ([f"clip {i // 5}/frame{i}" for i in range(25)], r"clip \d"),
    "patient and slice": ([f"patient{i // 5:02}_slice{i % 5}" for i in range(25)], r"patient\d+"),
    "letter and numbers": ([f"P{i // 5:03}-{10 * i}" for i in range(25)], r"P\d+"),
    "letter, numbers from 1": ([f"P{i // 5:03}-{i % 5 + 1}" for i in range(25)], r"P\d+"),
    "video and frame": ([f"video{i // 5}_frame{i % 5 * 30:04}" for i in range(25)], r"video\d+"),
    "scene and position": ([f"{n}_{i // 3}_{i % 3}" for n in ("ulm", "oslo", "rome") for i in range(9)], "^[a-z]+"),
    "tiles": ([f"{n}_r{i // 3}_c{i % 3}" for n in ("a1", "b2", "c3") for i in range(9)], r"^\w\d"),
    "both eyes": ([f"Image_{i:02}{side}" for i in range(1, 9) for side in "LR"], r"Image_\d+"),
    "augmented": ([f"x{i}{end}" for i in range(6) for end in ("", "_flip", "_rot90_3", "_aug-2")], r"x\d"),
    "augmented alone": ([f"a{i}b_{w}_{n}" for i in range(6) for w in ("bright", "noise") for n in (1, 2)], r"a\db"),
    "Roboflow": ([f"s{i}-9_jpg.rf.{i:08x}{n}f0" for i in range(6) for n in (1, 2, 3)], r"s\d-9"),
    "volume and slice": ([f"{i // 4:03}_z{i % 4}" for i in range(16)], r"^\d+"),
}
PLAIN = {
    "camera": [f"IMG_{i:04}" for i in range(30)],
    "camera with dates": [f"IMG_2020010{i % 4}_{(7919 * i) % 235959:06}" for i in range(40)],
    "dates": [f"2020010{i % 4}_{(7919 * i) % 235959:06}" for i in range(40)],
    "species": [f"{name}_{i}" for name in ("abyssinian", "bombay", "pug") for i in range(9)],
    "slices of one volume": [f"slice_{i:02}" for i in range(20)],
    "cases": [f"case_{i:03}" for i in range(20)],
    "a folder per image": [f"id{i:02}/id{i:02}" for i in range(20)],
    "tiles of one picture": [f"tile_{i // 4}_{i % 4}" for i in range(16)],
    "rows and columns": [f"{i // 4}_{i % 4}" for i in range(16)],
    "two groups": [f"patient{i // 8}/{i % 8}" for i in range(16)],
    "one large group": [f"patient{max(0, i - 12) // 2}/{i}" for i in range(20)],
    "folders of classes": [f"class{i % 4}/{i}" for i in range(16)],
    "equal names in folders of classes": [f"{100 + i % 6}" for i in range(18)],
    "hashes": [f"{(i * 2654435761) % 2**32:08x}" for i in range(40)],
}


@pytest.mark.parametrize("name", GROUPED)
def test_groups_are_recognised(name: str) -> None:
    paths, expression = GROUPED[name]
    found = find_groups(paths)
    assert found is not None
    truth = [match[0] for match in (re.search(expression, path) for path in paths) if match]
    assert len(set(zip(found.groups, truth, strict=True))) == len(set(truth)) == len(set(found.groups))
    if found.expression:
        assert search_groups(found.expression, paths) == list(found.groups), "the reported flag gives the same groups"


@pytest.mark.parametrize("name", PLAIN)
def test_other_names_give_none(name: str) -> None:
    assert find_groups(PLAIN[name]) is None


def test_an_expression_sees_names_first_then_paths() -> None:
    paths = ["images/p1/s_1", "images/p2/s_2"]
    assert search_groups(r"(p\d)", paths) == ["p1", "p2"]
    assert search_groups(r"^s_(\d)", paths) == ["1", "2"]
    assert search_groups(r"([^/]+)/[^/]+$", paths) == ["p1", "p2"]
    assert search_groups(r"^images/(p1)", paths) == ["p1", None]


def test_folders_that_may_be_groups() -> None:
    paths = [f"{name}/{item}" for name in ("anna", "bert", "cora") for item in range(4)]
    assert find_groups(paths) is None
    assert find_folders(paths) == ["anna", "bert", "cora"]
    assert find_folders([path.replace("/", "_") for path in paths]) == []
    assert find_folders([f"{item}/{item}" for item in range(12)]) == []


def test_folders_that_may_be_groups_are_the_outermost_or_the_innermost() -> None:
    names = ("bear", "cow", "dog", "swan")
    assert find_folders([f"{name}/{index}" for name in names for index in range(4)]) == list(names)
    assert find_folders([f"480p/{name}/{index}" for name in names for index in range(4)]) == list(names)
    assert find_folders([f"480p/{index}" for index in range(16)]) == []


def test_tiles_of_slides_as_qupath_names_them() -> None:
    names = [f"slide {index // 6} [x={index % 6 * 512},y=0,w=512,h=512]" for index in range(24)]
    grouping = find_groups(names)
    assert grouping is not None
    assert len(set(grouping.groups)) == 4
