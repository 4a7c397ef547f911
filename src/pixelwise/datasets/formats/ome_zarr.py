"""OME-Zarr images that contain their labels: ``NAME.zarr`` with label images in its group ``labels``.

Splits are words in the names of folders. Source: NGFF 0.5 and 0.4, "labels".
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.folder_layout import walk_folders
from pixelwise.datasets.naming.folder_names import read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.zarr import is_zarr, is_zarr_image, label_names
from pixelwise.text import pluralise

_SUFFIXES = (".ome.zarr", ".zarr")


def recognise(root: Path) -> bool:
    """Return whether OME-Zarr images below a folder contain labels, and none is in a folder of masks."""
    stores = list(_stores(root))
    beside = any(read_folder_name(part)[1] == "mask" for store in stores for part in store.relative_to(root).parts[:-1])
    return not beside and any(_names(store) for store in stores)


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the label images of each image: the one that `options.masks` names, or else the first of the commonest name.

    Raises
    ------
    BadDataset
        No image has a label image of the name that the user gives.
    """
    stores = {store: _names(store) for store in _stores(root)}
    counts = Counter(name for names in stores.values() for name in names)
    chosen = options.masks or max(counts, key=counts.__getitem__, default="")
    if chosen not in counts:
        shown = ", ".join(map(printable, counts)) or "none"
        raise BadDataset(f"label images called {chosen} (--masks)", shown, "Name one of them.", root)
    images = [
        AnnotatedImage(
            name=_without_ending(store.relative_to(root)),
            image=store,
            annotation=MaskFile(path=store / "labels" / chosen) if chosen in names else None,
            split=next((split for part in store.relative_to(root).parts[:-1] if (split := _split(part))), None),
        )
        for store, names in stores.items()
    ]
    text = f"{pluralise(len(images), 'OME-Zarr image')} with the label image {printable(chosen)}"
    others = [printable(name) for name in counts if name != chosen]
    hint = f" ({', '.join(others)}: --format ome-zarr --masks {others[0]})" if others else ""
    return AnnotatedSet(format="OME-Zarr", images=tuple(images), messages=(f"{text}{hint}.",))


def _stores(root: Path) -> Iterator[Path]:
    for here, inner, _ in walk_folders(root):
        stores = [name for name in inner if is_zarr(here / name)]
        inner[:] = [name for name in inner if name not in stores]
        yield from (here / name for name in stores if is_zarr_image(here / name))


def _names(store: Path) -> tuple[str, ...]:
    """Return the names of the label images of an image; none if their metadata are damaged."""
    try:
        return label_names(store)
    except BadImage:
        return ()


def _split(part: str) -> Split | None:
    return read_folder_name(part)[0]


def _without_ending(path: Path) -> str:
    name = path.as_posix()
    return next((name.removesuffix(end) for end in _SUFFIXES if name.casefold().endswith(end)), name)
