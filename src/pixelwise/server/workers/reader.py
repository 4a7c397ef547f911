"""The worker that reads images: ``python -m pixelwise.server.workers.reader``. It needs no torch."""

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from pixelwise.datasets.dataset import DataOptions, Dataset, find_images, scan_dataset
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadDataset, BadOption
from pixelwise.io.read import probe
from pixelwise.io.windows import open_windows
from pixelwise.io.write import jpeg_bytes, png_bytes, write_labels
from pixelwise.server.marks.crops import MarkedImage, write_crops
from pixelwise.server.marks.records import Shape
from pixelwise.server.workers.corrections import Shown, correct, corrected
from pixelwise.server.workers.label_tiles import Labels, label_tile, open_labels
from pixelwise.server.workers.outlines import features
from pixelwise.server.workers.protocol import Reply, run_worker
from pixelwise.server.workers.pyramid import Pyramid, scale_down, to_display
from pixelwise.server.workers.ranking import most_useful_place, score_against_truth

Item = TypeVar("Item")

THREADS = 4
THUMBNAIL = 192
_OPEN_IMAGES, _OPEN_LABELS = 4, 4
_SHOWN = 3
_SHAPE: TypeAdapter[Shape] = TypeAdapter(Shape)


class Recent:
    """The most recently used of something that is costly to make; safe between threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._items: OrderedDict[Any, Any] = OrderedDict()
        self._locks: dict[Any, Lock] = {}

    def get(self, key: Any, make: Callable[[], Item]) -> Item:
        """Return the item of a key; it is made once, also if several threads ask for it."""
        with self._lock:
            own = self._locks.setdefault(key, Lock())
        with own:
            with self._lock:
                if key in self._items:
                    self._items.move_to_end(key)
                    return self._items[key]
            item = make()
            with self._lock:
                self._items[key] = item
                while len(self._items) > self._limit:
                    old, _ = self._items.popitem(last=False)
                    self._locks.pop(old, None)
            return item


class Reader:
    """Answers the calls about images, masks and folders."""

    def __init__(self) -> None:
        self._pyramids, self._labels = Recent(_OPEN_IMAGES), Recent(_OPEN_LABELS)
        self._dataset: Dataset | None = None

    def probe(self, path: str) -> Reply:
        """Return size and type of an image from its header; `bytes` is the size of the decoded pixels."""
        info = probe(Path(path))
        value = {key: item for key, item in asdict(info).items() if key in ("format", "channels", "dtype", "pages")}
        size = info.height * info.width * info.channels * np.dtype(info.dtype).itemsize
        return Reply({**value, "height": info.height, "width": info.width, "bytes": size})

    def describe(self, path: str) -> Reply:
        """Return what the viewer needs to show an image."""
        pyramid = self._pyramid(path)
        source = pyramid.source
        return Reply(
            {
                "width": pyramid.width,
                "height": pyramid.height,
                "channels": source.shape[0],
                "dtype": str(source.dtype),
                "levels": pyramid.top + 1,
                "range": [list(span) for span in pyramid.default_range()],
                "spacing": list(source.spacing) if source.spacing else None,
                "warnings": list(source.warnings),
            }
        )

    def tile(
        self,
        path: str,
        level: int,
        column: int,
        row: int,
        low: float | None = None,
        high: float | None = None,
        gamma: float = 1.0,
        channels: list[int] | None = None,
    ) -> Reply:
        """Return a tile as a JPEG; by default the first channels with the default range of the image."""
        pyramid = self._pyramid(path)
        shown = _shown_channels(pyramid.source.shape[0], channels)
        pixels = pyramid.tile(level, column, row)[shown]
        ranges = [pyramid.default_range()[channel] for channel in shown]
        if low is not None or high is not None:
            ranges = [(a if low is None else low, b if high is None else high) for a, b in ranges]
        return Reply(payload=_jpeg(to_display(pixels, ranges, gamma)))

    def thumbnail(self, path: str) -> Reply:
        """Return a small picture of an image as a JPEG."""
        pyramid = self._pyramid(path)
        shown = _shown_channels(pyramid.source.shape[0], None)
        pixels = pyramid.overview()
        factor = max(1, max(pixels.shape[1:]) // THUMBNAIL)
        ranges = pyramid.default_range()
        return Reply(payload=_jpeg(to_display(scale_down(pixels, factor)[shown], [ranges[c] for c in shown], 1.0)))

    def label_tile(self, path: str, level: int, column: int, row: int, uncertainty: str = "") -> Reply:
        """Return a tile of a result as a PNG; see `label_tiles`."""
        unsure = self._open_labels(uncertainty) if uncertainty else None
        return Reply(payload=png_bytes(label_tile(self._open_labels(path), unsure, level, column, row)))

    def truth_tile(self, case: int, level: int, column: int, row: int) -> Reply:
        """Return a tile of the ground truth of a case of the data set as a PNG."""
        return Reply(payload=png_bytes(label_tile(self._truth(case), None, level, column, row)))

    def label_at(self, path: str, row: int, column: int) -> Reply:
        """Return the number of a result at a pixel."""
        return Reply({"id": self._open_labels(path).at(row, column)})

    def geojson(self, mask: str, classes: list[str], task: str) -> Reply:
        """Return the outlines of a result as GeoJSON."""
        found = list(features(self._open_labels(mask).whole().astype(np.int64), classes, objects=task == "instance"))
        return Reply(payload=json.dumps({"type": "FeatureCollection", "features": found}).encode())

    def correct(self, request: str) -> Reply:
        """Return the mark of a correction; `request` is a file with the result, its marks and the line."""
        value = json.loads(Path(request).read_text("utf-8"))
        boxes = [tuple(row["box"]) for row in json.loads(Path(value["objects"]).read_text("utf-8"))]
        shown = Shown(
            labels=self._open_labels(value["mask"]),
            boxes=boxes,
            shapes=[_SHAPE.validate_python(shape) for shape in value["shapes"]],
            instance=value["task"] == "instance",
            foreground=value["foreground"],
        )
        points = [(float(x), float(y)) for x, y in value["points"]]
        return Reply(payload=correct(shown, value["action"], points, value["key"]).model_dump_json().encode())

    def corrected(self, request: str, file: str) -> Reply:
        """Write a result with the marks over it; objects as a label image."""
        value = json.loads(Path(request).read_text("utf-8"))
        shapes = [_SHAPE.validate_python(shape) for shape in value["shapes"]]
        labels = corrected(self._open_labels(value["mask"]), shapes, instance=value["task"] == "instance")
        return Reply({"file": str(write_labels(Path(file), labels))})

    def score(self, case: int, mask: str, task: str, classes: list[str]) -> Reply:
        """Return how well a result fits the ground truth of a case (0 to 1), or None if they cannot be compared."""
        dataset = self._dataset
        if dataset is None or (dataset.labelling.task, list(dataset.labelling.classes)) != (task, classes):
            return Reply({"score": None})
        truth, predicted = self._truth(case).whole(), self._open_labels(mask).whole()
        if truth.shape != predicted.shape:
            return Reply({"score": None})
        value = score_against_truth(
            truth.astype(np.int64), predicted.astype(np.int64), classes=len(classes), objects=task == "instance"
        )
        return Reply({"score": None if value is None else round(value, 4)})

    def useful_place(self, request: str) -> Reply:
        """Return the box of the place that is most useful to mark; `request` is a file with map and marks."""
        value = json.loads(Path(request).read_text("utf-8"))
        shapes = [_SHAPE.validate_python(shape) for shape in value["shapes"]]
        unsure = self._open_labels(value["uncertainty"]).whole().astype(np.uint8)
        return Reply({"box": most_useful_place(unsure, shapes)})

    def understand(self, folder: str, options: dict[str, Any] | None = None) -> Reply:
        """Read a folder as training does.

        Returns
        -------
        Reply
            `cases` (name, image, part, labelled), `messages`, `problems`, and `task`, `classes`, `colours` if there are
            masks. A folder without masks is a list of images.
        """
        root = Path(folder)
        try:
            dataset = scan_dataset(root, DataOptions(**(options or {})))
        except BadDataset as error:
            images = find_images(root)
            cases = [_case(image, root) for image in images]
            text = f"No masks were found ({error.got}): images can be predicted and marked."
            return _as_json({"cases": cases, "messages": [text], "problems": [], "task": "", "classes": []})
        dataset.require_planes("the studio")
        self._dataset = dataset
        cases = [
            {"name": case.name, "image": str(case.image), "split": case.split, "labelled": case.labelled}
            for case in dataset.cases
        ]
        problems = [{"file": p.file, "kind": p.kind, "text": p.text, "fatal": p.fatal} for p in dataset.problems]
        labelling = dataset.labelling
        return _as_json(
            {
                "cases": cases,
                "messages": list(dataset.messages),
                "problems": problems,
                "task": labelling.task,
                "classes": list(labelling.classes),
                "colours": [list(colour) for colour in labelling.colours],
                "channels": dataset.channels,
            }
        )

    def write_example(self, folder: str) -> Reply:
        """Draw a small data set of touching cells."""
        write_demo(Path(folder), train=8, val=2, test=2)
        return Reply()

    def write_crops(self, request: str, folder: str) -> Reply:
        """Write the data set of marks; `request` is a file with `id`, `path`, `shapes` and `held_out` of each image."""
        images = [
            MarkedImage(
                value["id"],
                Path(value["path"]),
                [_SHAPE.validate_python(shape) for shape in value["shapes"]],
                frozenset(value["held_out"]),
            )
            for value in json.loads(Path(request).read_text("utf-8"))
        ]
        made = write_crops(images, Path(folder))
        return Reply({"objects": made.objects, "channels": made.channels, "options": list(made.options)})

    def _pyramid(self, path: str) -> Pyramid:
        return self._pyramids.get(_stamp(path), lambda: Pyramid(open_windows(Path(path))))

    def _open_labels(self, path: str) -> Labels:
        return self._labels.get(_stamp(path), lambda: open_labels(Path(path)))

    def _truth(self, case: int) -> Labels:
        dataset = self._dataset
        if dataset is None or not 0 <= case < len(dataset.cases):
            raise BadOption("a case of the data set", str(case), "Reload the page.")

        def read() -> Labels:
            labels = dataset.read(dataset.cases[case]).labels
            if not isinstance(labels, np.ndarray):
                raise BadOption("an image with a mask", "an image with a class", "Reload the page.")
            return Labels(labels)

        return self._labels.get(case, read)


def _case(image: Path, root: Path) -> dict[str, Any]:
    name = str(image.relative_to(root)) if image != root else image.name
    return {"name": name, "image": str(image), "split": "", "labelled": False}


def _as_json(value: dict[str, Any]) -> Reply:
    """Return a large value as the payload, which has no line limit."""
    return Reply(payload=json.dumps(value).encode())


def _stamp(path: str) -> tuple[str, int, int]:
    """Return a key that changes with the file."""
    status = Path(path).stat() if Path(path).exists() else None
    return path, status.st_mtime_ns if status else 0, status.st_size if status else 0


def _shown_channels(count: int, wanted: list[int] | None) -> list[int]:
    """Return one or three channels to show: those wanted, else the first three, or the first."""
    if wanted is not None:
        found = [channel for channel in wanted if 0 <= channel < count][:_SHOWN]
        if not found:
            raise BadOption(f"channels from 0 to {count - 1}", str(wanted), "Choose one of them.")
        return found if len(found) in (1, _SHOWN) else [*found, found[-1]]
    return list(range(_SHOWN)) if count >= _SHOWN else [0]


def _jpeg(pixels: np.ndarray) -> bytes:
    return jpeg_bytes(pixels)


def main() -> None:
    """Run the worker."""
    reader = Reader()
    names = (
        "probe", "describe", "tile", "thumbnail", "label_tile", "truth_tile", "label_at", "geojson", "understand",
        "write_example", "write_crops", "correct", "corrected", "score",
        "useful_place",
    )  # fmt: skip
    run_worker({name: getattr(reader, name) for name in names}, threads=THREADS)


if __name__ == "__main__":
    sys.exit(main())
