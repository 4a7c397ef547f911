"""Units of images: each is predicted as `predict` does, into a folder of its own."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelwise.cluster.job import Job
from pixelwise.cluster.join_tables import join_parts
from pixelwise.cluster.kinds import UnitResult
from pixelwise.cluster.ledger import Ledger
from pixelwise.errors import BadModel
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import machine_facts
from pixelwise.workflow.prediction.classification import classify_paths, open_classifier
from pixelwise.workflow.prediction.large import large_image, model_digest
from pixelwise.workflow.prediction.masks import MaskInputs, open_mask_model, predict_named
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions

TABLES = (  # files about all images, in the order in which `predict` writes them
    "predictions.csv",
    "objects.csv",
    "confidence.csv",
    "areas.csv",
    "measurements.csv",
    "coco.json",
    "classes.json",
)
NOT_COMPARED = ("node", "threads")  # of the facts about a machine: they do not change what is predicted


Row = list[Any]  # name, path, size, stamps
# (images, streamed images, folder, progress)
_Predict = Callable[[list[Row], list[Row], Path, Progress], Predictions]


class ImageWork:
    """Prediction of units of images, with the model loaded; see `kinds.Work`."""

    shares_units = True

    def __init__(self, predict: _Predict) -> None:
        self._predict = predict

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Predict the images of a unit, unless they have changed."""
        images, large = ([row for row in unit.get(name, []) if not _changed(row)] for name in ("images", "large"))
        changed = [row for name in ("images", "large") for row in unit.get(name, []) if _changed(row)]
        result = self._predict(images, large, outputs, progress)
        for name in TABLES:
            if (outputs / name).is_file():
                (outputs / name).rename(parts / name)
        text = "expected the image for which the job was made; got a file that has changed or is gone"
        failed = [(row[1], f"{row[1]}: {text}. Choose another --out, and start again.") for row in changed]
        answer: dict[str, Any] = {
            "outputs": [path.name for path in result.outputs if path.name not in TABLES],
            "predictions": [[str(row.file), row.classes, row.probabilities] for row in result.predictions],
            "confidence": [asdict(row) for row in result.confidence],
        }
        return UnitResult(failed=(*((str(path), text) for path, text in result.failed), *failed), answer=answer)

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Join the tables of all units."""
        for name in TABLES:
            candidates = (ledger.part(unit, name) for unit in range(ledger.job.units))
            parts = [part for part in candidates if part.is_file()]
            if parts:
                join_parts(name, parts, outputs / name)

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Return the paths of the images of a unit."""
        return [row[1] for name in ("images", "large") for row in unit.get(name, [])]


def open_image_work(job: Job, progress: Progress) -> ImageWork:
    """Load the model of a job.

    Raises
    ------
    BadModel
        The model file is not the one of the job.
    """
    settings = job.settings
    go_to(settings["folder"])
    model_file = Path(settings["model"])
    sha256 = model_digest(model_file)
    if sha256 != settings["model_sha256"]:
        got = f"one with the SHA-256 {sha256[:12]}..."
        raise BadModel("the model file for which the job was made", got, "Choose another --out.", model_file)
    progress.message(*_other_machine(settings["machine"]))
    options = PredictOptions(**{**settings["options"], "save": tuple(settings["options"]["save"])})
    if settings["task"] == "classification":
        return ImageWork(_classifier(model_file, options, progress))
    return ImageWork(_segmenter(model_file, sha256, options, progress))


def go_to(folder: str) -> None:
    """Make a folder the working folder, because paths of a job are those that the user gave."""
    os.chdir(folder)


def stamps(path: Path) -> list[list[int]]:
    """Return size and time of change, in nanoseconds, of an image; of an OME-Zarr image those of its metadata."""
    files = [path / name for name in ("zarr.json", ".zattrs")] if path.is_dir() else [path]
    found: list[list[int]] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append([stat.st_size, stat.st_mtime_ns])
    return found


def _changed(row: list[Any]) -> bool:
    return stamps(Path(row[1])) != row[3]


def _other_machine(facts: dict[str, Any]) -> list[str]:
    """Return a warning if this machine differs from the one on which the job was made."""
    here = machine_facts()
    other = [name for name in facts if name not in NOT_COMPARED and here.get(name) != facts[name]]
    if not other:
        return []
    return [
        f"This machine differs from the one on which the job was made ({', '.join(other)}): "
        "labels may differ where two classes are almost equally probable."
    ]


def _segmenter(model_file: Path, sha256: str, options: PredictOptions, progress: Progress) -> _Predict:
    model = open_mask_model(model_file, options, MaskInputs(), progress)

    def predict(images: list[list[Any]], large: list[list[Any]], folder: Path, progress: Progress) -> Predictions:
        small = {name: (Path(path), tuple(size)) for name, path, size, _ in images}
        whole = [large_image(Path(row[1]), folder, row[0], sha256, options) for row in large]
        return predict_named(model, small, whole, folder, options, progress)

    return predict


def _classifier(model_file: Path, options: PredictOptions, progress: Progress) -> _Predict:
    model = open_classifier(model_file, options, progress)

    def predict(images: list[list[Any]], large: list[list[Any]], folder: Path, progress: Progress) -> Predictions:
        return classify_paths(model, [Path(row[1]) for row in images], folder, options, progress)

    return predict
