"""Units of images: each is predicted as `predict` does, into a folder of its own."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from pixelwise.cluster.block_units import BlockWork
from pixelwise.cluster.job import Job
from pixelwise.cluster.join_tables import join_parts
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.storage.remote_images import Row, local_copies, remote_stamps
from pixelwise.cluster.work import UnitResult
from pixelwise.errors import BadModel, OutputFailed
from pixelwise.inference.predictor import BATCH
from pixelwise.io.object_store import address, is_remote
from pixelwise.io.volumes.slices import slice_files
from pixelwise.io.zarr import is_zarr
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import machine_facts
from pixelwise.workflow.prediction.classification import classify_paths, open_classifier
from pixelwise.workflow.prediction.large import large_image, model_digest
from pixelwise.workflow.prediction.masks import MaskInputs, Size, open_mask_model, predict_named
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.outliers import OUTLIERS
from pixelwise.workflow.prediction.quantities import QUANTITIES, TOTALS, write_totals
from pixelwise.workflow.prediction.results import Predictions

TABLES = (  # files about all images, in the order in which `predict` writes them
    "predictions.csv",
    "volumes.csv",
    "objects.csv",
    QUANTITIES,
    TOTALS,
    OUTLIERS,
    "confidence.csv",
    "areas.csv",
    "measurements.csv",
    "coco.json",
    "classes.json",
)
NOT_COMPARED = ("node", "threads")  # of the facts about a machine: they do not change what is predicted
INPUTS = "inputs"  # beside the outputs of an attempt: copies of images of an object store

# (unit, folder, progress)
_Predict = Callable[[dict[str, Any], Path, Progress], Predictions]


class ImageWork:
    """Prediction of units of images, with the model loaded; see `work.Work`."""

    shares_units = True

    def __init__(
        self, job: Job, predict: _Predict, blocks: BlockWork | None = None, model_card: ModelCard | None = None
    ) -> None:
        self._job, self._predict, self._blocks, self._model_card = job, predict, blocks, model_card

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Predict the images of a unit, unless they have changed; or a block of one, or assemble its blocks."""
        rows: list[Row] = [*unit.get("images", []), *unit.get("large", [])]
        rows += [unit[name]["row"] for name in ("block", "assemble") if name in unit]
        text = "expected the image for which the job was made; got a file that has changed or is gone"
        changed = [row for row in rows if stamps(Path(row[1])) != row[3]]
        if changed:
            check_folders([Path(row[1]) for row in changed], self._job.made)
        failed = [(row[1], f"{row[1]}: {text}. Choose another --out, and start again.") for row in changed]
        if self._blocks is not None and "block" in unit:
            return self._blocks.compute(unit["block"], parts, progress, changed="".join(text for _, text in failed))
        if self._blocks is not None and "assemble" in unit:
            if failed:
                return UnitResult(failed=tuple(failed))
            result = self._blocks.assemble(unit["assemble"], outputs, progress)
        else:
            kept = {name: [row for row in unit.get(name, []) if row not in changed] for name in ("images", "large")}
            result = self._predict_copies({**unit, **kept}, outputs, progress)
        for name in TABLES:
            if (outputs / name).is_file():
                (outputs / name).rename(parts / name)
        answer: dict[str, Any] = {
            "outputs": [path.relative_to(outputs).as_posix() for path in result.outputs if path.name not in TABLES],
            "predictions": [[str(row.file), row.classes, row.probabilities] for row in result.predictions],
            "confidence": [asdict(row) for row in result.confidence],
        }
        return UnitResult(failed=(*((str(path), text) for path, text in result.failed), *failed), answer=answer)

    def _predict_copies(self, unit: dict[str, Any], outputs: Path, progress: Progress) -> Predictions:
        """Predict images, of which those in an object store are copied first."""
        with local_copies([*unit["images"], *unit["large"]], outputs.with_name(INPUTS)) as copies:
            local = {
                name: [[row[0], copies.get(row[1], row[1]), *row[2:]] for row in unit[name]]
                for name in ("images", "large")
            }
            result = self._predict({**unit, **local}, outputs, progress)
        origins = {copy: address(path) for path, copy in copies.items()}
        failed = tuple(
            (Path(origins.get(str(path), str(path))), text.replace(str(path), origins.get(str(path), str(path))))
            for path, text in result.failed
        )
        return replace(result, failed=failed)

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Join the tables of all units."""
        units: dict[str, list[int]] = {name: [] for name in TABLES}
        for outcome in ledger.outcomes():
            for file in outcome.parts:
                if file.name in units:
                    units[file.name].append(outcome.unit)
        for name in TABLES:
            if units[name]:
                join_parts(name, [ledger.part(unit, name) for unit in units[name]], outputs / name)
        if units[QUANTITIES] and self._model_card is not None:
            write_totals(outputs, self._model_card)  # intervals of sums are not sums of intervals

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Return the paths of the images of a unit; a block has none, because the unit that assembles it tells."""
        rows: list[Row] = [*unit.get("images", []), *unit.get("large", [])]
        rows += [unit["assemble"]["row"]] if "assemble" in unit else []
        return [row[1] for row in rows]


