"""The commands of exported files: one short function each."""

from pathlib import Path
from typing import Annotated

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
    show,
)

Format = Annotated[str, typer.Option("--format", help="onnx, openvino, openvino-int8, torch-export or bioimageio.")]


def add_export_commands(app: typer.Typer) -> None:
    """Give an application the commands `export` and `verify`."""
    app.command()(export)
    app.command()(verify)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[
        Path | None, typer.Argument(help="Labelled images for the proof; by default those of the training.")
    ] = None,
    kind: Format = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file; by default in the run folder, under export/.")] = None,
    name: Annotated[str, typer.Option(help="Of a bioimage.io package.")] = "pixelwise model",
    author: Annotated[list[str] | None, typer.Option(help="Of a bioimage.io package; may be repeated.")] = None,
    licence: Annotated[str, typer.Option(help="Of a bioimage.io package, as SPDX identifier.")] = "CC-BY-4.0",
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
    """Write a run as a file that other programs run, with the proof that it says the same."""
    options = data_options(locals())
    from pixelwise.workflow.export import About
    from pixelwise.workflow.export import export as verb

    about = About(name=name, authors=tuple(author or ()), licence=licence)
    found = verb(run, data, kind=kind, out=out, about=about, options=options)
    show(found.to_json(), as_json, found.to_text())


def verify(
    file: Annotated[Path, typer.Argument(help="An exported file, with its certificate beside it.")],
    as_json: Json = False,
) -> None:
    """Repeat the proof of an exported file on this machine; neither the run nor torch is needed."""
    from pixelwise.workflow.verify import verify as verb

    found = verb(file)
    show(found.to_json(), as_json, found.to_text())
