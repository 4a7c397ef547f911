"""The worker that reads images: ``python -m pixelwise.server.workers.reader``. It needs no torch."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pixelwise.datasets.dataset import (
    Case,
    DataOptions,
    Dataset,
    find_images,
    find_unlabelled_images,
    scan_dataset,
)
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadDataset, BadImage, BadOption
from pixelwise.io.read import is_volume_folder, probe
from pixelwise.io.volumes.names import is_volume_name
from pixelwise.io.windows import open_windows
from pixelwise.io.write import jpeg_bytes, png_bytes
from pixelwise.server.marks.crops import MarkedImage, write_crops
from pixelwise.server.marks.records import Shape
from pixelwise.server.workers.corrected_mask import write_corrected
from pixelwise.server.workers.corrections import Shown, correct
from pixelwise.server.workers.label_tiles import Labels, label_tile, open_labels
from pixelwise.server.workers.outlines import write_geojson
from pixelwise.server.workers.protocol import Reply, run_worker
from pixelwise.server.workers.pyramid import Pyramid, scale_down, to_display
from pixelwise.server.workers.ranking import most_useful_place, score_against_truth
from pixelwise.server.workers.recent import Recent
from pixelwise.server.workers.volume_planes import Plane, open_label_volume
from pixelwise.server.workers.volumes import Volumes, stamp

THREADS = 4
THUMBNAIL = 192
_OPEN_IMAGES, _OPEN_LABELS = 4, 4
_SHOWN = 3
_COMPARED = 2**26  # pixels or voxels: larger results have no score
_SHAPE: TypeAdapter[Shape] = TypeAdapter(Shape)


class Reader:
    """Answers the calls about images, masks and folders; `stacks` as of `Volumes`."""

    def __init__(self, stacks: bool = False) -> None:
        self._pyramids, self._labels = Recent(_OPEN_IMAGES), Recent(_OPEN_LABELS)
        self._volumes, self._stacks = Volumes(stacks), stacks
        self._datasets: dict[str, Dataset] = {}

    def probe(self, path: str) -> Reply:
        """Return size and type of an image from its header; `bytes` is the size of the decoded pixels.

        `depth` is None of an image of two dimensions.
        """
        if Path(path).is_dir() and self._volumes.info(Path(path)) is None:  # OME-Zarr of two dimensions
            source = self._pyramid(path).source
            channels, height, width = source.shape
            found = {"channels": channels, "height": height, "width": width, "depth": None}
            return Reply({**found, "bytes": math.prod(source.shape) * source.dtype.itemsize})
        info = probe(Path(path), volumes=self._stacks)
        size = math.prod(info.size) * info.channels * np.dtype(info.dtype).itemsize
        names = ("channels", "height", "width", "depth")
        return Reply({**{name: getattr(info, name) for name in names}, "bytes": size})

    def check_pages(self, path: str) -> Reply:
        """Raise `BadImage` for a stack that the page cannot show, with a hint for those who look at the page."""
        info = probe(Path(path), volumes=self._stacks)
        if info.pages > 1 and info.depth is None:
            try:
                open_windows(Path(path)).close()
            except BadImage as error:
                if "--volumes" not in error.hint:
                    raise
                hint = "Start pixelwise serve --volumes to see a volume, or save its pages as single images."
                raise BadImage(error.expected, error.got, hint, error.path) from error
        return Reply()

    def describe(self, path: str) -> Reply:
        """Return what the viewer needs to show an image; of a volume also its planes, see `Volumes.describe`."""
        if self._volumes.info(Path(path)) is not None:
            return Reply(self._volumes.describe(Path(path)))
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
        plane: Plane | None = None,
        at: int = 0,
    ) -> Reply:
        """Return a tile as a JPEG; by default the first channels with the default range of the image.

        Of a volume, `at` is the number of the plane across an axis.
        """
        pyramid = self._pyramid(path) if plane is None else self._volumes.pyramid(Path(path), plane, at)
        shown = _shown_channels(pyramid.source.shape[0], channels)
        pixels = pyramid.tile(level, column, row)[shown]
        ranges = [pyramid.default_range()[channel] for channel in shown]
        if low is not None or high is not None:
            ranges = [(a if low is None else low, b if high is None else high) for a, b in ranges]
        return Reply(payload=_jpeg(to_display(pixels, ranges, gamma)))

    def thumbnail(self, path: str) -> Reply:
        """Return a small picture of an image, or of the middle of a volume, as a JPEG."""
        if self._volumes.info(Path(path)) is None:
            pyramid = self._pyramid(path)
            pixels, ranges = pyramid.overview(), pyramid.default_range()
        else:
            pixels, ranges = self._volumes.overview(Path(path))
        shown = _shown_channels(len(pixels), None)
        factor = max(1, max(pixels.shape[1:]) // THUMBNAIL)
        return Reply(payload=_jpeg(to_display(scale_down(pixels, factor)[shown], [ranges[c] for c in shown], 1.0)))

    def label_tile(
        self,
        path: str,
        level: int,
        column: int,
        row: int,
        uncertainty: str = "",
        image: str = "",
        plane: Plane | None = None,
        at: int = 0,
    ) -> Reply:
        """Return a tile of a result as a PNG, see `label_tiles`; of a plane of a volume with its `image`."""
        unsure = self._plane_labels(uncertainty, image, plane, at) if uncertainty else None
        labels = self._plane_labels(path, image, plane, at)
        return Reply(payload=png_bytes(label_tile(labels, unsure, level, column, row)))

    def truth_tile(
        self, data: str, case: int, level: int, column: int, row: int, plane: Plane | None = None, at: int = 0
    ) -> Reply:
        """Return a tile of the ground truth of a case of a data set as a PNG."""
        dataset, own = self._case(data, case)
        if plane is None:
            return Reply(payload=png_bytes(label_tile(self._truth(dataset, own), None, level, column, row)))
        truth = self._volumes.truth(lambda: dataset.read_labels(own), own.image, plane, at)
        return Reply(payload=png_bytes(label_tile(truth, None, level, column, row)))

    def label_at(
        self, path: str, row: int, column: int, image: str = "", plane: Plane | None = None, at: int = 0
    ) -> Reply:
        """Return the number of a result at a pixel."""
        return Reply({"id": self._plane_labels(path, image, plane, at).at(row, column)})

    def geojson(self, mask: str, classes: list[str], task: str, file: str, progress: str = "") -> Reply:
        """Write the outlines of a result as GeoJSON."""
        labels, report = self._open_labels(mask), _reporter(progress)
        write_geojson(Path(file), labels, classes, objects=task == "instance", report=report)
        return Reply({"file": file})

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

    def corrected(self, request: str, file: str, progress: str = "") -> Reply:
        """Write a result with the marks over it; objects as a label image."""
        value = json.loads(Path(request).read_text("utf-8"))
        shapes = [_SHAPE.validate_python(shape) for shape in value["shapes"]]
        labels, instance = self._open_labels(value["mask"]), value["task"] == "instance"
        report = _reporter(progress)
        return Reply({"file": str(write_corrected(Path(file), labels, shapes, instance=instance, report=report))})

    def score(self, data: str, case: int, mask: str, task: str, classes: list[str]) -> Reply:
        """Return how well a result fits the ground truth of a case (0 to 1), or None if they cannot be compared."""
        dataset, own = self._case(data, case)
        if (dataset.labelling.task, list(dataset.labelling.classes)) != (task, classes):
            return Reply({"score": None})
        truth, predicted = self._compared(dataset, own, Path(mask))
        if truth.shape != predicted.shape or truth.size > _COMPARED:
            return Reply({"score": None})
        value = score_against_truth(
            truth.astype(np.int64), predicted.astype(np.int64), classes=len(classes), objects=task == "instance"
        )
        return Reply({"score": None if value is None else round(value, 4)})

    def _compared(self, dataset: Dataset, case: Case, mask: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return the ground truth and the predicted labels of a case."""
        if dataset.spatial_dims == 2:
            return self._truth(dataset, case).whole(), self._open_labels(str(mask)).whole()
        predicted = open_label_volume(mask)
        _, depth, height, width = predicted.shape
        return dataset.read_labels(case), predicted.read((0, depth), (0, height), (0, width))[0]

    def useful_place(self, request: str) -> Reply:
        """Return the box of the place that is most useful to mark; `request` is a file with map and marks."""
        value = json.loads(Path(request).read_text("utf-8"))
        shapes = [_SHAPE.validate_python(shape) for shape in value["shapes"]]
        return Reply({"box": most_useful_place(self._open_labels(value["uncertainty"]), shapes)})

    def understand(self, folder: str) -> Reply:
        """Read a folder as training does.

        Returns
        -------
        Reply
            `cases` (name, image, part, labelled), `messages`, `problems`, `volumes` (whether they are), and `task`,
            `classes`, `colours` if there are masks. A folder without masks is a list of images.
        """
        root = Path(folder)
        try:
            dataset = self._dataset(folder)
        except BadDataset as error:
            images = find_images(root)
            cases = [_listed(image, root) for image in images]
            volumes = all(is_volume_name(image.name) or is_volume_folder(image) for image in images)
            able = "volumes can be predicted" if volumes else "images can be predicted and marked"
            hint = f"{error.hint[:1].lower()}{error.hint[1:]}"
            text = f"No masks were found ({error.got}): {able}. To train on masks, {hint}"
            found = {"messages": [text], "volumes": volumes}
            return _as_json({"cases": cases, "problems": [], "task": "", "classes": [], **found})
        cases = [
            {"name": case.name, "image": str(case.image), "split": case.split, "labelled": case.labelled}
            for case in dataset.cases
        ]
        known = {case["image"] for case in cases}  # the cases stay first: their places are those of the data set
        unlabelled = find_unlabelled_images(root, DataOptions(volumes=self._stacks))
        cases += [_listed(image, root) for image in unlabelled if str(image) not in known]
        problems = [
            {"file": p.file, "kind": p.kind, "text": p.text, "hint": p.hint, "fatal": p.fatal} for p in dataset.problems
        ]
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
                "volumes": dataset.spatial_dims == 3,
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
        return self._pyramids.get(stamp(Path(path)), lambda: Pyramid(open_windows(Path(path))))

    def _open_labels(self, path: str) -> Labels:
        return self._labels.get(stamp(Path(path)), lambda: open_labels(Path(path)))

    def _plane_labels(self, path: str, image: str, plane: Plane | None, at: int) -> Labels:
        """Return the labels of an image, or of a plane of a volume."""
        if plane is None:
            return self._open_labels(path)
        return self._volumes.labels(Path(path), Path(image), plane, at)

    def _dataset(self, folder: str) -> Dataset:
        """Return the data set of a folder; a worker that was started again reads it again."""
        if folder not in self._datasets:
            self._datasets[folder] = scan_dataset(Path(folder), DataOptions(volumes=self._stacks))
        return self._datasets[folder]

    def _case(self, folder: str, case: int) -> tuple[Dataset, Case]:
        if not folder or not 0 <= case < len((dataset := self._dataset(folder)).cases):
            raise BadOption("a case of the data set", str(case), "Reload the page.")
        return dataset, dataset.cases[case]

    def _truth(self, dataset: Dataset, case: Case) -> Labels:
        def read() -> Labels:
            labels = dataset.read(case).labels
            if not isinstance(labels, np.ndarray):
                raise BadOption("an image with a mask", "an image with a class", "Reload the page.")
            return Labels(labels)

        return self._labels.get(("truth", str(case.image)), read)


def _reporter(progress: str) -> Callable[[float], object]:
    """Return what writes the share of the work that is done into a file, if there should be one."""
    return lambda share: Path(progress).write_text(f"{share:.4f}", "utf-8") if progress else None


def _listed(image: Path, root: Path) -> dict[str, Any]:
    name = str(image.relative_to(root)) if image != root else image.name
    return {"name": name, "image": str(image), "split": "", "labelled": False}


def _as_json(value: dict[str, Any]) -> Reply:
    """Return a large value as the payload, which has no line limit."""
    return Reply(payload=json.dumps(value).encode())


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


def main(*words: str) -> None:
    """Run the worker; the word "volumes" says that TIFF stacks are volumes."""
    reader = Reader("volumes" in words)
    names = (
        "probe", "check_pages", "describe", "tile", "thumbnail", "label_tile", "truth_tile", "label_at", "geojson",
        "understand", "write_example", "write_crops", "correct", "corrected", "score",
        "useful_place",
    )  # fmt: skip
    run_worker({name: getattr(reader, name) for name in names}, threads=THREADS)


if __name__ == "__main__":
    main(*sys.argv[1:])
