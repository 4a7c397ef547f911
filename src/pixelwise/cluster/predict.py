"""Predict with workers: on this machine, or on any machines that share the output folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from pixelwise.cluster.driver import LocalWorkers, watch_local, worker_threads
from pixelwise.cluster.image_division import UNIT_SECONDS, JobRequest
from pixelwise.cluster.image_job import open_or_create
from pixelwise.cluster.image_units import TABLES
from pixelwise.cluster.job import Job, LeaseTimes
from pixelwise.cluster.launch_commands import LaunchCommands, launch_commands
from pixelwise.cluster.ledger import Ledger
from pixelwise.errors import BadOption
from pixelwise.progress import Console, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import Confidence
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import ClassPrediction, Predictions

MAX_WORKERS = 1024  # on one machine
_SHOWN = 20  # messages of units


def parse_place(text: str) -> int | None:
    """Return the number of workers of `local:N`; None for `none`.

    Raises
    ------
    BadOption
        It is neither.

    Examples
    --------
    >>> parse_place("local:4"), parse_place("none")
    (4, None)
    """
    if text == "none":
        return None
    match = re.fullmatch(r"local:([1-9][0-9]{0,3})", text)
    if match is None or int(match[1]) > MAX_WORKERS:
        hint = f"Give --on local:N with N from 1 to {MAX_WORKERS:,}, or --on none and start the workers yourself."
        raise BadOption("local:N or none for --on", f"`{text}`", hint)
    return int(match[1])


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
        "local:N": N processes on this machine; "none": the job is made, and commands are returned that start workers.
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
    progress, count = progress or Console(), parse_place(on)
    if not unit_seconds > 0:
        raise BadOption("--unit-seconds above 0", f"{unit_seconds}", "10 is usual.")
    request = JobRequest(
        run=Path(run),
        inputs=tuple(Path(path) for path in inputs),
        out=Path(out),
        options=options or PredictOptions(),
        workers=count or 1,
        threads=worker_threads(count) if count else 0,
        unit_seconds=unit_seconds,
        times=times or LeaseTimes(),
    )
    job = open_or_create(request, progress)
    if job.sealed:
        progress.message(f"The job in {out} is complete.")
    elif count is None:
        return launch_commands(job)
    else:
        watch_local(LocalWorkers(job, count), progress, "predicting")
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
    return Predictions(tuple(outputs), tuple(failed), tuple(classes), tuple(confidence))
