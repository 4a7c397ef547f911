"""Recognise the format of a data set: the first format in `FORMATS` that recognises the folder reads it.

A format is a module with two functions: ``recognise(root) -> bool`` looks at names and the start of few files, and
``read(root, options) -> AnnotatedSet`` reads all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet
from pixelwise.datasets.formats import (
    coco,
    cvat,
    darwin,
    imagej_roi,
    label_studio,
    labelme,
    map_geojson,
    ome_zarr,
    panoptic,
    qupath,
    segment_anything,
    slide_outlines,
    supervisely,
    via,
    voc,
    voc_xml,
    yolo,
)
from pixelwise.datasets.formats.arrays import array_files
from pixelwise.datasets.formats.run_lengths import rle_table
from pixelwise.datasets.layouts import (
    anomalies,
    bids,
    cell_tracking,
    cellpose,
    cityscapes,
    file_list,
    file_per_object,
    folder_per_class,
    frames,
    ilastik,
    nnunet,
    page_stacks,
    qupath_tiles,
    roboflow,
    vessels,
)
from pixelwise.datasets.options import AUTO_FORMAT, PLAIN_FOLDERS, DataOptions
from pixelwise.errors import BadDataset, BadOption, nearest


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of data sets.

    Attributes
    ----------
    key : str
        The value of `--format`.
    recognise : callable
        Whether a folder has the format.
    read : callable
        Reads a folder; raises `BadDataset` if a file is malformed, or names an image or mask that does not exist and
        that `options.allow_missing` does not leave out.
    by_folders : bool
        It is recognised by names of folders and files, which `--images`, `--masks` and the flags for prefixes and
        suffixes override.
    only_named : bool
        It is another reading of such files, which the user has to name.
    of_pages : bool
        It is one reading of the pages of stacks, which `--volumes`, `--stack` and `--pages` override.
    """

    key: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, DataOptions], AnnotatedSet]
    by_folders: bool = False
    only_named: bool = False
    of_pages: bool = False


# Formats with files of their own come first; those that are recognised by folders alone last.
FORMATS: tuple[Format, ...] = (
    Format(key="nnunet", recognise=nnunet.recognise, read=nnunet.read),
    Format(key="bids", recognise=bids.recognise, read=bids.read),
    Format(key="roboflow", recognise=roboflow.recognise, read=roboflow.read),
    Format(key="segment-anything", recognise=segment_anything.recognise, read=segment_anything.read),
    Format(key="panoptic", recognise=panoptic.recognise, read=panoptic.read),
    Format(key="coco", recognise=coco.recognise, read=coco.read),
    Format(key="label-studio", recognise=label_studio.recognise, read=label_studio.read),
    Format(key="cvat", recognise=cvat.recognise, read=cvat.read),
    Format(key="via", recognise=via.recognise, read=via.read),
    Format(key="labelme", recognise=labelme.recognise, read=labelme.read),
    Format(key="supervisely", recognise=supervisely.recognise, read=supervisely.read),
    Format(key="yolo", recognise=yolo.recognise, read=yolo.read),
    Format(key="darwin", recognise=darwin.recognise, read=darwin.read),
    Format(key="voc", recognise=voc.recognise, read=voc.read),
    Format(key="voc-xml", recognise=voc_xml.recognise, read=voc_xml.read),
    Format(key="slide-outlines", recognise=slide_outlines.recognise, read=slide_outlines.read),
    Format(key="qupath", recognise=qupath.recognise, read=qupath.read),
    Format(key="map-geojson", recognise=map_geojson.recognise, read=map_geojson.read),
    Format(key="imagej", recognise=imagej_roi.recognise, read=imagej_roi.read),
    Format(key="cell-tracking", recognise=cell_tracking.recognise, read=cell_tracking.read, by_folders=True),
    Format(key="cityscapes", recognise=cityscapes.recognise, read=cityscapes.read, by_folders=True),
    Format(key="defects", recognise=anomalies.recognise, read=anomalies.read, by_folders=True),
    Format(key="vessels", recognise=vessels.recognise, read=vessels.read),
    Format(key="arrays", recognise=array_files.recognise, read=array_files.read, by_folders=True),
    Format(key="ome-zarr", recognise=ome_zarr.recognise, read=ome_zarr.read, by_folders=True),
    Format(key="list", recognise=file_list.recognise, read=file_list.read, by_folders=True),
    Format(key="qupath-tiles", recognise=qupath_tiles.recognise, read=qupath_tiles.read, by_folders=True),
    Format(key="ilastik", recognise=ilastik.recognise, read=ilastik.read, by_folders=True),
    Format(key="cellpose", recognise=cellpose.recognise, read=cellpose.read, by_folders=True),
    Format(key="file-per-object", recognise=file_per_object.recognise, read=file_per_object.read, by_folders=True),
    Format(key="folder-per-class", recognise=folder_per_class.recognise, read=folder_per_class.read, by_folders=True),
    Format(key=rle_table.COLUMNS, recognise=rle_table.recognise, read=rle_table.read, by_folders=True),
    Format(key=rle_table.ROWS, recognise=rle_table.recognise, read=rle_table.read, only_named=True),
    Format(key="frames", recognise=frames.recognise, read=frames.read, by_folders=True),
    Format(key="page-stack", recognise=page_stacks.recognise, read=page_stacks.read, of_pages=True),
    Format(key="pages", recognise=page_stacks.are_stacks, read=page_stacks.read, only_named=True),
)


def detect_format(root: Path, options: DataOptions) -> AnnotatedSet | None:
    """Read a data set that has one of the known formats; None for plain folders of images and masks, or of classes.

    Parameters
    ----------
    options : DataOptions
        `format` names the format, or "folders" for none; `images`, `masks`, prefixes and suffixes name plain folders.

    Raises
    ------
    BadOption
        The format is unknown.
    BadDataset
        The folder does not have the format that the user names, or it is incomplete or malformed.
    """
    if options.format == PLAIN_FOLDERS or options.task == "classification" or not root.is_dir():
        return None
    if options.format != AUTO_FORMAT:
        known = {format.key: format for format in FORMATS}
        chosen = known.get(options.format)
        if chosen is None:
            names = [AUTO_FORMAT, PLAIN_FOLDERS, *known]
            hint = nearest(options.format, names)
            raise BadOption(f"a format: {', '.join(names)}", f"`{options.format}`", f"{hint} Change --format.")
        if not chosen.recognise(root):
            hint = "Give the folder that contains it, or leave out --format."
            raise BadDataset(f"a data set in the format {chosen.key}", "other files", hint, root)
        return chosen.read(root, options)
    if options.images and options.masks and array_files.has_arrays(root, options.images, options.masks):
        return array_files.read(root, options)
    affixes = (options.image_prefix, options.image_suffix, options.mask_prefix, options.mask_suffix)
    named = options.stack or any(given is not None for given in (options.images, options.masks, *affixes))
    pages_told = options.volumes or options.stack or options.pages is not None
    tried = (f for f in FORMATS if not (f.only_named or (named and f.by_folders) or (pages_told and f.of_pages)))
    found = next((f for f in tried if _recognises(f, root)), None)
    return None if found is None else found.read(root, options)


def _recognises(format: Format, root: Path) -> bool:
    """Return whether a folder has a format; not if one in it is unreadable, which is refused where all are walked."""
    try:
        return format.recognise(root)
    except PermissionError:
        return False
