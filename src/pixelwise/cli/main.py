"""The command line: one short function per command.

Results go to standard output, everything that is told on the way to standard error. Nothing heavy is imported before
a command runs. Exit codes: 0 done, 2 an input or option cannot be used, 3 done but some files failed, 4 the training
diverged, 5 the training ended but has learned nothing better than a constant prediction, 75 interrupted with its state
saved (run it again with --resume), 130 interrupted with nothing to save.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.export import add_export_commands
from pixelwise.cli.forecast import add_forecast_command
from pixelwise.cli.inspect import add_looking_commands
from pixelwise.cli.options import (
    SOME_FAILED,
    AllowDuplicates,
    AllowMissing,
    Budget,
    Classes,
    Conflicts,
    Device,
    Foreground,
    GroupBy,
    IgnoreIndex,
    Images,
    Json,
    Masks,
    Overrides,
    Pages,
    Runtime,
    Seed,
    SkipBad,
    Task,
    ValShare,
    large_compression,
    large_format,
    names,
    numbers,
    open_page,
    show,
)
from pixelwise.cli.options import data_options as _options
from pixelwise.cli.overview import PURPOSE, overview, version
from pixelwise.errors import Interrupted, PixelwiseError
from pixelwise.parallel import let_idle_threads_sleep

if TYPE_CHECKING:
    from pixelwise.workflow.run import Run

STARTED = time.monotonic()  # a budget counts from here: before a command imports what it needs
NOTHING_LEARNED = 5  # exit code: the training has come to its end, and its model is of no use
STOPPED = 130  # the shell's number for Ctrl-C: nothing was there to save

app = typer.Typer(
    name="pixelwise",
    help=PURPOSE,
    no_args_is_help=True,
    add_completion=False,
    add_help_option=False,  # Typer's own makes every `COMMAND --help` load pydantic, at twice the time
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; errors of pixelwise are one line and an exit code, never a traceback."""
    let_idle_threads_sleep()
    try:
        app()
    except PixelwiseError as error:
        typer.echo(f"{_headword(error)}: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(STOPPED)


def _headword(error: PixelwiseError) -> str:
    return "Stopped" if isinstance(error, Interrupted) else "Error"


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(version())
        raise typer.Exit
    return wanted


def _print_overview(wanted: bool) -> bool:
    if wanted:
        typer.echo(overview())
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    help: Annotated[
        bool, typer.Option("--help", callback=_print_overview, is_eager=True, help="Show this message and exit.")
    ] = False,
) -> None:
    """From a folder of images, with masks or in class folders, to a model that can be trusted."""


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks, or with a folder per class.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name of the data>.")] = None,
    budget: Budget = None,
    steps: Annotated[int | None, typer.Option(help="Number of training steps, instead of a budget.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, instead of a budget.")] = None,
    time_limit: Annotated[str | None, typer.Option(help="With --steps or --epochs: latest end, such as 10m.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate with so many folds; makes an ensemble.")] = None,
    distil: Annotated[bool, typer.Option("--distil", help="With --folds: teach one network what all say.")] = False,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run where its last checkpoint stands.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="A plan to follow (the config.yaml of a run).")] = None,
    device: Device = "auto",
    as_json: Json = False,
    images: Images = None,
    masks: Masks = None,
    task: Task = "auto",
    classes: Classes = None,
    ignore_index: IgnoreIndex = None,
    foreground: Foreground = None,
    val_share: ValShare = 0.2,
    group_by: GroupBy = None,
    pages: Pages = None,
    allow_missing: AllowMissing = False,
    allow_duplicates: AllowDuplicates = False,
    skip_bad: SkipBad = False,
    conflicts: Conflicts = "keep",
) -> None:
    """Train a model on a folder of images and masks, or of images in class folders."""
    from pixelwise.workflow.train import train as verb

    options = _options(locals())
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
        data_options=options,
        overrides=overrides or (),
        started=STARTED,
    )
    outcome = run.outcome
    found = {"run": str(run.folder), "model": str(run.model_path), "outcome": outcome.to_json() if outcome else None}
    show(found, as_json, f"Run: {run.folder}")
    _end(run)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Argument(help="Folder of images and masks, or with a folder per class.")],
    part: Annotated[str | None, typer.Option(help="train, val, test or out_of_fold; by default test.")] = None,
    device: Device = "auto",
    as_json: Json = False,
    images: Images = None,
    masks: Masks = None,
    task: Task = "auto",
    classes: Classes = None,
    ignore_index: IgnoreIndex = None,
    foreground: Foreground = None,
    val_share: ValShare = 0.2,
    group_by: GroupBy = None,
    pages: Pages = None,
    allow_missing: AllowMissing = False,
    allow_duplicates: AllowDuplicates = False,
    skip_bad: SkipBad = False,
    conflicts: Conflicts = "keep",
) -> None:
    """Score a run on labelled images, with intervals."""
    from pixelwise.workflow.evaluate import evaluate as verb
    from pixelwise.workflow.summary import describe_scores

    scores = verb(run, data, part=part, device=device, options=_options(locals()))
    show(scores, as_json, describe_scores(scores))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder, model file or exported file.")],
    inputs: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write probabilities.")] = False,
    overlays: Annotated[bool, typer.Option("--overlays", help="Also write pictures with outlines.")] = False,
    confidence: Annotated[bool, typer.Option("--confidence", help="Also write how sure each mask is.")] = False,
    symmetries: Annotated[bool, typer.Option("--symmetries", help="Average over the flips.")] = False,
    tta: Annotated[int | None, typer.Option(help="Average over 1, 4, 7 or 8 turned inputs.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    tile: Annotated[int | None, typer.Option(help="Pixels a side that a tile keeps.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest difference of a logit that seams may make.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="Stream into: tiff or zarr.")] = None,
    compression: Annotated[str | None, typer.Option(help="Of what streams: deflate or zstd.")] = None,
    sampled_intensities: Annotated[
        bool, typer.Option("--sampled-intensities", help="Large images: estimate the intensity scale from samples.")
    ] = False,
    pages: Pages = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Predict masks, or the classes of whole images, for images of any size."""
    from pixelwise.workflow.predict import predict as verb

    result = verb(
        run,
        inputs,
        out,
        probabilities=probabilities,
        overlays=overlays,
        confidence=confidence,
        symmetries=symmetries,
        tta=tta,
        device=device,
        runtime=runtime,
        overwrite=overwrite,
        tile=tile,
        pages=pages,
        tolerance=tolerance,
        format=large_format(form),
        compression=large_compression(compression),
        sampled_intensities=sampled_intensities,
    )
    show(result.to_json(), as_json, result.to_text(out))
    if result.failed:
        raise typer.Exit(SOME_FAILED)


add_looking_commands(app)
add_forecast_command(app)


@app.command()
def import_weights(
    file: Annotated[Path, typer.Argument(help="A .pth file of another library (or a .safetensors file).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="network=resnet20 network.shortcut_padding=both (or end).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The .safetensors file; with --classes the run folder.")] = None,
    licence: Annotated[str, typer.Option(help="Of the weights, for their header.")] = "",
    mean: Annotated[str | None, typer.Option(help="Per channel in 0...1: 0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="Per channel in 0...1: 0.229,0.224,0.225.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names in the order of the outputs, with commas: makes a complete model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn weights of another library into safetensors for encoder_weights=, or with --classes into a model.

    Nothing in the file is run.
    """
    from pixelwise.workflow.import_weights import import_weights as verb

    found = verb(
        file,
        out=out,
        licence=licence,
        mean=numbers("--mean", mean),
        std=numbers("--std", std),
        classes=names(classes),
        overrides=overrides or (),
    )
    show(found.to_json(), as_json, found.to_text())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demo.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the drawn images and of the training.")] = 0,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 800,
    time_limit: Annotated[str, typer.Option(help="Latest end of the training.")] = "300s",
    open_it: Annotated[bool, typer.Option("--open", help="Open the report in the web browser.")] = False,
) -> None:
    """Draw touching cells, train, evaluate, predict and write the report, in a minute or two."""
    from pixelwise.workflow.demo import demo as verb

    run = verb(out, seed=seed, steps=steps, time_limit=time_limit, started=STARTED)
    if open_it:
        typer.echo(open_page(run.report_path), err=True)
    _end(run)


def _end(run: "Run") -> None:
    """Say what the training was worth where it was not useful; one that has learned nothing has an exit code."""
    outcome = run.outcome
    if outcome is None or not outcome.sentence:
        return
    typer.echo(outcome.sentence, err=True)
    if outcome.kind == "nothing_learned":
        raise typer.Exit(NOTHING_LEARNED)


add_export_commands(app)
