"""The project folder: images keep their ids, nothing but the project is written, one server at a time."""

import json
import shutil
from pathlib import Path

import pytest

from pixelwise.errors import OutputFailed
from pixelwise.server.failures import Failure
from pixelwise.server.marks.records import Stroke
from pixelwise.server.project import PALETTE, Project, clean_name


def case(path: Path) -> dict[str, object]:
    return {"image": str(path), "name": path.name, "split": "train", "labelled": True}


def test_an_image_keeps_its_id_and_its_marks(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    project.add_files([case(tmp_path / "a.png"), case(tmp_path / "b.png")])
    first, second = project.images
    project.marks(second).add(Stroke(kind="stroke", class_index=1, radius=1, points=[(0, 0)]))
    project.close()
    again = Project(tmp_path / "p")
    again.add_files([case(tmp_path / "b.png"), case(tmp_path / "a.png")])
    assert list(again.images) == [second, first]
    assert [again.images[own].case for own in (second, first)] == [0, 1]
    assert again.marked() == {second}
    assert len(again.marks(second).marks) == 1
    again.close()


def test_a_mark_that_was_not_announced_is_announced_once(tmp_path: Path) -> None:
    announced, own = list[object](), ""
    for _ in range(2):
        project = Project(tmp_path / "p")
        project.add_files([case(tmp_path / "a.png")])
        (own,) = project.images
        journal = project.marks(own)
        if not journal.marks:  # the server ends between the two
            journal.add(Stroke(kind="stroke", class_index=1, radius=1, points=[(0, 0)]))
        announced = [event for _, event in project.events.after(0)]
        project.close()
        with pytest.raises(Failure):
            project.marks(own)  # it may be that of another server now
    assert announced == [{"kind": "mark", "image": own, "id": 1}]


def test_a_dropped_image_is_there_after_a_restart(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    for name in ("one.png", "again.png"):
        (tmp_path / "content.png").write_bytes(b"pixels")
        image = project.add_dropped(tmp_path / "content.png", name)
    project.close()
    again = Project(tmp_path / "p")
    assert [(own.id, own.name) for own in again.images.values()] == [(image.id, "one.png")]
    assert again.image(image.id).path.read_bytes() == b"pixels"
    with pytest.raises(Failure):
        again.image("../../etc/passwd")
    again.close()


def test_results_are_found(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    for image, model in (("a", "m"), ("a", "n"), ("b", "m")):
        folder = project.result_folder(image, model)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"files": {"mask": "mask.png"}}), encoding="utf-8")
    project.result_folder("b", ".m.part").mkdir()
    assert project.results() == {"a": ["m", "n"], "b": ["m"]}
    assert project.results("b") == {"b": ["m"]}
    assert project.result_file("a", "n", "mask") == project.result_folder("a", "n") / "mask.png"
    for missing in (("a", "n", "overlay"), ("c", "m", "mask")):
        with pytest.raises(Failure) as error:
            project.result_file(*missing)
        assert error.value.status == 404
    project.close()


def test_one_server_per_project_and_folders_in_order(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    with pytest.raises(OutputFailed):
        Project(tmp_path / "p")
    assert [project.new_folder("runs").name for _ in range(2)] == ["0001", "0002"]
    shutil.rmtree(tmp_path / "p" / "runs" / "0001")
    assert project.new_folder("runs").name == "0003"
    project.set_classes(["sky", "road", "tree"])
    project.close()
    again = Project(tmp_path / "p")
    assert (again.classes, again.colours) == (["sky", "road", "tree"], list(PALETTE[:3]))
    again.close()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/etc/passwd", "passwd"), ("a\nb.png", "ab.png"), ("x" * 300, "x" * 120), ("", ""), ("..", "..")],
)
def test_names_are_for_display(name: str, shown: str) -> None:
    assert clean_name(name) == shown


def test_an_image_is_not_unknown_while_the_folder_is_read(tmp_path: Path) -> None:
    """A page of an earlier server sends its waiting marks again; a 4xx would make it drop them."""
    project = Project(tmp_path / "p")
    statuses: list[int] = []
    for project.reading in (True, False):
        with pytest.raises(Failure) as failure:
            project.image("0" * 16)
        statuses.append(failure.value.status)
    project.close()
    assert statuses == [503, 404]
