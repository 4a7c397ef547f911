"""Predict with workers: on this machine, or on any machines that share the output folder."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelwise.cluster.driver import continued_later, watch_local, worker_threads, workers_at
from pixelwise.cluster.job import SEAL, UNIT_SECONDS, LeaseTimes
from pixelwise.cluster.launch_commands import LaunchCommands, launch_commands
from pixelwise.cluster.places import Place, check_cluster, parse_place
from pixelwise.cluster.processes.forked import Starter, start_early
from pixelwise.cluster.sealing import sweep
from pixelwise.cluster.worker import run_worker
from pixelwise.errors import BadOption
from pixelwise.io.object_store import address, find_object, is_remote
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.cache import cache_folder
from pixelwise.runtimes.exported import find_export
from pixelwise.workflow.prediction.options import PredictOptions

if TYPE_CHECKING:
    from pixelwise.workflow.prediction.results import Predictions

# what workers of a prediction import; imported here when the process that they are copies of has been started
MODULES = ("pixelwise.cli.main", "pixelwise.cluster.worker", "pixelwise.cluster.image_units")
TORCH = "pixelwise.inference.make_runtime"  # imports torch, which a model that is not exported needs


def predict_on(
    run: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    on: str | None,
    options: PredictOptions | None = None,
    *,
    unit_seconds: float = UNIT_SECONDS,
    times: LeaseTimes | None = None,
    progress: Progress | None = None,
) -> "Predictions | LaunchCommands":
    """Predict image files with several workers; the outputs are those of `predict`.

    Parameters
    ----------
    run, inputs, out, options, progress
        As in `predict`; images and outputs may be in an object store, s3://BUCKET/KEY.
    on : str or None
        None: this process; "local:N": N processes on this machine; "ray://HOST:PORT": workers on a Ray cluster; "none":
        the job is made, and commands are returned that start workers.
    unit_seconds : float
        About how long a unit takes.
    times : LeaseTimes, optional
        When a worker counts as dead.

    Returns
    -------
    Predictions
        Of all images; or for "none" the commands, unless the job is complete.

    Raises
    ------
    OutputFailed
        `out` cannot be written, is the folder of the images, or holds other results or another job.
    BadModel, BadImage, BadOption
        The model, the inputs or the options cannot be used.
    Interrupted
        Ctrl-C or SIGTERM; the same command continues.
    """
    progress, place = progress or Console(), None if on is None else parse_place(on)
    store = Path(out) if is_remote(out) else None
    if store is not None and on is not None and (place is None or place.ray):
        raise BadOption("--on local:N with an object store as --out", on, "Jobs of several machines need a folder.")
    folder = Path(out) if store is None else job_folder(store)
    if not unit_seconds > 0:
        raise BadOption("--unit-seconds above 0", f"{unit_seconds}", "10 is usual.")
    if place is not None and place.ray:
        check_cluster(place.ray)
    with continued_later(folder):
        starter = None if (folder / SEAL).is_file() else _start_early(place, run)
        try:
            # these import torch, which the starter does at the same time
            from pixelwise.cluster.image_division import JobRequest
            from pixelwise.cluster.image_job import collect_predictions, open_or_create

            request = JobRequest(
                run=Path(run),
                inputs=tuple(Path(path) for path in inputs),
                out=folder,
                options=options or PredictOptions(),
                workers=1 if place is None else place.count,
                threads=0 if place is None or place.ray else worker_threads(place.count),
                unit_seconds=unit_seconds,
                times=times or LeaseTimes(),
                store=store,
            )
            job = open_or_create(request, progress)
            if job.sealed:
                sweep(job)  # whoever sealed it may have been stopped
                progress.message(f"The job in {address(out)} is complete.")
            elif on is None:
                run_worker(job.out, progress=progress)
            elif place is None:
                return launch_commands(job)
            else:
                watch_local(workers_at(place, job, starter), progress, "predicting")
        finally:
            if starter is not None:
                starter.close()
        return collect_predictions(job, Path(out), progress)


def _start_early(place: Place | None, run: Path | str) -> Starter | None:
    """Start the process that becomes the workers of this machine."""
    if place is None or place.ray:
        return None
    return start_early(MODULES if find_export(run) else (*MODULES, TORCH), worker_threads(place.count))


def job_folder(store: Path) -> Path:
    """Return the folder of this machine for the job whose outputs are in an object store; an outdated one is removed.

    It is one whose outputs were removed from the store.
    """
    folder = cache_folder() / "jobs" / hashlib.sha256(address(store).encode()).hexdigest()[:16]
    if (folder / SEAL).is_file() and find_object(store / SEAL) is None:
        shutil.rmtree(folder)
    return folder
