"""The formats that a data set can be written in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.formats import coco, cvat, label_studio, labelme, voc, yolo
from pixelwise.datasets.writers.annotated import write_annotations
from pixelwise.datasets.writers.array_files import write_hdf5, write_npy
from pixelwise.datasets.writers.binary_masks import write_file_per_object, write_folder_per_class
from pixelwise.datasets.writers.cityscapes import write_cityscapes
from pixelwise.datasets.writers.imagej_roi import write_imagej
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.datasets.writers.mask_folders import write_cellpose, write_folders, write_stardist
from pixelwise.datasets.writers.nnunet import write_nnunet
from pixelwise.datasets.writers.object_table import write_table
from pixelwise.datasets.writers.ome_zarr import write_ome_zarr
from pixelwise.datasets.writers.qupath import write_qupath
from pixelwise.datasets.writers.volumes import write_volumes
from pixelwise.errors import BadDataset

WriteSet = Callable[[LabelledSet, Path], tuple[str, ...]]


def refuse_volumes(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Raise `BadDataset`: the format is for images."""
    names = ", ".join(writer.name for writer in WRITERS if writer.write_volumes is not refuse_volumes)
    raise BadDataset("images of two dimensions for this format", "volumes", f"Use --to {names}.", data.dataset.root)


def _refuse_images(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Raise `BadDataset`: the format is for volumes."""
    raise BadDataset("volumes for this format", "images of two dimensions", "Use --to folders.", data.dataset.root)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A format that a data set can be written in.

    Attributes
    ----------
    name : str
        The value of ``--to``.
    write : callable
        Writes a data set into an empty folder, and returns a sentence for each thing that the format does not hold.
    write_volumes : callable
        The same for a data set of volumes.
    """

    name: str
    title: str
    write: WriteSet
    write_volumes: WriteSet = refuse_volumes


_VOC_OBJECTS = "SegmentationClass is read first: use --task instance for the objects in SegmentationObject."
WRITERS = (
    Writer(name="folders", title="folders of images and masks", write=write_folders, write_volumes=write_volumes()),
    Writer(name="nnunet", title="nnU-Net v2 raw data", write=write_nnunet, write_volumes=write_nnunet),
    Writer(name="cellpose", title="Cellpose training data", write=write_cellpose),
    Writer(name="stardist", title="StarDist training data", write=write_stardist),
    Writer(name="file-per-object", title="a mask per object (Data Science Bowl 2018)", write=write_file_per_object),
    Writer(name="folder-per-class", title="a folder of binary masks per class", write=write_folder_per_class),
    Writer(name="qupath", title="QuPath (GeoJSON)", write=write_qupath),
    Writer(name="imagej", title="ImageJ (ROI sets)", write=write_imagej),
    Writer(name="coco", title="COCO", write=write_annotations(coco.write)),
    Writer(name="yolo", title="YOLO polygons", write=write_annotations(yolo.write)),
    Writer(name="labelme", title="Labelme", write=write_annotations(labelme.write)),
    Writer(name="cvat", title="CVAT for images 1.1", write=write_annotations(cvat.write)),
    Writer(name="label-studio", title="Label Studio", write=write_annotations(label_studio.write)),
    Writer(name="voc", title="Pascal VOC", write=write_annotations(voc.write, _VOC_OBJECTS)),
    Writer(name="cityscapes", title="Cityscapes", write=write_cityscapes),
    Writer(name="npy", title="NumPy arrays in folders", write=write_npy),
    Writer(name="hdf5", title="an HDF5 file per image", write=write_hdf5),
    Writer(name="csv", title="table of objects", write=write_table),
    Writer(name="nifti", title="volumes as NIfTI", write=_refuse_images, write_volumes=write_volumes(".nii.gz")),
    Writer(name="nrrd", title="volumes as NRRD", write=_refuse_images, write_volumes=write_volumes(".nrrd")),
    Writer(name="mha", title="volumes as MetaImage", write=_refuse_images, write_volumes=write_volumes(".mha")),
    Writer(name="tiff", title="volumes as TIFF stacks", write=_refuse_images, write_volumes=write_volumes(".tif")),
    Writer(name="ome-zarr", title="OME-Zarr", write=write_ome_zarr, write_volumes=write_volumes(".ome.zarr")),
)
