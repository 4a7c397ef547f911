"""The command line: one short function per command.

Results go to standard output, progress and messages to standard error. Heavy modules are imported when a command runs.
Exit codes: 0 done, 2 invalid input or option, 3 done but some files failed, 4 training diverged, 5 training ended
without learning more than a constant prediction, 6 `doctor` found faults, 75 interrupted
with saved state (continue with --resume), 130 interrupted with nothing to save.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pixelwise.cli.cluster import jobs, worker
from pixelwise.cli.convert import convert
from pixelwise.cli.doctor import doctor
from pixelwise.cli.export import export, verify
from pixelwise.cli.forecast import forecast
from pixelwise.cli.inspect import cache, inspect, report
from pixelwise.cli.options import (
    SOME_FAILED,
    Budget,
    Device,
    Json,
    Overrides,
    Seed,
    open_page,
    parse_names,
    parse_numbers,
    show,
)
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.cli.overview import PURPOSE, overview, version
from pixelwise.cli.serve import serve
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import Interrupted, PixelwiseError, path_error
from pixelwise.io.object_store import is_remote
from pixelwise.parallel import let_idle_threads_sleep
from pixelwise.workflow.prediction.options import PredictOptions

if TYPE_CHECKING:
    from pixelwise.workflow.run import Run
    from pixelwise.workflow.train import CrossValidate

STARTED = time.monotonic()  # a time budget includes the imports of its command
NOTHING_LEARNED = 5  # exit code: the training has ended, and its model is useless

app = typer.Typer(
    name="pixelwise",
    help=PURPOSE,
    no_args_is_help=True,
    add_completion=False,
    add_help_option=False,  # Typer's own makes every `COMMAND --help` import pydantic, which doubles the time
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; errors of pixelwise are printed as one line, without a traceback."""
    let_idle_threads_sleep()
    try:
        app()
    except PixelwiseError as error:
        typer.echo(f"{'Stopped' if isinstance(error, Interrupted) else 'Error'}: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a path that the system refuses: too long, no permission, a damaged disk
        typer.echo(f"Error: {path_error(error)}", err=True)
        sys.exit(PixelwiseError.exit_code)


def _print_version(given: bool) -> bool:
    if given:
        typer.echo(version())
        raise typer.Exit
    return given


def _print_overview(given: bool) -> bool:
    if given:
        typer.echo(overview())
        raise typer.Exit
    return given


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    help: Annotated[
        bool, typer.Option("--help", callback=_print_overview, is_eager=True, help="Show this message and exit.")
    ] = False,
) -> None:
    """Train segmentation and classification networks on your own images."""


