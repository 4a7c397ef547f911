"""The command `convert`."""

from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.options import Json, show
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.datasets.options import DataOptions

FORMATS = (
    "folders, nnunet, cellpose, stardist, file-per-object, folder-per-class, qupath, imagej, coco, yolo, labelme, "
    "cvat, label-studio, voc, cityscapes, npy, hdf5, csv, nifti, nrrd, mha, tiff or ome-zarr"
)


@options_from_record(DataOptions)
def convert(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks.")],
    to: Annotated[str, typer.Option(help=f"Format: {FORMATS}.")],
    out: Annotated[Path, typer.Option(help="Output folder, new or empty.")],
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Write a data set as the folder of another program, and state what that format does not hold."""
    from pixelwise.workflow.convert import convert as verb

    result = verb(data, to=to, out=out, **(vars(options) if options else {}))
    show(result.to_json(), as_json, result.to_text())
