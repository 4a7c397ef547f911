"""Convert a data set into the folder of another program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import new_folder
from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset
from pixelwise.datasets.writers.labelled_set import LabelledSet, groups_lost, regions_lost
from pixelwise.datasets.writers.nnunet import write_nnunet
from pixelwise.datasets.writers.registry import WRITERS, Writer
from pixelwise.errors import BadOption, OutputFailed, nearest
from pixelwise.progress import Console, Progress
from pixelwise.text import pluralise


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A converted data set.

    Attributes
    ----------
    dataset : Dataset
        What was understood.
    losses : tuple of str
        A sentence for each thing that the format does not hold, or that has to be known to use it.
    """

    folder: Path
    format: str
    dataset: Dataset
    losses: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {
            "folder": str(self.folder),
            "format": self.format,
            "images": len(self.dataset.cases),
            "task": self.dataset.task,
            "classes": list(self.dataset.classes),
            "understood": list(self.dataset.messages),
            "losses": list(self.losses),
        }

    def to_text(self) -> str:
        """Return what was written, and what was lost."""
        images, classes = pluralise(len(self.dataset.cases), "image"), ", ".join(self.dataset.classes)
        lines = [f"{images} ({self.dataset.task}: {classes}) written to {self.folder}."]
        return "\n".join([*lines, *self.losses])


def convert(
    folder: Path | str, *, to: str, out: Path | str, progress: Progress | None = None, **options: Any
) -> Conversion:
    """Write a data set as the folder of another program.

    Parameters
    ----------
    folder : path
        A data set as `train` reads it; it is never written to.
    to : str
        "folders", "nnunet", "cellpose", "stardist", "file-per-object", "folder-per-class", "qupath", "imagej", "coco",
        "yolo", "labelme", "cvat", "label-studio", "voc", "cityscapes", "npy", "hdf5" or "csv"; of volumes "folders",
        "nnunet", "nifti", "nrrd", "mha", "tiff" or "ome-zarr".
    out : path
        A new or empty folder. It gets its name when everything is written: a stopped conversion leaves nothing there.
    progress : Progress, optional
    **options
        Fields of `DataOptions`, such as ``task="binary"`` or ``ignore_index=255``; unset ones are detected.

    Returns
    -------
    Conversion
        With `losses`, a sentence for each thing that the format does not hold.

    Raises
    ------
    BadOption
        An unknown format or option.
    BadDataset
        The data set has problems that stop a training, classes of whole images instead of masks, or images of another
        dimension than the format.
    OutputFailed
        `out` is inside the data set, is not empty, or cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pixelwise.datasets.synthetic import write_demo
    >>> with TemporaryDirectory() as folder:
    ...     write_demo(Path(folder) / "cells")
    ...     result = convert(Path(folder) / "cells", to="cellpose", out=Path(folder) / "new", progress=Progress())
    ...     names = sorted(path.name for path in (Path(folder) / "new").rglob("*.tif"))[:2]
    >>> result.losses, names
    ((), ['cells_00_masks.tif', 'cells_00_masks.tif'])
    """
    writer = _find_writer(to)
    root, target = Path(folder), Path(out)
    progress = progress or Console()
    _check_target(root, target)
    dataset = detect_dataset(root, DataOptions(**options), progress=progress)
    progress.message(*dataset.messages)
    data = LabelledSet(dataset=dataset, progress=progress)
    with new_folder(target) as folder_to_fill:
        write = writer.write if dataset.spatial_dims == 2 else writer.write_volumes
        regions = () if writer.write is write_nnunet else regions_lost(dataset)
        losses = (*write(data, folder_to_fill), *groups_lost(dataset), *regions)
    return Conversion(folder=target, format=writer.name, dataset=dataset, losses=losses)


def _find_writer(name: str) -> Writer:
    for writer in WRITERS:
        if writer.name == name:
            return writer
    raise BadOption("a format for --to", f"`{name}`", nearest(name, [writer.name for writer in WRITERS]))


def _check_target(root: Path, target: Path) -> None:
    """Refuse an output folder inside the data set, around it, or with files in it."""
    if not target.name:
        raise OutputFailed("a new folder", str(target), "Choose another --out.", target)
    source, resolved = root.resolve(), target.resolve()
    if source == resolved or source in resolved.parents or resolved in source.parents:
        hint = "Choose another --out: nothing is ever written next to your images."
        raise OutputFailed("an output folder outside the data set", "one inside or around it", hint, target)
    if target.is_dir() and any(target.iterdir()):
        raise OutputFailed("a new or empty folder", "a folder with files", "Choose another --out.", target)
    if target.exists() and not target.is_dir():
        raise OutputFailed("a new or empty folder", "a file", "Choose another --out.", target)
