"""The job of a prediction: what identifies it, what its workers need to know, and what has become of it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pixelwise.cluster.image_division import JobRequest, divide_images
from pixelwise.cluster.image_units import TABLES, stamps
from pixelwise.cluster.job import Job, check_same, create_job, digest, find_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.storage.outputs import STORE, check_store_free
from pixelwise.cluster.storage.remote_images import find_remote_images, remote_size
from pixelwise.datasets.images.files import describe_folders, find_images
from pixelwise.errors import BadOption
from pixelwise.inference.load import find_model, find_model_card
from pixelwise.io.object_store import address, is_remote
from pixelwise.io.volumes.slices import group_slices
from pixelwise.model_file.model_card import ModelCard
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import machine_facts
from pixelwise.text import __version__, pluralise
from pixelwise.workflow.confidence import Confidence
from pixelwise.workflow.prediction.classification import TABLE, check_class_options
from pixelwise.workflow.prediction.large import model_digest
from pixelwise.workflow.prediction.masks import (
    Size,
    check_mask_options,
    check_masks_free,
    image_size,
    result_file_names,
)
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.outliers import OUTLIERS, read_outliers
from pixelwise.workflow.prediction.quantities import TOTALS, read_totals
from pixelwise.workflow.prediction.results import (
    ClassPrediction,
    Predictions,
    check_free,
    check_output_folder,
    name_images,
    split_long_names,
)
from pixelwise.workflow.tasks.choose import task_of

_SHOWN = 20  # messages of units


def open_or_create(request: JobRequest, progress: Progress) -> Job:
    """Return the job of a prediction: that of the output folder if it is the same, or a new one.

    Raises
    ------
    OutputFailed
        The folder cannot be written, holds other results, or another job.
    BadModel, BadDataset, BadImage, BadOption
        The model, the inputs or the options cannot be used.
    """
    _check_options(request.options)
    paths = _find_images(request)
    folders = [path for path in request.inputs if not is_remote(path)]
    progress.message(*describe_folders(folders, request.out))
    check_output_folder(request.out, folders)
    model_file = find_model(request.run).absolute()
    card = find_model_card(model_file)
    by_pixel = task_of(card).unit == "pixels"
    images_only = by_pixel and card.network.dimensions == 2
    if not images_only and (request.store is not None or len(folders) < len(request.inputs)):
        got = "one of volumes" if by_pixel else "one of classes"
        raise BadOption("a model that segments images, for an object store", got, "Use folders.")
    paths = group_slices(paths) if card.reading.stack else paths
    if by_pixel:
        check_mask_options(request.options, card)
    else:
        check_class_options(request.options)
    named, refused = _named(paths, by_pixel=by_pixel)
    marks = list(parallel_map(stamps, list(named.values())))
    sha256 = model_digest(model_file)
    identity = _identity(sha256, request.options, named, marks)
    job = find_job(request.out)
    if job is not None:
        check_same(job, identity)
        return job
    check = request.options
    if request.store is not None:
        check_store_free(request.store, result_file_names(named))
    elif by_pixel:
        check_masks_free(request.out, named, check)
    else:
        check_free(request.out, (TABLE,), check)
    sizes = list(
        progress.track(
            parallel_map(partial(_image_size, model_card=card), list(named.values())), "reading headers", len(named)
        )
    )
    rows = [
        [name, str(path), list(size), mark]
        for (name, path), size, mark in zip(named.items(), sizes, marks, strict=True)
    ]
    division = divide_images(model_file, card, rows, request, progress)
    settings = {
        "folder": str(Path.cwd()),
        "inputs": [str(path.absolute()) for path in folders],
        "model": str(model_file),
        "model_sha256": sha256,
        "task": card.task,
        "options": asdict(replace(request.options, runtime=division.runtime)),
        "refused": [[str(path), text] for path, text in refused],
        "machine": machine_facts(),
    }
    if request.store is not None:
        settings[STORE] = address(request.store)
    job = create_job(
        request.out, "predict", identity, division.units, settings, after=division.after, times=request.times
    )
    progress.message(f"{pluralise(len(rows), 'image')} in {pluralise(job.units, 'unit')}.")
    return job


def _find_images(request: JobRequest) -> list[Path]:
    """Return all images of the inputs, in folders and in object stores."""
    return [
        image
        for path in request.inputs
        for image in (find_remote_images(path) if is_remote(path) else find_images(path, request.out))
    ]


def _image_size(path: Path, model_card: ModelCard) -> Size:
    return remote_size(path, model_card) if is_remote(path) else image_size(path, model_card)


def _check_options(options: PredictOptions) -> None:
    if options.overwrite:
        hint = "Remove the old results, or choose another --out."
        raise BadOption("--on without --overwrite", "both", hint)
    if options.tolerance is not None:
        raise BadOption("--on without --tolerance", "both", "Omit --tolerance: tiles are then exact.")


def _named(paths: Sequence[Path], *, by_pixel: bool) -> tuple[dict[str, Path], list[tuple[Path, str]]]:
    """Return the images by the names of their results, and those that cannot be predicted."""
    if by_pixel:
        return split_long_names(name_images(paths))
    return {str(path): path for path in dict.fromkeys(paths)}, []


def _identity(
    sha256: str, options: PredictOptions, named: dict[str, Path], marks: Sequence[list[list[int | str]]]
) -> str:
    """Return a digest of everything that the outputs depend on."""
    images = hashlib.sha256()
    for (name, path), mark in zip(named.items(), marks, strict=True):
        images.update(json.dumps([name, str(path), mark]).encode())
    chosen = {name: value for name, value in asdict(options).items() if name != "device"}
    return digest({"pixelwise": __version__, "model": sha256, "options": chosen, "images": images.hexdigest()})


def collect_predictions(job: Job, out: Path, progress: Progress) -> Predictions:
    """Return the predictions of a sealed job, as one process would have; `out` is the output folder as given.

    Tables of an object store are read in the folder of the job.
    """
    outputs: list[Path] = []
    failed = [(Path(path), str(text)) for path, text in job.settings["refused"]]
    classes: list[ClassPrediction] = []
    confidence: list[Confidence] = []
    messages: dict[str, int] = {}
    for outcome in Ledger(job).outcomes():
        answer = outcome.answer
        outputs += [out / name for name in answer.get("outputs", [])]
        failed += [(Path(path), text) for path, text in outcome.failed]
        classes += [
            ClassPrediction(file=Path(path), classes=tuple(names), probabilities=tuple(values))
            for path, names, values in answer.get("predictions", [])
        ]
        confidence += [Confidence(**row) for row in answer.get("confidence", [])]
        for text in answer["messages"]:
            messages[text] = messages.get(text, 0) + 1
    outputs += [out / name for name in TABLES if (job.out / name).is_file()]
    shown = list(messages)[:_SHOWN]
    progress.message(*shown)
    if len(messages) > _SHOWN:
        rest = pluralise(len(messages) - _SHOWN, "more message is", "more messages are")
        progress.message(f"{rest} in {job.folder / 'done'}.")
    totals = read_totals(job.out / TOTALS) if (job.out / TOTALS).is_file() else ()
    outliers = read_outliers(job.out / OUTLIERS) if (job.out / OUTLIERS).is_file() else ()
    return Predictions(tuple(outputs), tuple(failed), tuple(classes), tuple(confidence), totals, outliers)
