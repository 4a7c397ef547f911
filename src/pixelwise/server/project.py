"""The project folder of a server: images, marks, results and runs. Nothing is ever written beside the user's images."""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_json, move_file
from pixelwise.errors import OutputFailed
from pixelwise.io.journal import Journal
from pixelwise.io.volumes.names import suffix_of
from pixelwise.server.events import EventLog
from pixelwise.server.failures import Failure
from pixelwise.server.marks.mark_journal import MarkJournal

MAX_IMAGES = 100_000
_OPEN_JOURNALS = 32
_ID = 16  # hexadecimal digits
DEFAULT_CLASSES = ("background", "object")
PALETTE = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
    (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
"""Colours that people with colour blindness can tell apart (Okabe and Ito 2008), black for the background."""


@dataclass(frozen=True, kw_only=True)
class ProjectImage:
    """An image of the project.

    Attributes
    ----------
    id : str
        For a file that was named, of its path; for one that was dropped, of its content.
    name : str
        For people.
    path : Path
        Never sent to a client.
    split : str
        Of the data set, or empty.
    case : int or None
        Its place in the data set, if it has a ground truth.
    data : Path or None
        The folder of that data set.
    """

    id: str
    name: str
    path: Path
    split: str = ""
    case: int | None = None
    data: Path | None = None


class Project:
    """The folder with everything that the page creates.

    Parameters
    ----------
    folder : Path
        Created if missing, and locked: one server per folder.

    Raises
    ------
    OutputFailed
        It cannot be written, or another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock, self._closed = Journal(folder / ".lock", folder), False
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputFailed("a writable folder", reason.lower(), "Choose another --out.", folder) from error
        self.events = EventLog(folder / "events.jsonl")
        self.images: dict[str, ProjectImage] = {}
        self.classes: list[str] = list(DEFAULT_CLASSES)
        self.colours: list[tuple[int, int, int]] = list(PALETTE[:2])
        self.messages: list[str] = []
        self.problems: list[dict[str, Any]] = []
        self.task, self.volumes = "", False
        self.data: Path | None = None
        self.reading = False
        self._results: dict[Path, tuple[int, dict[str, Any]]] = {}
        self._journals: OrderedDict[str, MarkJournal] = OrderedDict()
        self._add_dropped()
        if (folder / "classes.json").is_file():
            self.set_classes(json.loads((folder / "classes.json").read_text("utf-8"))["names"])

    def close(self) -> None:
        """Close all files and release the lock."""
        self._closed = True
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()
        self.events.close()
        self._lock.close()

    def image(self, image_id: str) -> ProjectImage:
        """Return an image; raises `Failure` for an unknown id: 503 while the folder is being read, then 404."""
        if image_id not in self.images:
            self.check_read()  # a page of an earlier server asks again
            raise Failure(404, "unknown_image", "There is no such image.")
        return self.images[image_id]

    def check_read(self) -> None:
        """Raise `Failure` (503) while the folder is being read: what is missing may be in it."""
        if self.reading:
            raise Failure(503, "reading", "The images are being read; try again.", retry_after=1)

    def add_files(self, cases: Sequence[dict[str, Any]], data: Path | None = None) -> None:
        """Add images of a folder where they are: `image` (path), `name`, `split` and `labelled` of each."""
        for index, case in enumerate(cases[:MAX_IMAGES]):
            path = Path(case["image"]).absolute()
            image_id = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:_ID]
            self.images[image_id] = ProjectImage(
                id=image_id,
                name=str(case["name"]),
                path=path,
                split=str(case["split"]),
                case=index if case["labelled"] else None,
                data=data,
            )

    def add_dropped(self, content: Path, name: str) -> ProjectImage:
        """Move a received file into the project; the same content is one image."""
        digest = hashlib.sha256()
        with content.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        image_id = digest.hexdigest()[:_ID]
        if image_id in self.images:
            return self.images[image_id]
        path = self.folder / "images" / f"{image_id}{suffix_of(content)}"
        path.parent.mkdir(exist_ok=True)
        move_file(content, path)
        image = ProjectImage(id=image_id, name=clean_name(name) or "dropped image", path=path)
        atomic_write_json(path.with_name(f"{image_id}.json"), {"name": image.name, "file": path.name})
        self.images[image_id] = image
        return image

    def set_classes(self, names: Sequence[str]) -> None:
        """Set the classes to paint, background first; kept in the project."""
        self.classes = [*names]
        self.colours = [PALETTE[index % len(PALETTE)] for index in range(len(names))]
        atomic_write_json(self.folder / "classes.json", {"names": self.classes})

    def marks(self, image_id: str) -> MarkJournal:
        """Return the marks of an image; a few journals are kept open.

        A mark that was written when a server ended, before it was announced, is announced now. Raises `Failure` (503)
        once the project is closed: the journal may be that of the next server.
        """
        self.image(image_id)
        if self._closed:
            raise Failure(503, "draining", "The server is stopping.", retry_after=5)
        if image_id not in self._journals:
            self._journals[image_id] = journal = MarkJournal(self._marks_path(image_id))
            for number, _ in journal.marks:
                self.events.add_once("mark", image=image_id, id=number)
        self._journals.move_to_end(image_id)
        while len(self._journals) > _OPEN_JOURNALS:
            _, old = self._journals.popitem(last=False)
            old.close()
        return self._journals[image_id]

    def has_marks(self, image_id: str) -> bool:
        """Return whether an image has a journal of marks."""
        return self._marks_path(image_id).is_file()

    def result_folder(self, image_id: str, model: str) -> Path:
        """Return the folder of the result of a model for an image."""
        return self.folder / "results" / image_id / model

    def result(self, image_id: str, model: str) -> dict[str, Any]:
        """Return what is known about a result; raises `Failure` (404) if there is none."""
        path = self.result_folder(image_id, model) / "result.json"
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            raise Failure(404, "no_result", "This image has no result of this model.") from None
        known = self._results.get(path)
        if known is None or known[0] != stamp:
            known = self._results[path] = stamp, json.loads(path.read_text("utf-8"))
        return known[1]

    def result_file(self, image_id: str, model: str, kind: str) -> Path:
        """Return a file of a result; raises `Failure` (404) if there is none."""
        name = self.result(image_id, model)["files"].get(kind)
        if name is None:
            raise Failure(404, "no_result", f"The result has no {kind}.")
        return self.result_folder(image_id, model) / name

    def results(self, image_id: str = "*") -> dict[str, list[str]]:
        """Return the models that have a result for each image that has any, or for one image."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.folder / "results").glob(f"{image_id}/[!.]*/result.json")):
            found.setdefault(path.parts[-3], []).append(path.parts[-2])
        return found

    def marked(self) -> set[str]:
        """Return the ids of the images with marks."""
        return {path.stem for path in (self.folder / "marks").glob("*.journal")}

    def new_folder(self, kind: str) -> Path:
        """Create and return the next numbered folder, such as `runs/0002`; it is empty."""
        parent = self.folder / kind
        parent.mkdir(exist_ok=True)
        numbers = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
        folder = parent / f"{max(numbers, default=0) + 1:04d}"
        folder.mkdir()
        return folder

    def _marks_path(self, image_id: str) -> Path:
        return self.folder / "marks" / f"{image_id}.journal"

    def _add_dropped(self) -> None:
        for record in sorted((self.folder / "images").glob("*.json")):
            value = json.loads(record.read_text("utf-8"))
            path = record.with_name(value["file"])
            if path.is_file():
                self.images[record.stem] = ProjectImage(id=record.stem, name=value["name"], path=path)


def clean_name(name: str) -> str:
    r"""Return the last part of a client's file name, for display only.

    Examples
    --------
    >>> clean_name("..\\secret/plate_07.tif")
    'plate_07.tif'
    """
    last = re.split(r"[/\\]", name)[-1]
    return "".join(c for c in last if c.isprintable())[:120].strip()
