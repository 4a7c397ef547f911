"""Write a raw data set of nnU-Net v2: ``imagesTr``, ``labelsTr``, ``dataset.json``.

Source: nnU-Net v2, documentation/dataset_format.md: a file per case and channel, ``{CASE}_{XXXX}.{END}``, with RGB as
one file; labels ``{CASE}.{END}`` with consecutive values from 0; the label ``ignore`` is the highest.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.writers.image_files import is_plain, link_or_copy, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import classes_of
from pixelwise.datasets.writers.volumes import NIFTI, save_volume, write_label_volume
from pixelwise.io.read import png_bytes, probe, write_image
from pixelwise.io.zarr import is_zarr
from pixelwise.labels.targets import IGNORE

_FOLDERS = {"train": ("imagesTr", "labelsTr"), "val": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}

_IGNORE = "ignore"  # the name of a label that nnU-Net ignores


def write_nnunet(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write a raw data set; validation images are training images of the fold in ``splits_final.json``."""
    volumes = data.dataset.spatial_dims == 3
    ending = NIFTI if volumes else _file_ending(data)
    ignore = len(data.classes)

    def write(image: LabelledImage) -> tuple[str | None, str, bool, tuple[str, ...]]:
        images, labels_folder = _FOLDERS[image.split or "train"]
        labels, losses = classes_of(data, image)
        if volumes:
            losses += _write_volumes(image, out / images)
        else:
            _write_channels(image, out / images, ending)
        ignored = labels == IGNORE
        values = np.where(ignored, ignore, labels).astype(np.uint8)
        path = out / labels_folder / f"{image.flat_name}{ending}"
        if volumes:
            write_label_volume(image, values, path)
        else:
            _write_plane(path, values[None])
        return image.split, image.flat_name, bool(ignored.any()), losses

    written = list(data.map(write))
    names = [f"{name}_class" if name == _IGNORE else name for name in data.classes]
    names += [_IGNORE] if any(ignored for _, _, ignored, _ in written) else []
    colour = data.dataset.channels == 3 and not volumes
    channels = ["R", "G", "B"] if colour else [f"channel_{index}" for index in range(data.dataset.channels)]
    description = {
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        **_labels(data, names),
        "numTraining": sum(split != "test" for split, *_ in written),
        "file_ending": ending,
    } | ({} if volumes else {"overwrite_image_reader_writer": "NaturalImage2DIO"})
    atomic_write_json(out / "dataset.json", description)
    messages = list(data.describe_losses(losses for *_, losses in written))
    messages += _write_split(out, [(split, name) for split, name, *_ in written])
    if _IGNORE in data.classes:
        messages.append(f"The class {_IGNORE} is called {_IGNORE}_class: nnU-Net would ignore it.")
    if data.first_class == 0:
        messages.append(f"nnU-Net takes label 0, {data.classes[0]}, as background, and does not score it.")
    return tuple(messages)


def _labels(data: LabelledSet, names: Sequence[str]) -> dict[str, Any]:
    """Return the labels by name, those of regions with the order in which they are written."""
    regions = data.dataset.labelling.regions
    if not regions:
        return {"labels": {name: index for index, name in enumerate(names)}}
    labels: dict[str, Any] = {"background": 0} | {region.name: list(region.classes) for region in regions}
    labels |= {name: len(data.classes) for name in names[len(data.classes) :]}  # ignored pixels
    return {"labels": labels, "regions_class_order": [region.written for region in regions]}


def _write_split(out: Path, cases: list[tuple[str | None, str]]) -> list[str]:
    """Write ``splits_final.json`` if there is a validation split."""
    validation = sorted(name for split, name in cases if split == "val")
    if not validation:
        return []
    training = sorted(name for split, name in cases if split == "train")
    atomic_write_json(out / "splits_final.json", [{"train": training, "val": validation}])
    return [
        "Validation images are in imagesTr: nnU-Net uses the given split if splits_final.json is copied into "
        "nnUNet_preprocessed/DATASET."
    ]


def _file_ending(data: LabelledSet) -> str:
    """Return ``.png``, or ``.tif`` if an image has other values than 8 or 16 bits without sign."""
    sources = [case.image for case in data.dataset.cases]
    fits = all(not is_zarr(path) and probe(path).dtype in ("uint8", "uint16") for path in sources)
    return ".png" if fits else ".tif"


def _write_channels(image: LabelledImage, folder: Path, ending: str) -> None:
    """Write one file, or one per channel if there are neither 1 nor 3."""
    if len(image.pixels) in (1, 3) and ending == ".png":
        path = folder / f"{image.flat_name}_0000.png"
        plain_png = image.source.suffix.lower() == ".png" and is_plain(image)
        if plain_png and probe(image.source).channels == len(image.pixels):
            link_or_copy(image.source, path, link=False)
        else:
            _write_plane(path, image.pixels)
        return
    for index, channel in enumerate(image.pixels):
        _write_plane(folder / f"{image.flat_name}_{index:04}{ending}", channel[None])


def _write_volumes(image: LabelledImage, folder: Path) -> tuple[str, ...]:
    """Write a file of NIfTI per channel; return what is lost."""
    files = image.channel_files or (image.source,) * len(image.pixels)
    losses: dict[str, None] = {}
    for index, (source, channel) in enumerate(zip(files, image.pixels, strict=True)):
        single = replace(image, source=source, pixels=channel[None], channel_files=())
        losses |= dict.fromkeys(save_volume(single, folder / f"{image.flat_name}_{index:04}", NIFTI)[1])
    return tuple(losses)


def _write_plane(path: Path, pixels: Num[np.ndarray, "channels height width"]) -> None:
    if path.suffix == ".png":
        write_file(path, png_bytes(pixels))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, pixels)
