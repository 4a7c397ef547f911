"""The command line: one short function per command.

Results go to standard output, everything that is told on the way to standard error. Nothing heavy is imported before
a command runs. Exit codes: 0 done, 2 an input or option cannot be used, 3 done but some files failed, 4 the training
diverged, 75 interrupted with its state saved (run it again with --resume), 130 interrupted with nothing to save.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pixelwise.errors import Interrupted, PixelwiseError
from pixelwise.parallel import let_idle_threads_sleep

SOME_FAILED = 3
STOPPED = 130  # the shell's number for Ctrl-C: nothing was there to save

app = typer.Typer(
    name="pixelwise",
    help="From a folder of images and masks to a segmentation model that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Images = Annotated[str | None, typer.Option(help="Folder name (or file suffix) of the images.")]
Masks = Annotated[str | None, typer.Option(help="Folder name (or file suffix) of the masks.")]
Task = Annotated[str, typer.Option(help="auto, binary, multiclass or instance.")]
Classes = Annotated[str | None, typer.Option(help="Class names in the order of their values, with commas.")]
IgnoreIndex = Annotated[int | None, typer.Option(help="Mask value left out of loss and scores; -1: none.")]
Foreground = Annotated[int | None, typer.Option(help="Binary masks: the value of the interesting class.")]
ValShare = Annotated[float, typer.Option(help="Share that validates when no validation part is given.")]
GroupBy = Annotated[str | None, typer.Option(help="Regular expression with one group: equal finds stay together.")]
Pages = Annotated[int | None, typer.Option(help="Take TIFF stacks of this many pages as channels.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Leave images without mask aside.")]
AllowDuplicates = Annotated[bool, typer.Option("--allow-duplicates", help="Accept equal images in two parts.")]


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


def _version(wanted: bool) -> bool:
    if wanted:
        from pixelwise import __version__

        typer.echo(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of images and masks to a segmentation model that can be trusted."""


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.setting=value, such as network.depth=5.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name of the data>.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for everything: 90s, 10m, 2h.")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of training steps, instead of a budget.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, instead of a budget.")] = None,
    seed: Annotated[int, typer.Option(help="Every random draw is a function of it.")] = 0,
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
) -> None:
    """Train a model on a folder of images and masks."""
    from pixelwise.workflow.train import train as verb

    options = _options(locals())
    run = verb(
        data,
        out=out,
        budget=budget,
        steps=steps,
        epochs=epochs,
        seed=seed,
        resume=resume,
        config=config,
        device=device,
        data_options=options,
        overrides=overrides or (),
    )
    _show({"run": str(run.folder), "model": str(run.model_path)}, as_json, f"Run: {run.folder}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Argument(help="Folder of images and masks.")],
    part: Annotated[str | None, typer.Option(help="train, val or test; by default test, else val.")] = None,
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
) -> None:
    """Score a run on labelled images, with intervals."""
    from pixelwise.workflow.evaluate import evaluate as verb
    from pixelwise.workflow.summary import describe_scores

    scores = verb(run, data, part=part, device=device, options=_options(locals()))
    _show(scores, as_json, describe_scores(scores))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder or model file.")],
    inputs: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write probabilities.")] = False,
    overlays: Annotated[bool, typer.Option("--overlays", help="Also write pictures with outlines.")] = False,
    symmetries: Annotated[bool, typer.Option("--symmetries", help="Average over four flips.")] = False,
    turns: Annotated[int | None, typer.Option(help="Average over 1, 4, 7 or 8 turned inputs.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    tile: Annotated[int | None, typer.Option(help="Pixels a side that a tile keeps.")] = None,
    pages: Pages = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Predict masks for images of any size."""
    from pixelwise.workflow.predict import predict as verb

    result = verb(
        run,
        inputs,
        out,
        probabilities=probabilities,
        overlays=overlays,
        symmetries=symmetries,
        turns=turns,
        device=device,
        overwrite=overwrite,
        tile=tile,
        pages=pages,
    )
    failed = [{"file": str(path), "text": text} for path, text in result.failed]
    summary = f"{len(result.outputs)} files written to {out}" + (f", {len(failed)} images failed." if failed else ".")
    _show({"outputs": [str(path) for path in result.outputs], "failed": failed}, as_json, summary)
    if failed:
        raise typer.Exit(SOME_FAILED)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False) -> None:
    """Write one HTML page about a run; no network is needed to view it."""
    from pixelwise.workflow.report import report as verb

    path = verb(run)
    _show({"report": str(path)}, as_json, f"Report: {path}")


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(help="Data folder, run folder, or network name.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="For a network: network.depth=5.")] = None,
    size: Annotated[int | None, typer.Option(help="For a network: side of the input.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the contact sheet of a data folder goes.")] = None,
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
) -> None:
    """Show what was understood of a data folder, what a run is made of, or the layers of a network."""
    from pixelwise.workflow.inspect import inspect as verb

    found = verb(target, size=size, options=_options(locals()), overrides=overrides or (), out=out)
    _show(found.to_json(), as_json, found.to_text())
    if not getattr(found, "usable", True):
        raise typer.Exit(PixelwiseError.exit_code)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the demo.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the drawn images and of the training.")] = 0,
    seconds: Annotated[float, typer.Option(help="Time for the training.")] = 90,
) -> None:
    """Draw a set of touching cells, train, evaluate, predict and write the report, in under three minutes."""
    from pixelwise.workflow.demo import demo as verb

    verb(out, seed=seed, seconds=seconds)


def _options(given: dict[str, Any]) -> Any:
    """Return DataOptions from the flags of a command; None when none was given."""
    from dataclasses import fields

    from pydantic import TypeAdapter, ValidationError

    from pixelwise.errors import BadOption
    from pixelwise.images.records import DataOptions

    values = {f.name: given[f.name] for f in fields(DataOptions) if f.name in given}
    if isinstance(values.get("classes"), str):
        values["classes"] = tuple(name.strip() for name in values["classes"].split(",") if name.strip())
    values = {name: value for name, value in values.items() if value is not None}
    try:
        options = TypeAdapter(DataOptions).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        expected = first["msg"].removeprefix("Input should be ")
        raise BadOption(f"--{name} to be {expected}", f"`{first['input']}`", f"Change --{name}.") from error
    return None if options == DataOptions() else options


def _show(value: dict[str, Any], as_json: bool, text: str) -> None:
    """Print the result: one JSON object, or text for people."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False) if as_json else text)
