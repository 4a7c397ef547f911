"""What a studio makes of the answers of its workers, which are written by hand here."""

import asyncio
import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job, State
from pixelwise.server.marks.records import parse_mark
from pixelwise.server.project import Project, ProjectImage
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio
from pixelwise.server.workers.protocol import Reply

Answer = Callable[[str, dict[str, Any]], Reply]


def understood(folder: Path, **values: Any) -> Reply:
    """The answer to "understand" about a folder with three images, two of them with masks."""
    cases = [
        {"image": str(folder / f"{name}.png"), "name": name, "split": "", "labelled": name != "c"} for name in "abc"
    ]
    plain: dict[str, Any] = {"cases": cases, "volumes": False, "messages": ["read"], "problems": []}
    plain |= {"task": "multiclass", "classes": ["ground", "tree", "sea"], "colours": [[0, 0, 0], [1, 1, 1], [2, 2, 2]]}
    return Reply(payload=json.dumps(plain | values).encode())


class Made:
    """Studios whose workers answer as a test says, and what these were asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, monkeypatch
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.studios: list[Studio] = []

    def studio(self, answer: Answer, *data: Path, model: bool = False) -> Studio:
        if model:
            (self.folder / "cells.safetensors").touch()
        service = Service([self.folder / "cells.safetensors"] if model else [])

        async def call(name: str, *, key: str = "", seconds: float, **arguments: Any) -> Reply:
            self.asked.append((name, arguments))
            await asyncio.sleep(0)
            return answer(name, arguments)

        self._patch.setattr(service.reader, "call", call)
        self.studios.append(Studio(service, Project(self.folder / f"project{len(self.studios)}"), data))
        return self.studios[-1]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Made]:
    """A maker of studios; they are closed at the end."""
    made = Made(tmp_path, monkeypatch)
    yield made
    for studio in made.studios:
        studio.project.close()
        asyncio.run(studio.service.close())


def read(studio: Studio) -> dict[str, Any]:
    """Start a studio, wait until the data were read; return its state."""

    async def run() -> dict[str, Any]:
        studio.start()
        assert studio.state()["sentence"].startswith("Reading")
        while not studio.understood:
            await asyncio.sleep(0)
        return studio.state()

    return asyncio.run(run())


def test_a_folder_with_masks_can_be_trained_on(made: Made, tmp_path: Path) -> None:
    data = tmp_path / "data"
    studio = made.studio(lambda name, arguments: understood(data), data)
    state = read(studio)
    assert state["sentence"] == "3 images, 2 with masks, 3 classes."
    assert (state["trainable"], state["task"], state["messages"]) == (True, "multiclass", ["read"])
    assert state["classes"] == ["ground", "tree", "sea"]
    assert studio.project.data == data
    with pytest.raises(Failure, match="those of the masks"):
        studio.set_classes(["a", "b"])


def test_a_reader_that_dies_is_asked_again_and_other_failures_are_named(made: Made, tmp_path: Path) -> None:
    died = iter([True, True])

    def answer(name: str, arguments: dict[str, Any]) -> Reply:
        if arguments["folder"].endswith("bad"):
            raise Failure(422, "bad_data", "It is empty.")
        if next(died, False):
            raise Failure(500, "worker_died", "The reader ended.")
        return understood(tmp_path / "good", task="instance", volumes=True)

    state = read(made.studio(answer, tmp_path / "bad", tmp_path / "good"))
    assert state["messages"] == ["bad cannot be read: It is empty.", "read"]
    assert state["sentence"] == "3 volumes, 2 with masks, separate objects."
    assert [arguments["folder"].rsplit("/", 1)[1] for _, arguments in made.asked] == ["bad", "good", "good", "good"]


def test_without_data_and_model_an_example_is_drawn(made: Made) -> None:
    state = read(made.studio(lambda name, arguments: understood(Path(arguments["folder"]), task="binary")))
    assert [name for name, _ in made.asked] == ["write_example", "understand"]
    assert "drawn example" in state["messages"][0]
    assert read(made.studio(lambda name, arguments: Reply(), model=True))["messages"] == []


@pytest.mark.parametrize("when", ["while it is drawn", "afterwards"])
def test_the_example_gives_way_to_images_that_are_dropped(made: Made, tmp_path: Path, when: str) -> None:
    def answer(name: str, arguments: dict[str, Any]) -> Reply:
        if name in ("probe", "check_pages"):
            return Reply({"height": 4, "width": 4, "depth": None, "bytes": 16})
        return understood(Path(arguments["folder"]), task="binary")

    studio = made.studio(answer)
    (tmp_path / "own.png").write_bytes(b"pixels")

    async def drop() -> None:
        await studio.add_image(tmp_path / "own.png", "own.png", "key")

    if when == "afterwards":
        state = read(studio)
        assert state["sentence"].startswith("An example: 3 images")
        assert (state["trainable"], studio.checks.data is not None) == (True, True)
        asyncio.run(drop())
    else:
        asyncio.run(drop())
        studio.project.add_files([])
        read(studio)
    state = studio.state()
    assert [image["name"] for image in state["images"]] == ["own.png"]
    assert (state["trainable"], state["messages"], studio.checks.data) == (False, [], None)
    assert "xample" not in state["sentence"]


def test_a_folder_with_fatal_problems_is_checked_and_the_next_one_is_trained_on(made: Made, tmp_path: Path) -> None:
    fatal = {"kind": "size mismatch", "file": "a.png", "text": "differs", "fatal": True}

    def answer(name: str, arguments: dict[str, Any]) -> Reply:
        folder = Path(arguments["folder"])
        problems = [fatal] if folder.name == "bad" else []
        return understood(folder, problems=problems, task="" if folder.name == "none" else "binary")

    one, two, other = tmp_path / "bad", tmp_path / "good", tmp_path / "none"
    studio = made.studio(answer, other, one)
    assert not read(studio)["trainable"]
    assert (studio.checks.data, studio.project.data, studio.project.task) == (one, None, "")
    studio = made.studio(answer, one, two, one)
    assert read(studio)["trainable"]
    assert (studio.checks.data, studio.project.data, studio.project.task) == (two, two, "binary")


def test_a_corrected_copy_makes_a_folder_with_problems_usable(made: Made, tmp_path: Path) -> None:
    fatal = {"kind": "size mismatch", "file": "a.png", "text": "differs", "fatal": True}
    data, copy = tmp_path / "data", tmp_path / "copy"
    studio = made.studio(lambda name, arguments: understood(data, problems=[fatal]), data)
    words = ("doctor", str(data), "--fix", str(copy))
    studio.jobs.jobs["0001"] = Job(id="0001", kind="fix", command=words, folder=str(copy), started=0.0, state="done")
    state = read(studio)
    assert (state["trainable"], state["task"], studio.project.data) == (True, "multiclass", None)
    assert "1 problem (a.png)" in state["sentence"]


def add_image(studio: Studio, case: int | None = None) -> ProjectImage:
    data = studio.project.folder / "data"
    studio.project.add_files([{"image": data / "a.png", "name": "a", "split": "", "labelled": case is not None}], data)
    return next(iter(studio.project.images.values()))


@pytest.mark.parametrize("depth", [None, 7])
def test_volumes_are_not_marked(made: Made, depth: int | None) -> None:
    studio = made.studio(lambda name, arguments: Reply({"depth": depth}))
    image = add_image(studio)
    for _ in range(2):
        if depth is None:
            asyncio.run(studio.check_plane(image))
        else:
            with pytest.raises(Failure, match="cannot be marked"):
                asyncio.run(studio.check_plane(image))
    assert len(made.asked) == 1, "a file is examined once"


@pytest.mark.parametrize(("case", "broken", "score"), [(None, False, None), (0, False, 0.75), (0, True, None)])
def test_a_prediction_is_made_once_and_kept(
    made: Made, monkeypatch: pytest.MonkeyPatch, case: int | None, broken: bool, score: float | None
) -> None:
    def answer(name: str, arguments: dict[str, Any]) -> Reply:
        if name == "score" and broken:
            raise Failure(422, "bad_mask", "The mask is damaged.")
        return Reply({"score": 0.75} if name == "score" else {"depth": None, "height": 6, "width": 8})

    studio = made.studio(answer, model=True)
    image = add_image(studio, case)
    predicted: list[int] = []

    async def predict(path: Path, job: dict[str, Any], pixels: int, seconds: float) -> dict[str, Any]:
        predicted.append(pixels)
        (Path(job["folder"]) / "mask.png").touch()
        return {"files": {"mask": "mask.png"}, "task": "binary", "uncertainty": 0.25, "options": ["--tta"]}

    async def about(path: Path) -> dict[str, Any]:
        return {"task": "binary", "classes": ["background", "object"], "colours": []}

    monkeypatch.setattr(studio.service.predictions, "predict", predict)
    monkeypatch.setattr(studio.service, "about", about)

    async def both() -> list[dict[str, Any]]:
        return [*await asyncio.gather(studio.predict(image, ""), studio.predict(image, "cells"))]

    first, second = asyncio.run(both())
    assert first == second == asyncio.run(studio.predict(image, ""))
    assert predicted == [48], "two pages share the work, and a result is kept"
    assert (first["score"], first["model"]) == (score, "cells")
    assert first["command"].endswith("--tta")
    (shown,) = studio.state()["images"]
    assert (shown["results"], shown["uncertainty"], shown["score"]) == (["cells"], 0.25, score)


def test_marks_become_a_request_for_crops(made: Made) -> None:
    studio = made.studio(lambda name, arguments: Reply({"objects": True, "channels": 1, "options": ["--skip-bad"]}))
    files = [{"image": f"/data/{name}.png", "name": name, "split": "", "labelled": False} for name in "ab"]
    studio.project.add_files(files)
    image = next(iter(studio.project.images.values()))
    marks = studio.project.marks(image.id)
    stroke = {"kind": "stroke", "radius": 3, "points": [[1, 2], [3, 4]]}
    for index in range(3):
        marks.add(parse_mark(json.dumps(stroke | {"class_index": index % 2, "key": f"k{index}"}).encode()))
    marks.add(parse_mark(b'{"kind": "undo", "of": 2}'))
    folder = studio.project.new_folder("datasets")
    found = asyncio.run(studio._write_crops(folder))  # pyright: ignore[reportPrivateUsage]
    ((name, arguments),) = made.asked
    assert (name, arguments["folder"]) == ("write_crops", str(folder))
    (written,) = json.loads(Path(arguments["request"]).read_text("utf-8"))
    assert (written["id"], written["path"]) == (image.id, "/data/a.png")
    assert [shape["class_index"] for shape in written["shapes"]] == [0, 0], "what was undone is left out"
    assert studio._task_of(found) == ("--task", "instance")  # pyright: ignore[reportPrivateUsage]


def test_a_training_that_ended_is_a_model(made: Made, tmp_path: Path) -> None:
    studio = made.studio(lambda name, arguments: Reply())
    for name, kind in (("run", "train"), ("empty", "train"), ("other", "export")):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "model.safetensors").touch()
        job = Job(id="0001", kind=kind, command=(), folder=str(tmp_path / name), started=0.0, state="done")
        studio._take_models(job)  # pyright: ignore[reportPrivateUsage]
    assert studio.service.models == {"run": tmp_path / "run"}
    assert [event["name"] for _, event in studio.project.events.after(0) if event["kind"] == "model"] == ["run"]


async def last_run(studio: Studio) -> Path | None:
    """Return the run that the next round of training on objects goes on from; all models find objects."""

    async def about(path: Path) -> dict[str, Any]:
        return {"task": "instance", "channels": 1}

    studio.service.about = about
    return await studio._last_run({"objects": True, "channels": 1})  # pyright: ignore[reportPrivateUsage]


def test_a_stopped_training_has_a_model_that_stays_as_it_is_when_it_continues(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "0001"
    run.mkdir()
    (run / "config.yaml").touch()
    job = Job(id="0001", kind="train", command=(), folder=str(run), started=0.0, message="4 of 9 steps are done.")

    def at(state: State, step: int) -> dict[str, Path]:
        """Return the models once the training has validated a step and reached a state."""
        atomic_write_bytes(run / "model.safetensors", b"%d" % step)
        (run / "metrics.csv").write_text(f"step,val_score\n{step},0.5\n", "utf-8")
        studio._take_models(replace(job, state=state))  # pyright: ignore[reportPrivateUsage]
        return dict(studio.service.models)

    studio = made.studio(lambda name, arguments: Reply())
    monkeypatch.setattr(studio.jobs, "start", lambda kind, words, folder: words)
    studio.jobs.jobs[job.id] = replace(job, state="stopped")
    studio._take_models(studio.jobs.jobs[job.id])  # pyright: ignore[reportPrivateUsage]
    assert studio.service.models == {}, "stopped before its first validation"
    first, second = run / "0001-step-4.safetensors", run / "0001-step-12.safetensors"
    assert at("stopped", 4) == at("running", 8) == {"0001-step-4": first}
    assert first.read_bytes() == b"4"
    assert at("stopped", 12) == {"0001-step-4": first, "0001-step-12": second}
    assert (first.read_bytes(), second.read_bytes()) == (b"4", b"12")
    assert studio.export("0001-step-4", "report") == ("report", str(run))
    assert asyncio.run(last_run(studio)) == run, "the next round goes on from it"
    assert (models := at("done", 16)) == {"0001-step-4": first, "0001-step-12": second, "0001": run}
    next_server = made.studio(lambda name, arguments: Reply())
    next_server._take_models(replace(job, state="done"))  # pyright: ignore[reportPrivateUsage]
    assert next_server.service.models == models
