"""The job of a prediction: what identifies it, and what its workers need to know."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pixelwise.cluster.image_division import JobRequest, divide_images
from pixelwise.cluster.image_units import stamps
from pixelwise.cluster.job import Job, check_same, create_job, digest, find_job
from pixelwise.datasets.images.files import describe_folders, find_images
from pixelwise.errors import BadOption
from pixelwise.inference.load import find_model, find_model_card
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import machine_facts
from pixelwise.text import __version__, pluralise
from pixelwise.workflow.prediction.classification import TABLE, check_class_options
from pixelwise.workflow.prediction.large import model_digest
from pixelwise.workflow.prediction.masks import check_mask_options, check_masks_free, image_size
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import check_free, check_output_folder, name_images, split_long_names
from pixelwise.workflow.tasks.choose import task_of


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
    paths = [image for path in request.inputs for image in find_images(path, request.out)]
    progress.message(*describe_folders(list(request.inputs), request.out))
    check_output_folder(request.out, list(request.inputs))
    model_file = find_model(request.run).absolute()
    card = find_model_card(model_file)
    by_pixel = task_of(card).unit == "pixels"
    if card.network.dimensions == 3:
        raise BadOption(
            "--on for a model of images", "a model of volumes", "Omit --on: a volume is predicted by one process."
        )
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
    if by_pixel:
        check_masks_free(request.out, named, check)
    else:
        check_free(request.out, (TABLE,), check)
    sizes = list(
        progress.track(
            parallel_map(partial(image_size, model_card=card), list(named.values())), "reading headers", len(named)
        )
    )
    rows = [
        [name, str(path), list(size), mark]
        for (name, path), size, mark in zip(named.items(), sizes, marks, strict=True)
    ]
    division = divide_images(model_file, card, rows, request, progress)
    settings = {
        "folder": str(Path.cwd()),
        "model": str(model_file),
        "model_sha256": sha256,
        "task": card.task,
        "options": asdict(replace(request.options, runtime=division.runtime)),
        "refused": [[str(path), text] for path, text in refused],
        "machine": machine_facts(),
    }
    job = create_job(
        request.out, "predict", identity, division.units, settings, after=division.after, times=request.times
    )
    progress.message(f"{pluralise(len(rows), 'image')} in {pluralise(job.units, 'unit')}.")
    return job


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


def _identity(sha256: str, options: PredictOptions, named: dict[str, Path], marks: Sequence[list[list[int]]]) -> str:
    """Return a digest of everything that the outputs depend on."""
    images = hashlib.sha256()
    for (name, path), mark in zip(named.items(), marks, strict=True):
        images.update(json.dumps([name, str(path), mark]).encode())
    chosen = {name: value for name, value in asdict(options).items() if name != "device"}
    return digest({"pixelwise": __version__, "model": sha256, "options": chosen, "images": images.hexdigest()})
