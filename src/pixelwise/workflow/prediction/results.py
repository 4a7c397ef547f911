"""Options, output checks and results shared by segmentation and classification prediction."""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import check_writable, write_error
from pixelwise.errors import BadImage, OutputFailed
from pixelwise.io.array_paths import parse_array_path
from pixelwise.io.object_store import address
from pixelwise.io.volumes.names import stem_of, suffix_of
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import Confidence
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.outliers import describe_outliers
from pixelwise.workflow.prediction.quantities import describe_totals

MAX_NAME = 255 - 55  # bytes: file systems take 255; the longest addition is that of a temporary file


@dataclass(frozen=True, kw_only=True)
class ClassPrediction:
    """The most probable classes of one image in descending order, with their probabilities."""

    file: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {
            "file": str(self.file),
            "class": self.classes[0],
            "probability": self.probabilities[0],
            "top": [
                {"class": name, "probability": value}
                for name, value in zip(self.classes, self.probabilities, strict=True)
            ],
        }


@dataclass(frozen=True)
class Predictions:
    """Written files, failed files with their errors, predicted classes (classification), and what the tables hold.

    `totals` are the rows of ``totals.csv``: how much of each class all images contain; `outliers` those
    of ``outliers.csv``: whether an image lies outside of what the model was trained on.
    """

    outputs: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]
    predictions: tuple[ClassPrediction, ...] = ()
    confidence: tuple[Confidence, ...] = ()
    totals: tuple[dict[str, Any], ...] = ()
    outliers: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object; the others only if there are any."""
        record: dict[str, Any] = {
            "outputs": [address(path) for path in self.outputs],
            "failed": [{"file": address(path), "text": text} for path, text in self.failed],
        }
        record |= {"predictions": [prediction.to_json() for prediction in self.predictions]} if self.predictions else {}
        record |= {"totals": list(self.totals)} if self.totals else {}
        record |= {"outliers": list(self.outliers)} if self.outliers else {}
        return record | ({"confidence": [asdict(row) for row in self.confidence]} if self.confidence else {})

    def to_text(self, folder: Path) -> str:
        """Return a summary; `folder` is the output folder."""
        done = f"{pluralise(len(self.outputs), 'file')} written to {address(folder)}"
        if self.predictions:
            done = f"{pluralise(len(self.predictions), 'image')} classified in {self.outputs[0]}"
        done += f", {pluralise(len(self.failed), 'image')} failed." if self.failed else "."
        return "\n".join([done, *describe_totals(self.totals), *describe_outliers(self.outliers)])


def check_output_folder(folder: Path, inputs: Sequence[Path]) -> None:
    """Check that the output folder is writable and does not contain the input images."""
    sources = {(path if path.is_dir() else path.parent).resolve() for path in inputs}
    if folder.resolve() in sources:
        hint = "Choose another --out: nothing is ever written next to your images."
        raise OutputFailed("an output folder without the images", "the folder of the images", hint, folder)
    try:
        check_writable(folder)
    except OSError as error:
        raise write_error(folder, error) from error


def check_free(folder: Path, names: Collection[str], options: PredictOptions) -> None:
    """Check that no file of these names exists, unless they may be overwritten."""
    existing = sorted(path.name for path in folder.iterdir() if path.name in names)
    if existing and not options.overwrite:
        hint = "Replace them with --overwrite, or choose another --out."
        got = f"{len(existing)}, such as {existing[0]}"
        raise OutputFailed("a folder without existing results", got, hint, folder)


def split_long_names(named: Mapping[str, Path]) -> tuple[dict[str, Path], list[tuple[Path, str]]]:
    """Separate the images whose results, their temporary files included, would have too long a name.

    Returns
    -------
    dict
        The other images by name.
    list of (Path, str)
        Images with a too long name, each with an error message.
    """
    sizes = {name: len(os.fsencode(name)) for name in named}
    expected, hint = f"a file name of at most {MAX_NAME} bytes", "Give the image a shorter name."
    long = [
        (path, str(BadImage(expected, f"one of {sizes[name]}", hint, path)))
        for name, path in named.items()
        if sizes[name] > MAX_NAME
    ]
    return {name: path for name, path in named.items() if sizes[name] <= MAX_NAME}, long


def name_images(paths: Sequence[Path]) -> dict[str, Path]:
    """Return a unique output name for each image: its stem, with its folders and the suffix as needed.

    >>> list(name_images([Path("in/top.png"), Path("in/p1/a.png"), Path("in/p2/a.png")]))
    ['top', 'p1_a', 'p2_a']
    >>> list(name_images([Path("in/a.png"), Path("in/a.tif")]))
    ['in_a_png', 'in_a_tif']
    """
    names: dict[str, Path] = {}
    for path, name in zip(paths, _unique_names(paths), strict=True):
        if name in names:
            hint = "Predict them into two different folders."
            raise BadImage("a unique name for every image", f"{name} twice", hint, path)
        names[name] = path
    return names


def _stem(path: Path) -> str:
    """Return the stem of a file; of an image in an array file, also the path inside it."""
    place = parse_array_path(path)
    return stem_of(path) if place is None or not place.inner else "_".join([place.file.stem, *place.inner])


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the stems; with as many folders as make them different, ignoring case, where stems are equal."""
    names = [_stem(path) for path in paths]
    in_folder = Counter((path.parent, stem_of(path).lower()) for path in paths)
    for count in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        used = Counter(name.lower() for name in names)
        equal = [index for index, name in enumerate(names) if used[name.lower()] > 1]
        if not equal:
            break
        for index in equal:
            path = paths[index]
            suffix = [suffix_of(path)[1:]] if in_folder[path.parent, stem_of(path).lower()] > 1 else []
            names[index] = "_".join([*path.parts[-count:-1], stem_of(path), *suffix])
    return names