def open_image_work(job: Job, progress: Progress) -> ImageWork:
    """Load the model of a job.

    Raises
    ------
    BadModel
        The model file is not the one of the job.
    """
    settings = job.settings
    model_file = Path(settings["model"])
    sha256 = model_digest(model_file)
    if sha256 != settings["model_sha256"]:
        got = f"one with the SHA-256 {sha256[:12]}..."
        raise BadModel("the model file for which the job was made", got, "Choose another --out.", model_file)
    progress.message(*_other_machine(settings["machine"]))
    fields: dict[str, Any] = dict(settings["options"])
    fields["save"] = tuple(fields["save"])
    options = PredictOptions(**fields)
    if settings["task"] == "classification":
        return _classifier(job, model_file, options, progress)
    return _segmenter(job, model_file, sha256, options, progress)


def check_folders(images: Iterable[Path], made: float) -> None:
    """Raise OutputFailed if images are gone with their folder: it is not mounted on this machine, or is away.

    A worker waits then. Without this, every image would count as one that was removed. A folder that was emptied since
    `made`, the time of the job, is there; one that is empty and older is where something else is mounted elsewhere.
    """
    for folder in {image.parent for image in images if not is_remote(image)}:
        try:
            there = any(folder.iterdir()) or folder.stat().st_mtime >= made
        except (FileNotFoundError, NotADirectoryError):
            there = False
        except PermissionError:  # the folder may be entered, and its images read
            there = True
        if not there:
            hint = "Mount it at this path on all machines; or choose another --out, and start again."
            raise OutputFailed("the folder of the images", "none, or an empty one", hint, folder)


def stamps(path: Path) -> list[list[int | str]]:
    """Return size and time of change, in nanoseconds, of the files of an image; of OME-Zarr those of its metadata.

    In an object store a mark of the content stands for the time.
    """
    if is_remote(path):
        return remote_stamps(path)
    found: list[list[int | str]] = []
    for file in _files_of(path):
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append([stat.st_size, stat.st_mtime_ns])
    return found


def _files_of(path: Path) -> list[Path]:
    """Return the files that tell whether an image has changed: of slices and of a DICOM series all."""
    if not path.is_dir():
        return list(slice_files(path)) or [path]
    metadata = [path / name for name in ("zarr.json", ".zattrs")]
    return metadata if is_zarr(path) else sorted(path.iterdir())


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


def _segmenter(job: Job, model_file: Path, sha256: str, options: PredictOptions, progress: Progress) -> ImageWork:
    model = open_mask_model(model_file, options, MaskInputs(), progress)

    def predict(unit: dict[str, Any], folder: Path, progress: Progress) -> Predictions:
        small = {name: (Path(path), cast("Size", tuple(size))) for name, path, size, _ in unit["images"]}
        large = [large_image(Path(row[1]), folder, row[0], sha256, options, len(row[2])) for row in unit["large"]]
        first = BATCH if unit.get("later") else 1
        return predict_named(model, small, large, folder, options, progress, first=first)

    return ImageWork(job, predict, BlockWork(job, model, sha256, options), model.model_card)


def _classifier(job: Job, model_file: Path, options: PredictOptions, progress: Progress) -> ImageWork:
    model = open_classifier(model_file, options, progress)

    def predict(unit: dict[str, Any], folder: Path, progress: Progress) -> Predictions:
        return classify_paths(model, [Path(row[1]) for row in unit["images"]], folder, options, progress)

    return ImageWork(job, predict)
