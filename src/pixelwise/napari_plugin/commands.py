"""What the menus of napari do: predict an image, and learn from a labels layer that somebody painted.

napari makes a form from each signature and shows what is returned as a new layer; the types in quotes are its own.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Integer, Num, UInt8

from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, BadImage
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.write import png_bytes, write_image
from pixelwise.labels.label_image import components
from pixelwise.server.marks.raster import IGNORE
from pixelwise.server.marks.records import HELD_OUT_EVERY, HELD_OUT_FIRST
from pixelwise.workflow.train import train

if TYPE_CHECKING:
    import napari.types  # pyright: ignore[reportMissingImports]

_RGB = (3, 4)  # channels of a colour image of napari, the last axis


def predict(
    image: "napari.types.ImageData",  # pyright: ignore[reportUnknownParameterType]
    model: Path = Path("model.safetensors"),
) -> "napari.types.LabelsData":  # pyright: ignore[reportUnknownParameterType]
    """Return the mask of an image: class indices, or numbers of objects.

    Parameters
    ----------
    image : array (rows, columns) or (rows, columns, 3 or 4)
    model : Path
        A run folder, a model file or an exported file.

    Raises
    ------
    BadImage
        The image is no single gray or colour image, or does not fit the model.
    """
    return load_model_for_prediction(model).predict_pixels(channels_first(image)).labels.astype(np.int32)


def learn(
    image: "napari.types.ImageData",  # pyright: ignore[reportUnknownParameterType]
    marks: "napari.types.LabelsData",  # pyright: ignore[reportUnknownParameterType]
    run: Path = Path("runs/napari"),
    minutes: float = 1.0,
) -> "napari.types.LabelsData":  # pyright: ignore[reportUnknownParameterType]
    """Train on painted labels and return the mask of the whole image.

    Parameters
    ----------
    image : array (rows, columns) or (rows, columns, 3 or 4)
    marks : integer array (rows, columns)
        0 where nothing is known, 1 for the background, 2 and more for the classes.
    run : Path
        The new run folder; the data set of the marks is beside it.
    minutes : float
        The time for the training.

    Raises
    ------
    BadDataset
        Fewer than two classes are painted.
    OutputFailed
        The run exists, or cannot be written.
    """
    pixels, data = channels_first(image), run.with_name(f"{run.name}-marks")
    held_out = write_marks(pixels, np.asarray(marks), data)
    classes = int(np.max(marks))
    names = ("background", *(f"class {index}" for index in range(1, classes)))
    options = DataOptions(
        task="binary" if classes == 2 else "multiclass",
        classes=() if classes == 2 else names,
        ignore_index=IGNORE,
        allow_duplicates=True,
    )
    words = ["patches.foreground_share=1", *(["training.keep=last"] if held_out else [])]
    finished = train(data, out=run, budget=60 * minutes, options=options, overrides=words)
    return predict(image, finished.folder)


def channels_first(
    image: Num[np.ndarray, "rows columns"] | Num[np.ndarray, "rows columns samples"],
) -> Num[np.ndarray, "channels rows columns"]:
    """Return the pixels of a gray or colour image; transparency is left out.

    Examples
    --------
    >>> channels_first(np.zeros((4, 5))).shape, channels_first(np.zeros((4, 5, 4))).shape
    ((1, 4, 5), (3, 4, 5))
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return pixels[None]
    if pixels.ndim == 3 and pixels.shape[-1] in _RGB:
        return np.ascontiguousarray(np.moveaxis(pixels[..., :3], -1, 0))
    raise BadImage("one gray or colour image", f"an array of shape {pixels.shape}", "Choose one plane of the stack.")


def write_marks(
    pixels: Num[np.ndarray, "channels rows columns"], marks: Integer[np.ndarray, "rows columns"], folder: Path
) -> bool:
    """Write painted labels as a data set; return whether some of the painted regions are held out for validation.

    Raises
    ------
    BadDataset
        Fewer than two classes are painted, or one was skipped.
    """
    found = np.unique(marks[marks > 0]).tolist()
    if len(found) < 2 or found != list(range(1, len(found) + 1)):
        hint = "Paint 1 for the background, and 2, 3 and so on for the classes; 0 is unknown."
        raise BadDataset("painted classes from 1 on, at least two", f"the numbers {found}", hint)
    train_mask, val_mask = (np.full(marks.shape, IGNORE, np.uint8) for _ in range(2))
    for value in found:
        regions = components(marks == value)
        number = np.arange(regions.max() + 1)
        held_out = (number % HELD_OUT_EVERY == HELD_OUT_FIRST)[regions]
        train_mask[(regions > 0) & ~held_out] = value - 1
        val_mask[(regions > 0) & held_out] = value - 1
    enough = min(_classes(train_mask), _classes(val_mask)) >= len(found)
    if not enough:  # the score is then that of the marks that were learned
        train_mask = val_mask = np.where(marks > 0, marks - 1, IGNORE).astype(np.uint8)
    for split, mask in (("train", train_mask), ("val", val_mask)):
        write_image(folder / split / "images" / "image.tif", np.ascontiguousarray(pixels))
        (folder / split / "masks").mkdir(exist_ok=True)
        (folder / split / "masks" / "image.png").write_bytes(png_bytes(mask[None]))
    return enough


def _classes(mask: UInt8[np.ndarray, "rows columns"]) -> int:
    return len(np.unique(mask[mask != IGNORE]))
