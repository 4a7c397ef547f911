"""The commands `report`, `inspect` and `cache`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pixelwise.cli.options import Json, open_page, show
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadOption, PixelwiseError


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the web browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write an HTML report of a run: one file that can be viewed offline."""
    from pixelwise.workflow.report import report as verb

    path = verb(run)
    show({"report": str(path)}, as_json, f"Report: {path}")
    if open_report:
        typer.echo(open_page(path), err=True)


@options_from_record(DataOptions)
def inspect(
    target: Annotated[str | None, typer.Argument(help="Data folder, run folder or network name.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="For a network: depth=5.")] = None,
    size: Annotated[int | None, typer.Option(help="For a network: side length of the input.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output file of the contact sheet or drawing.")] = None,
    image: Annotated[Path | None, typer.Option(help="For a run: show feature maps and Grad-CAM of this image.")] = None,
    pixel: Annotated[str | None, typer.Option(help="With --image: Grad-CAM for this ROW,COLUMN.")] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="With --image: Grad-CAM for this class.")] = None,
    stage: Annotated[str | None, typer.Option(help="With --image: Grad-CAM at this stage.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List all networks.")] = False,
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Show what was detected in data, the settings of a run, or the layers, sizes and drawing of a network."""
    from pixelwise.workflow.inspect import inspect as verb

    if listing == (target is not None):
        got = "both" if listing else "neither"
        raise BadOption("a data folder, a run folder or a network, or --list", got, "Example: unet2015.")
    request = _attribution_request(pixel, class_name, stage)
    result = verb(target, size=size, options=options, overrides=overrides or (), image=image, grad_cam=request, out=out)
    show(result.to_json(), as_json, result.to_text())
    if not getattr(result, "usable", True):
        raise typer.Exit(PixelwiseError.exit_code)


def _attribution_request(pixel: str | None, class_name: str | None, stage: str | None) -> Any:
    """Return the AttributionRequest of `inspect --image`, with the pixel as two numbers."""
    from pixelwise.workflow.inspection.attribution import AttributionRequest

    words = [word.strip() for word in pixel.split(",")] if pixel is not None else []
    if pixel is not None and not (len(words) == 2 and all(word.isdecimal() for word in words)):
        raise BadOption("--pixel ROW,COLUMN", f"`{pixel}`", "Give two numbers, counted from 0 at the upper left.")
    position = (int(words[0]), int(words[1])) if words else None
    return AttributionRequest(class_name=class_name, pixel=position, stage=stage)


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete the cache; it is recreated when needed.")] = False,
    as_json: Json = False,
) -> None:
    """Show or clear cached measurements, converted models and downloaded weights."""
    from pixelwise.workflow.cache import cache as verb

    result = verb(clear=clear)
    show(result.to_json(), as_json, result.to_text())
