"""Cellpose and Omnipose: ``NAME_masks`` or ``NAME_cp_masks`` beside each image, with other outputs between them.

Source: Cellpose documentation, "Inputs" and "Outputs": labels are 16- or 32-bit numbers, 0 is background; ``_seg.npy``
is a pickled dictionary.
"""

from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet
from pixelwise.datasets.formats.image_index import ImageIndex
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.layouts.suffixed_masks import find_suffixed_masks
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, printable
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import pluralise

_MASKS = ("_masks", "_cp_masks")  # _masks is made by people, _cp_masks by the program
_OUTPUTS = ("_flows", "_cellprob", "_cp_output", "_outlines", "_dP", "_probs", "_cp_flows", "_cp_outlines")
_SEG = "_seg.npy"


def recognise(root: Path) -> bool:
    """Return whether a folder contains label files of Cellpose beside their images, or ``_seg.npy`` files alone."""
    stems = [stem_of(path).casefold() for path in find_files(root, "")]
    pickled = {path.parent for path in find_files(root, _SEG)}
    named = any(stem.endswith("_cp_masks") for stem in stems)
    outputs = any(stem.endswith(ending.casefold()) for stem in stems for ending in _OUTPUTS)
    if not (named or pickled or (outputs and any(stem.endswith("_masks") for stem in stems))):
        return False
    index = ImageIndex(root)
    beside = any(image.annotation is not None for image in find_suffixed_masks(index, _MASKS, _OUTPUTS).images)
    return beside or bool(index.files and pickled == {path.parent for path in index.files})


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the label images beside the images; ``_masks`` is preferred over ``_cp_masks``.

    Raises
    ------
    BadDataset
        There are ``_seg.npy`` files alone: they may execute code when they are opened, and are never read.
    """
    found = find_suffixed_masks(ImageIndex(root), _MASKS, _OUTPUTS)
    if not any(image.annotation is not None for image in found.images):
        files = list(find_files(root, _SEG))
        got = f"{pluralise(len(files), 'file')} such as {printable(files[0].name)}" if files else "none"
        hint = (
            "Files ending in _seg.npy can execute code, and are not opened. In Cellpose save label images: File > Save "
            "masks as PNG/tif, or --save_tif on its command line."
        )
        raise BadDataset("label images ending in _masks or _cp_masks", got, hint, root)
    messages = ["Cellpose label images end in _masks or _cp_masks: task instance (--task)."]
    if found.unused:
        count = pluralise(len(found.unused), "label image")
        messages.append(f"{count} left out beside a file ending in _masks, such as {printable(found.unused[0].name)}.")
    instances = options.task in ("auto", "instance")
    return AnnotatedSet(format="Cellpose", images=found.images, instances=instances, messages=tuple(messages))
