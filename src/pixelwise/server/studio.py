"""What the page can do: understand a folder, predict an image, train on masks or marks, export a model."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pixelwise.atomic_write import atomic_write_json, remove_leftovers, temporary_path
from pixelwise.server.checks import Checks
from pixelwise.server.dropped_folders import DroppedFolders
from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job, Jobs, read_metrics
from pixelwise.server.marks.records import active_shapes, held_out_marks
from pixelwise.server.marks.rounds import Length, can_continue, continue_from
from pixelwise.server.predict_routes import image_pixels
from pixelwise.server.project import Project, ProjectImage
from pixelwise.server.service import Service
from pixelwise.server.workers.protocol import Reply
from pixelwise.text import command, list_first, pluralise

Source = Literal["folder", "marks"]

MODEL = "model.safetensors"
"""The model of a run."""

_UNDERSTAND_SECONDS = 3600.0
_CROP_SECONDS = 600.0
_SCORE_SECONDS = 60.0
_PROBE_SECONDS = 60.0
_SECONDS_PER_PIXEL = 2e-5  # of images on the page, which may be large: 33 minutes for 100 megapixels


class Studio:
    """The service, the project and the jobs of one server.

    Parameters
    ----------
    data : sequence of Path
        Folders or files of images that were named on the command line; the first folder can be trained on. Without any,
        and without a model, an example is drawn.
    """

    def __init__(self, service: Service, project: Project, data: Sequence[Path]) -> None:
        self.service, self.project = service, project
        self.jobs = Jobs(project, self._take_models)
        self.checks = Checks(project, self.jobs)
        self.stopping = False
        self.closing: list[Callable[[], Awaitable[object]]] = []  # what else ends with it
        self.folders = DroppedFolders(project.folder / "folders")
        self._data = [*data, *self.folders.complete()]
        self._understanding: asyncio.Task[None] | None = None
        self._example: Path | None = None  # its folder, while it is shown
        self._predicting: dict[Path, asyncio.Task[dict[str, Any]]] = {}
        self._depths: dict[str, int | None] = {}

    def start(self) -> None:
        """Take up earlier jobs, and begin to read the data."""
        self.jobs.restore()
        self.project.reading = True
        self._understanding = asyncio.create_task(self._understand())

    async def close(self) -> None:
        """Stop watching; trainings go on."""
        self.stopping = True
        if self._understanding is not None:
            self._understanding.cancel()
            await asyncio.gather(self._understanding, return_exceptions=True)
        for close in self.closing:
            await close()
        await self.jobs.close()
        self.project.close()

    @property
    def understood(self) -> bool:
        """Whether the data were read."""
        return self._understanding is not None and self._understanding.done()

    def state(self) -> dict[str, Any]:
        """Return everything that the page needs to begin."""
        project = self.project
        results, marked = project.results(), project.marked()
        images = [
            {
                "id": image.id,
                "name": image.name,
                "split": image.split,
                "labelled": image.case is not None,
                "marked": image.id in marked,
                **self._results_of(image, results.get(image.id, [])),
            }
            for image in project.images.values()
        ]
        return {
            "event": project.events.end,
            "understood": self.understood,
            "sentence": self._sentence(),
            "messages": project.messages,
            "problems": self.checks.problems(),
            "task": project.task,
            "classes": project.classes,
            "colours": project.colours,
            "images": images,
            "models": list(self.service.models),
            "jobs": [{**job.to_json(), "snapshot": self.jobs.last_snapshot(job.id)} for job in self.jobs.jobs.values()],
            "trainable": self._training_data is not None,
            "check": self.checks.to_json(),
            "largest": self.service.limits.max_megabytes,
        }

    @property
    def _training_data(self) -> Path | None:
        """The folder that can be trained on: the corrected copy, if there is one."""
        return self.checks.copy or self.project.data

    def _results_of(self, image: ProjectImage, names: Sequence[str]) -> dict[str, Any]:
        """Return the models with a result for an image; mean uncertainty and score of that of the newest model."""
        models = list(self.service.models)
        known = sorted((name for name in names if name in models), key=models.index)
        newest = self.project.result(image.id, known[-1]) if known else {}
        return {"results": known, "uncertainty": newest.get("uncertainty"), "score": newest.get("score")}

    def set_classes(self, names: Sequence[str]) -> None:
        """Set the classes to paint.

        Raises
        ------
        Failure
            409: the data set has masks, whose classes are fixed.
        """
        if self.project.task in ("binary", "multiclass"):
            raise Failure(409, "fixed_classes", "The classes are those of the masks in the folder.")
        self.project.set_classes(names)
        self.project.events.add("classes")

    async def add_image(self, content: Path, name: str, key: str) -> ProjectImage:
        """Take a dropped image into the project, if it can be read."""
        await image_pixels(self.service, content, key, volumes=True)
        await self.service.reader.call("check_pages", key=key, seconds=_PROBE_SECONDS, path=str(content))
        if self._example is not None:
            self._leave_example(self._example)
        image = self.project.add_dropped(content, name)
        self.project.events.add_once("image", id=image.id)
        return image

    async def read_folder(self, folder: Path) -> list[ProjectImage]:
        """Read a folder that was dropped, whose masks are those to train on from now on; return its images.

        Raises
        ------
        Failure
            422 for one without images, or with faults that keep it from being read.
        """
        try:
            found = json.loads((await self._read("understand", folder)).payload)
        except Failure:
            shutil.rmtree(folder.parent, ignore_errors=True)
            raise
        if self._example is not None:
            self._leave_example(self._example)
        self._take(folder, found)
        self.project.events.add("understood")
        return [image for image in self.project.images.values() if image.data == folder]

    async def check_plane(self, image: ProjectImage) -> None:
        """Raise `Failure` (409) for a volume: it is looked at and predicted, not marked."""
        if image.id not in self._depths:
            info = await self.service.reader.call("probe", key=image.id, seconds=_PROBE_SECONDS, path=str(image.path))
            self._depths[image.id] = info.value["depth"]
        if self._depths[image.id] is not None:
            raise Failure(409, "volume", "Volumes cannot be marked here: paint their masks in another program.")

    async def predict(self, image: ProjectImage, model: str) -> dict[str, Any]:
        """Predict an image and keep the result; an existing result of the model is returned."""
        name, path = self.service.model(model)
        folder = self.project.result_folder(image.id, name)
        if (folder / "result.json").is_file():
            return self.project.result(image.id, name)
        if folder not in self._predicting:  # two pages that ask at once share the work
            task = asyncio.create_task(self._predict(image, name, path, folder))
            self._predicting[folder] = task
            task.add_done_callback(lambda _: self._predicting.pop(folder, None))
        return await asyncio.shield(self._predicting[folder])

    async def _predict(self, image: ProjectImage, name: str, path: Path, folder: Path) -> dict[str, Any]:
        with self.service.admission.request():
            call = self.service.reader.call("probe", key=image.id, seconds=_PROBE_SECONDS, path=str(image.path))
            info = (await call).value
            working = temporary_path(folder)
            working.mkdir(parents=True)
            remove_leftovers(folder.parent, name)
            job = {"image": str(image.path), "folder": str(working), "name": "mask", "key": image.id}
            job |= {"uncertainty": True, "overlay": True}
            began = time.monotonic()
            pixels = info["height"] * info["width"] * (info["depth"] or 1)
            seconds = self.service.limits.deadline + pixels * _SECONDS_PER_PIXEL
            result = await self.service.predictions.predict(path, job, pixels, seconds)
            words = result.pop("options", ())
            about = await self.service.about(path)
            score = await self._score(image, str(working / result["files"]["mask"]), about)
        record = {
            **result,
            "score": score,
            "model": name,
            "classes": about["classes"],
            "colours": about["colours"],
            "seconds": round(time.monotonic() - began, 3),
            "command": command("predict", path, image.path, "--out", "masks", *words),
        }
        atomic_write_json(working / "result.json", record)
        shutil.rmtree(folder, ignore_errors=True)
        working.replace(folder)
        self.project.events.add_once("result", image=image.id, model=name)
        return record

    async def _score(self, image: ProjectImage, mask: str, about: dict[str, Any]) -> float | None:
        """Return how well a mask fits the ground truth; None without one, or if it is undefined."""
        if image.case is None:
            return None
        own: dict[str, Any] = {"data": str(image.data), "case": image.case, "mask": mask}
        own |= {"task": about["task"], "classes": list(about["classes"])}
        try:
            reply = await self.service.reader.call("score", seconds=_SCORE_SECONDS, **own)
            return reply.value["score"]
        except Failure:
            return None  # the prediction stands, whatever is wrong with the ground truth

    async def train(self, source: Source, length: Length, *, fresh: bool = False) -> Job:
        """Start a training on the folder or on the marks.

        A training on marks goes on from the newest model of the same task, unless it should be `fresh`.

        Raises
        ------
        Failure
            409 if one runs already, or if there is nothing to train on; 503 while the folder is being read.
        """
        self.project.check_read()
        if source == "folder":
            folder, words = self._training_data, (*length.option, *(("--volumes",) if self.service.volumes else ()))
            if folder is None:
                raise Failure(409, "no_masks", "There are no masks to train on: paint some marks first.")
        else:
            folder = self.project.new_folder("datasets")
            marks = await self._write_crops(folder)
            last = None if fresh else await self._last_run(marks)
            how = length.option if last is None else continue_from(last, length, len(self.jobs.jobs) + 1)
            words = (*self._task_of(marks), *marks["options"], *how)
        run = self.project.new_folder("runs")
        return self.jobs.start("train", ("train", str(folder), "--out", str(run), *words), run, length.seconds)

    def export(self, model: str, kind: Literal["onnx", "report"]) -> Job:
        """Start the export of a model, or its report; raises `Failure` (409) for that of a model without a run."""
        name, path = self.service.model(model)
        run = _run_of(path)
        if kind == "report" and not (run / "config.yaml").is_file():
            raise Failure(409, "no_run", "A report is about a training: this model is a single file, without its run.")
        folder = self.project.folder / "exports" / name
        folder.mkdir(parents=True, exist_ok=True)
        words = ("report", str(run))
        if kind == "onnx":
            words = ("export", str(path), "--format", "onnx", "--out", str(folder / f"{name}.onnx"))
        return self.jobs.start("export" if kind == "onnx" else "report", words, folder)

    def exported(self, model: str, kind: Literal["onnx", "report"]) -> Path:
        """Return an exported file or a report; raises `Failure` (404) if it was not made."""
        name, path = self.service.model(model)
        file = self.project.folder / "exports" / name / f"{name}.onnx"
        if kind == "report":
            file = _run_of(path) / "report" / "index.html"
        if not file.is_file():
            raise Failure(404, "not_made", "It was not made yet.")
        return file

    async def _write_crops(self, folder: Path) -> dict[str, Any]:
        """Write the data set of all marks; return what `workers.reader` says about it."""
        images: list[dict[str, Any]] = []
        for image in self.project.images.values():
            if self.project.has_marks(image.id):
                marks = self.project.marks(image.id).marks
                shapes, held_out = active_shapes(marks), held_out_marks(marks)
                images.append(
                    {
                        "id": image.id,
                        "path": str(image.path),
                        "shapes": [shape.model_dump() for _, shape in shapes],
                        "held_out": [index for index, (number, _) in enumerate(shapes) if number in held_out],
                    }
                )
        request = self.project.folder / "datasets" / f"{folder.name}.json"
        atomic_write_json(request, images)
        reply = await self.service.reader.call(
            "write_crops", seconds=_CROP_SECONDS, request=str(request), folder=str(folder)
        )
        return reply.value

    def _task_of(self, marks: dict[str, Any]) -> tuple[str, ...]:
        """Return the options that say what the marks are."""
        classes = self.project.classes
        if marks["objects"]:
            return ("--task", "instance")
        return ("--task", "binary") if len(classes) == 2 else ("--task", "multiclass", "--classes", ",".join(classes))

    async def _last_run(self, marks: dict[str, Any]) -> Path | None:
        """Return the newest run whose network does the task of the marks; None if there is none."""
        task = self._task_of(marks)[1]
        failed = {Path(job.folder) for job in self.jobs.jobs.values() if job.message and job.state != "stopped"}
        for path in reversed(self.service.models.values()):
            run = _run_of(path)
            if run in failed or not can_continue(run):
                continue
            about = await self.service.about(path)
            same_classes = task != "multiclass" or list(about["classes"]) == self.project.classes
            if about["task"] == task and about["channels"] == marks["channels"] and same_classes:
                return run
        return None

    async def _understand(self) -> None:
        """Read the named data; a folder is never copied."""
        project = self.project
        example = not self._data and not self.service.models and not project.images
        try:
            if example:
                self._data = [project.folder / "example"]
            for path in self._data:
                try:
                    if example:
                        await self._read("write_example", path)
                    self._take(path, json.loads((await self._read("understand", path)).payload))
                except Failure as failure:
                    project.messages.append(f"{path.name} cannot be read: {failure.message}")
        finally:
            project.reading = False
        if example:
            self._example = self._data[0]
            project.messages.insert(0, "This is a drawn example with known outlines: drop your own images on the page.")
            if any(image.data is None for image in project.images.values()):  # they were quicker
                self._leave_example(self._example)
        project.events.add("understood")

    def _leave_example(self, folder: Path) -> None:
        """Show and train on what people have dropped, alone; models of the example stay."""
        project, self._example = self.project, None
        project.images = {name: image for name, image in project.images.items() if image.data != folder}
        project.data, project.task, project.messages, self.checks.data = None, "", [], None

    async def _read(self, call: str, folder: Path) -> Reply:
        """Call the worker that reads; if it dies, the next one is asked, until the folder is to blame."""
        while True:
            try:
                return await self.service.reader.call(
                    call, key=str(folder), seconds=_UNDERSTAND_SECONDS, folder=str(folder)
                )
            except Failure as failure:
                if failure.code != "worker_died":
                    raise

    def _take(self, path: Path, found: dict[str, Any]) -> None:
        project = self.project
        project.add_files(found["cases"], path)
        project.volumes = project.volumes or found["volumes"]
        project.messages += found["messages"]
        project.problems += found["problems"]
        usable = not any(problem["fatal"] for problem in found["problems"])
        first = project.data is None or path in self.folders.complete()  # the last one that was dropped is meant
        if not found["task"] or not first or not (usable or self.checks.data is None):
            return
        self.checks.data = path.absolute()
        if usable or self.checks.copy is not None:
            project.data, project.task = path.absolute() if usable else None, found["task"]
            if found["task"] in ("binary", "multiclass"):
                project.classes = found["classes"]
                project.colours = [tuple(colour) for colour in found["colours"]]

    def _sentence(self) -> str:
        """Return one sentence about what there is."""
        project = self.project
        if not self.understood:
            return "Reading the images ..."
        labelled = sum(image.case is not None for image in project.images.values())
        parts = [pluralise(len(project.images), "volume" if project.volumes else "image")]
        if self._example is not None:
            parts[0] = f"An example: {parts[0]}"
        if labelled:
            parts.append(f"{labelled} with masks")
        if project.task:
            parts.append({"instance": "separate objects"}.get(project.task, f"{len(project.classes)} classes"))
        if project.problems:
            files = list(dict.fromkeys(problem["file"] for problem in project.problems if problem["file"]))
            where = f" ({list_first(files, 2)})" if files else ""
            parts.append(f"{pluralise(len(project.problems), 'problem')}{where}")
        return ", ".join(parts) + "."

    def _take_models(self, job: Job) -> None:
        """Allow the models of a training: the run once it is done, and its model at the time of each stop.

        The latter are files of their own, because the run changes its model when it continues: what the page shows as
        the result of a model is that of one set of weights.
        """
        if job.kind != "train":
            return
        run = Path(job.folder)
        if job.state in ("stopped", "failed"):
            _keep_model(run)
        paths = sorted(run.glob(f"{run.name}-step-*.safetensors"), key=lambda path: int(path.stem.rpartition("-")[2]))
        if job.state == "done" and (run / MODEL).is_file():
            paths.append(run)
        for path in paths:
            self.project.events.add_once("model", name=self.service.add_model(path), job=job.id)


def _keep_model(run: Path) -> None:
    """Keep the model of a training that ended early, under a name with the step of its last validation."""
    rows = read_metrics(run)
    if not rows or not (run / MODEL).is_file():
        return
    kept = run / f"{run.name}-step-{rows[-1]['step']:.0f}.safetensors"
    if not kept.exists():
        working = temporary_path(kept)
        try:
            os.link(run / MODEL, working)  # the file is replaced, never changed
        except OSError:  # a file system without links
            shutil.copyfile(run / MODEL, working)
        working.replace(kept)


def _run_of(model: Path) -> Path:
    """Return the folder of a model: its run, if it has one."""
    return model if model.is_dir() else model.parent
