"""Predict with workers: on this machine, or on any machines that share the output folder."""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.cluster.driver import watch_local, worker_threads, workers_at
from pixelwise.cluster.image_division import UNIT_SECONDS, JobRequest
from pixelwise.cluster.image_job import open_or_create
from pixelwise.cluster.image_units import TABLES
from pixelwise.cluster.job import Job, LeaseTimes
from pixelwise.cluster.launch_commands import LaunchCommands, launch_commands
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.places import check_cluster, parse_place
from pixelwise.errors import BadOption
from pixelwise.progress import Console, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import Confidence
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.outliers import OUTLIERS, read_outliers
from pixelwise.workflow.prediction.quantities import TOTALS, read_totals
from pixelwise.workflow.prediction.results import ClassPrediction, Predictions

_SHOWN = 20  # messages of units


def predict_on(
    run: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    on: str,
    options: PredictOptions | None = None,
    *,
    unit_seconds: float = UNIT_SECONDS,
    times: LeaseTimes | None = None,
    progress: Progress | None = None,
) -> Predictions | LaunchCommands:
    """Predict image files with several workers; the outputs are those of `predict`.

    Parameters
    ----------
    run, inputs, out, options, progress
        As in `predict`.
    on : str
        "local:N": N processes on this machine; "ray://HOST:PORT": workers on a Ray cluster; "none": the job is made,
        and commands are returned that start workers.
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
    progress, place = progress or Console(), parse_place(on)
    if not unit_seconds > 0:
        raise BadOption("--unit-seconds above 0", f"{unit_seconds}", "10 is usual.")
    if place is not None and place.ray:
        check_cluster(place.ray)
    request = JobRequest(
        run=Path(run),
        inputs=tuple(Path(path) for path in inputs),
        out=Path(out),
        options=options or PredictOptions(),
        workers=1 if place is None else place.count,
        threads=0 if place is None or place.ray else worker_threads(place.count),
        unit_seconds=unit_seconds,
        times=times or LeaseTimes(),
    )
    job = open_or_create(request, progress)
    if job.sealed:
        progress.message(f"The job in {out} is complete.")
    elif place is None:
        return launch_commands(job)
    else:
        watch_local(workers_at(place, job), progress, "predicting")
    return collect(job, Path(out), progress)


def collect(job: Job, out: Path, progress: Progress) -> Predictions:
    """Return the predictions of a sealed job, as one process would have; `out` is the output folder as given."""
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
    outputs += [out / name for name in TABLES if (out / name).is_file()]
    shown = list(messages)[:_SHOWN]
    progress.message(*shown)
    if len(messages) > _SHOWN:
        rest = pluralise(len(messages) - _SHOWN, "more message is", "more messages are")
        progress.message(f"{rest} in {job.folder / 'done'}.")
    totals = read_totals(out / TOTALS) if (out / TOTALS).is_file() else ()
    outliers = read_outliers(out / OUTLIERS) if (out / OUTLIERS).is_file() else ()
    return Predictions(tuple(outputs), tuple(failed), tuple(classes), tuple(confidence), totals, outliers)
