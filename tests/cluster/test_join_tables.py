"""Parts joined are the file that one process writes."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.cluster.join_tables import join_parts

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=5)
ROWS = st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=4)


def write_csv(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


@given(st.lists(CELL, min_size=2, max_size=2), st.lists(ROWS, min_size=1, max_size=4))
def test_rows_follow_each_other(head: list[str], groups: list[list[list[str]]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = [write_csv(folder / f"{n}.csv", [head, *rows]) for n, rows in enumerate(groups)]
        whole = write_csv(folder / "whole.csv", [head, *(row for rows in groups for row in rows)])
        join_parts("objects.csv", parts, folder / "joined.csv")
        assert (folder / "joined.csv").read_bytes() == whole.read_bytes()


def test_the_header_is_that_of_the_first_part_with_rows(tmp_path: Path) -> None:
    """A part of which all images failed does not know the scores in the header of confidence.csv."""
    parts = [
        write_csv(tmp_path / "a.csv", [["image"]]),
        write_csv(tmp_path / "b.csv", [["image", "score"], ["x", "1"]]),
    ]
    join_parts("confidence.csv", parts, tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text(encoding="utf-8") == "image,score\nx,1\n"


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_images_and_annotations_are_numbered_again(order: list[int], tmp_path: Path) -> None:
    def document(names: list[str], owners: list[int]) -> dict[str, object]:
        return {
            "info": {},
            "licenses": [],
            "images": [{"id": n, "file_name": name} for n, name in enumerate(names, 1)],
            "annotations": [{"id": n, "image_id": owner, "area": 3} for n, owner in enumerate(owners, 1)],
            "categories": [{"id": 1}],
        }

    documents = [document(["a", "b"], [2, 2]), document(["c"], [1])]
    parts = [tmp_path / f"{number}.json" for number in order]
    for number in (0, 1):
        (tmp_path / f"{number}.json").write_text(json.dumps(documents[number]), encoding="utf-8")
    join_parts("coco.json", parts, tmp_path / "coco.json")
    joined = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in joined["images"]}
    assert sorted(names) == [1, 2, 3]
    assert [entry["id"] for entry in joined["annotations"]] == [1, 2, 3]
    assert sorted(names[entry["image_id"]] for entry in joined["annotations"]) == ["b", "b", "c"]
