"""Predict: images in, masks or classes out. Needs a model alone: no training data, no Lightning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pixelwise.datasets.dataset import find_images
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.inference.load import find_model, is_classifier, open_model
from pixelwise.inference.segmentation_model import Model
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.workflow.prediction.masks import predict_masks
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.photos import predict_photos
from pixelwise.workflow.prediction.results import Predictions, check_place


def load(path: Path | str, device: str = "auto", runtime: str = "torch") -> Model | ClassificationModel:
    """Load a run folder, a model file or an exported file for prediction in Python: `load("runs/x").predict(array)`.

    `predict` of a model of masks returns a mask or a label image; of a model of whole-image classes the index of a
    class, whose name stands in `model_card.classes`.
    """
    return open_model(path, device=device, runtime=runtime)


def predict(
    run: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    probabilities: bool = False,
    overlays: bool = False,
    confidence: bool = False,
    symmetries: bool = False,
    tta: int | None = None,
    device: str = "auto",
    runtime: str = "auto",
    overwrite: bool = False,
    tile: int | None = None,
    pages: int | None = None,
    tolerance: float | None = None,
    format: Literal["tiff", "zarr"] | None = None,
    compression: Literal["deflate", "zstd"] | None = None,
    sampled_intensities: bool = False,
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files.

    Parameters
    ----------
    run : path
        A run folder, a model file or an exported file.
    inputs : sequence of path
        Image files, or folders of them.
    out : path
        The folder of the results: an indexed PNG per image, or a label image and `objects.csv` for objects, or for
        whole-image classes `predictions.csv`.
    probabilities, overlays : bool
        Also write 8-bit probabilities (a TIFF channel per class), or pictures with outlines. For whole-image classes:
        a column of probabilities per class, and no overlays.
    confidence : bool
        Also write how sure the model is: a map of the uncertainty of each pixel (8-bit, 255 times the probability that
        the class it is decided for is wrong), and in `confidence.csv` the predicted Dice of each image with a lower
        bound that holds for 90 % of images. For masks alone; not of images that stream.
    symmetries : bool
        Average over the four flips: `tta=4`; of whole images over the image and its mirror image.
    tta : int, optional
        Average over 1, 4, 7 or 8 turned inputs; 7 is the average of the 2015 paper. By default what the model says.
        For masks alone, like `tile`.
    device, tile : optional
        As in `load_model_for_prediction`.
    runtime : str
        What computes: "auto", "torch", "onnx", "openvino", "torch-bf16", "openvino-bf16" or "torch-compile". For masks
        "auto" takes what was measured as the fastest for this model on this machine, and measures where there is enough
        to predict; the last three are never taken unasked.
    overwrite : bool
        Replace results that are there already.
    pages : int, optional
        Take stacks of this many pages as channels.
    tolerance : float, optional
        For masks: let tiles read the smallest halo with which no logit differs by more, measured on some of the
        images. By default tiles are exact.
    format : {"tiff", "zarr"}, optional
        Stream all masks into tiled BigTIFFs or OME-Zarr with a pyramid. Images of more than 100 megapixels always
        stream, into BigTIFFs unless this says otherwise; a stopped command is continued by the same command.
    compression : {"deflate", "zstd"}, optional
        Of results that stream; by default what is usual in their format: deflate in TIFF, zstd in Zarr.
    sampled_intensities : bool
        Of images that stream and are normalised by their own mean and standard deviation: estimate these from 64
        windows of 256 x 256 pixels, spread evenly, and save a pass over all pixels.
    progress : Progress, optional

    Returns
    -------
    Predictions
        A bad image is named in `failed`; the others are predicted all the same.

    Raises
    ------
    OutputFailed
        `out` cannot be written, is where the images lie, or holds results already.
    BadModel, BadImage, BadOption
        The model, the inputs or the options cannot be used at all.
    """
    progress = progress or Console()
    keep_large_blocks()
    folder = Path(out)
    options = PredictOptions(
        probabilities=probabilities,
        overlays=overlays,
        confidence=confidence,
        symmetries=symmetries,
        tta=tta,
        device=device,
        runtime=runtime,
        overwrite=overwrite,
        tile=tile,
        pages=pages,
        tolerance=tolerance,
        format=format,
        compression=compression,
        sampled_intensities=sampled_intensities,
    )
    paths = [image for path in inputs for image in find_images(Path(path))]
    check_place(folder, [Path(path) for path in inputs])
    model_file = find_model(run)
    if is_classifier(model_file):
        return predict_photos(model_file, paths, folder, options, progress)
    return predict_masks(model_file, paths, folder, options, progress)
