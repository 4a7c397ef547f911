"""The commands that look: at a run as a page, at data, runs and networks; one short function each."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pixelwise.cli.options import (
    AllowDuplicates,
    AllowMissing,
    Classes,
    Conflicts,
    Foreground,
    GroupBy,
    IgnoreIndex,
    Images,
    Json,
    Masks,
    Pages,
    SkipBad,
    Task,
    ValShare,
    data_options,
    open_page,
    show,
)
from pixelwise.errors import BadOption, PixelwiseError


def add_looking_commands(app: typer.Typer) -> None:
    """Give an application the commands `report`, `inspect` and `cache`."""
    app.command()(report)
    app.command()(inspect)
    app.command()(cache)


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page about a run; no network is needed to view it."""
    from pixelwise.workflow.report import report as verb

    path = verb(run)
    show({"report": str(path)}, as_json, f"Report: {path}")
    if open_it:
        typer.echo(open_page(path), err=True)


def inspect(
    target: Annotated[str | None, typer.Argument(help="Data folder, run folder, or network name.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="For a network: depth=5.")] = None,
    size: Annotated[int | None, typer.Option(help="For a network: side of the input.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the contact sheet or the drawing goes.")] = None,
    image: Annotated[Path | None, typer.Option(help="For a run: what its network sees in this image.")] = None,
    pixel: Annotated[str | None, typer.Option(help="With --image: evidence for this ROW,COLUMN.")] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="With --image: evidence for this class.")] = None,
    stage: Annotated[str | None, typer.Option(help="With --image: evidence at this stage.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List all networks.")] = False,
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
    """Show what was understood of data, what a run is made of, or a network: its layers, sizes and drawing."""
    from pixelwise.workflow.inspect import inspect as verb

    if listing == (target is not None):
        got = "both" if listing else "neither"
        raise BadOption("a data folder, a run folder or a network, or --list", got, "Write for example: unet2015.")
    options, question = data_options(locals()), _question(pixel, class_name, stage)
    found = verb(target, size=size, options=options, overrides=overrides or (), image=image, question=question, out=out)
    show(found.to_json(), as_json, found.to_text())
    if not getattr(found, "usable", True):
        raise typer.Exit(PixelwiseError.exit_code)


def _question(pixel: str | None, class_name: str | None, stage: str | None) -> Any:
    """Return the Question of `inspect --image`, with the pixel as two numbers."""
    from pixelwise.workflow.inspection.image import AttributionRequest

    place = [word.strip() for word in pixel.split(",")] if pixel is not None else []
    if pixel is not None and not (len(place) == 2 and all(word.isdecimal() for word in place)):
        raise BadOption("--pixel ROW,COLUMN", f"`{pixel}`", "Give two numbers, counted from 0 at the upper left.")
    where = (int(place[0]), int(place[1])) if place else None
    return AttributionRequest(class_name=class_name, pixel=where, stage=stage)


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove it: everything in it can be made again.")] = False,
    as_json: Json = False,
) -> None:
    """Show what this machine keeps of measurements, converted models and downloaded weights."""
    from pixelwise.workflow.cache import cache as verb

    found = verb(clear=clear)
    show(found.to_json(), as_json, found.to_text())