@app.command()
@options_from_record(DataOptions)
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks, or with one folder per class.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name of the data>.")] = None,
    budget: Budget = None,
    steps: Annotated[int | None, typer.Option(help="Number of training steps, instead of a time budget.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs, instead of a time budget.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="With --steps or --epochs: latest end, such as 10m.")] = None,
    folds: Annotated[int | None, typer.Option(help="Number of folds of a cross-validation; makes an ensemble.")] = None,
    distil: Annotated[
        bool, typer.Option("--distil", help="With --folds: distil the ensemble into one network.")
    ] = False,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run from its last checkpoint.")] = False,
    config: Annotated[Path | None, typer.Option(help="Configuration to use (the config.yaml of a run).")] = None,
    device: Device = "auto",
    on: Annotated[
        str | None,
        typer.Option(help="With --folds: local:N or ray://HOST:PORT trains folds side by side; none prints how."),
    ] = None,
    ranks: Annotated[
        int, typer.Option(help="Data-parallel processes; they share the training.slots micro-batches of a step.")
    ] = 1,
    supervise: Annotated[bool, typer.Option("--supervise", help="Continue by itself when a process is lost.")] = False,
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Train a model on a folder of images and masks, or with one folder of images per class."""
    if supervise or ranks != 1:
        _train_in_processes(data, out, ranks, supervise=supervise)
    from pixelwise.training.team import rank_of_process
    from pixelwise.workflow.train import train as verb

    run = verb(
        data,
        out=out,
        budget=budget,
        steps=steps,
        epochs=epochs,
        time_limit=time_limit,
        folds=folds,
        distil=distil,
        seed=seed,
        resume=resume,
        config=config,
        device=device,
        options=options,
        overrides=overrides or (),
        started=STARTED,
        cross_validate=_folds_on(on),
    )
    if rank_of_process():
        return  # the first process reports
    outcome = run.outcome
    result = {"run": str(run.folder), "model": str(run.model_path), "outcome": outcome.to_json() if outcome else None}
    show(result, as_json, f"Run: {run.folder}")
    _report_outcome(run)


def _folds_on(on: str | None) -> "CrossValidate | None":
    """Return what trains the folds of a run, as `--on` says."""
    if on is None:
        return None
    from pixelwise.cluster.folds import validate_with_workers
    from pixelwise.cluster.places import parse_place

    return validate_with_workers(parse_place(on))


def _train_in_processes(data: Path, out: Path | None, ranks: int, *, supervise: bool) -> NoReturn:
    """Run this command in processes of its own, and exit as they do."""
    from pixelwise.cluster.ranks import RankRequest, train_in_processes, without_flags
    from pixelwise.progress import Console
    from pixelwise.workflow.run import run_folder

    words, folder = without_flags(sys.argv[1:]), run_folder(data, out)
    request = RankRequest(words=words, folder=folder, ranks=ranks, supervise=supervise)
    raise typer.Exit(train_in_processes(request, Console()))


@app.command()
@options_from_record(DataOptions)
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Argument(help="Folder of images and masks, or with one folder per class.")],
    split: Annotated[str | None, typer.Option(help="train, val, test or out_of_fold; by default test.")] = None,
    device: Device = "auto",
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Evaluate a run on labelled images: scores with confidence intervals."""
    from pixelwise.workflow.evaluate import evaluate as verb
    from pixelwise.workflow.tasks.choose import describe_scores

    scores = verb(run, data, split=split, device=device, options=options)
    show(scores, as_json, describe_scores(scores))


@app.command()
@options_from_record(PredictOptions)
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder, model file or exported file.")],
    inputs: Annotated[list[Path], typer.Argument(help="Images, or folders of images; also s3://BUCKET/KEY.")],
    out: Annotated[Path, typer.Option(help="Output folder; also s3://BUCKET/KEY.")],
    options: PredictOptions = PredictOptions(),
    on: Annotated[
        str | None, typer.Option(help="local:N or ray://HOST:PORT runs workers; none prints commands that start them.")
    ] = None,
    unit_seconds: Annotated[float, typer.Option(help="With --on: about how long a unit of work takes.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Predict masks, or the classes of whole images, for images of any size."""
    if on is not None or any(is_remote(path) for path in (*inputs, out)):
        from pixelwise.cluster.launch_commands import LaunchCommands
        from pixelwise.cluster.predict import predict_on

        result = predict_on(run, inputs, out, on, options, unit_seconds=unit_seconds)
        if isinstance(result, LaunchCommands):
            show(result.to_json(), as_json, result.to_text())
            return
    else:
        from pixelwise.workflow.predict import predict as verb

        result = verb(run, inputs, out, options)
    show(result.to_json(), as_json, result.to_text(out))
    if result.failed:
        raise typer.Exit(SOME_FAILED)


for command in (convert, report, inspect, cache, doctor, forecast, worker, jobs):
    app.command()(command)


@app.command()
def import_weights(
    file: Annotated[Path, typer.Argument(help="A .pth or .safetensors file of another library.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="network=resnet20 network.shortcut_padding=both (or end).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output .safetensors file; with --classes the run folder.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, stored in the file.")] = "",
    mean: Annotated[str | None, typer.Option(help="Mean of each channel, in 0...1: 0.485,0.456,0.406.")] = None,
    std: Annotated[
        str | None, typer.Option(help="Standard deviation of each channel, in 0...1: 0.229,0.224,0.225.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class names in the order of the outputs: makes a model. Comma-separated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert weights of another library to safetensors for encoder_weights=, or with --classes to a model.

    Code in the file is not executed.
    """
    from pixelwise.workflow.import_weights import import_weights as verb

    result = verb(
        file,
        out=out,
        licence=licence,
        mean=parse_numbers("--mean", mean),
        std=parse_numbers("--std", std),
        classes=parse_names(classes),
        overrides=overrides or (),
    )
    show(result.to_json(), as_json, result.to_text())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random seed of the images and of the training.")] = 0,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 800,
    time_limit: Annotated[str, typer.Option(help="Latest end of the training.")] = "300s",
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the web browser.")] = False,
) -> None:
    """Draw synthetic touching cells, train, evaluate, predict and write a report, in a minute or two."""
    from pixelwise.workflow.demo import demo as verb

    run = verb(out, seed=seed, steps=steps, time_limit=time_limit, started=STARTED)
    if open_report:
        typer.echo(open_page(run.report_path), err=True)
    _report_outcome(run)


def _report_outcome(run: "Run") -> None:
    """Report the outcome of a training that is not useful; exit with 5 if nothing was learned."""
    outcome = run.outcome
    if outcome is None or not outcome.sentence:
        return
    typer.echo(outcome.sentence, err=True)
    if outcome.kind == "nothing_learned":
        raise typer.Exit(NOTHING_LEARNED)


for command in (export, verify, serve):
    app.command()(command)
