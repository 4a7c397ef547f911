"""One error for many problems: each kind is shown with a file, however many there are of another one."""

from pathlib import Path

from pixelwise.datasets.problem_report import LISTED, error_of
from pixelwise.datasets.problems import Problem


def test_each_kind_is_listed_with_its_file() -> None:
    many = [Problem(file=f"images/{index}.png", kind="missing mask", text="none") for index in range(3 * LISTED)]
    broken = Problem(file="images/broken.png", kind="unreadable image", text="the file is truncated")
    got = error_of(Path("data"), [*many, broken]).got
    assert "images/broken.png" in got
    assert got.count("\n  images/") == LISTED
    assert f"{3 * LISTED + 1 - LISTED} more" in got


def test_problems_stay_in_their_order() -> None:
    kinds = ("missing mask", "unreadable image", "missing mask")
    problems = [Problem(file=f"{index}.png", kind=kind, text="x") for index, kind in enumerate(kinds)]
    got = error_of(Path("data"), problems).got
    assert got.index("0.png") < got.index("1.png") < got.index("2.png")
