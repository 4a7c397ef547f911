"""The commands `export` and `verify`."""

from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.options import Json, show
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.datasets.options import DataOptions

Format = Annotated[str, typer.Option(help="onnx, openvino, openvino-int8, torch-export or bioimageio.")]


@options_from_record(DataOptions, omit=("format",))
def export(
    run: Annotated[Path, typer.Argument(help="Run folder, or a model file in one.")],
    data: Annotated[
        Path | None, typer.Argument(help="Labelled images to compare both models on; by default those of the training.")
    ] = None,
    format: Format = "onnx",
    out: Annotated[Path | None, typer.Option(help="Output file; by default in the run folder, under export/.")] = None,
    name: Annotated[str, typer.Option(help="Name in a bioimage.io package.")] = "pixelwise model",
    author: Annotated[list[str] | None, typer.Option(help="Author in a bioimage.io package; repeatable.")] = None,
    licence: Annotated[str, typer.Option(help="SPDX identifier in a bioimage.io package.")] = "CC-BY-4.0",
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Export a run for other programs, and check that the exported model matches."""
    from pixelwise.workflow.export import PackageInfo
    from pixelwise.workflow.export import export as verb

    about = PackageInfo(name=name, authors=tuple(author or ()), licence=licence)
    result = verb(run, data, format=format, out=out, about=about, options=options)
    show(result.to_json(), as_json, result.to_text())


def verify(
    file: Annotated[Path, typer.Argument(help="Exported file, with the report and data of its export beside it.")],
    as_json: Json = False,
) -> None:
    """Check on this machine that an exported model still matches; needs neither the run nor torch."""
    from pixelwise.workflow.verify import verify as verb

    result = verb(file)
    show(result.to_json(), as_json, result.to_text())
