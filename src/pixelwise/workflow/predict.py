"""Predict masks or classes of image files with a trained or exported model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pixelwise.datasets.image_files import describe_folders, find_images
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.inference.load import find_model, is_classifier, open_model
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.workflow.prediction.masks import predict_masks
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.photos import predict_classes
from pixelwise.workflow.prediction.results import Predictions, check_output_folder


def load(path: Path | str, device: str = "auto", runtime: str = "torch") -> SegmentationModel | ClassificationModel:
    """Load a run folder, a model file or an exported file for prediction in Python: `load("runs/x").predict(array)`.

    The `predict` method of a segmentation model returns a mask or a label image; that of a classification model the
    index of a class, whose name is in `model_card.classes`.
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
        Image files, or folders of them; folders inside are searched too.
    out : path
        The output folder: an indexed PNG per image, or a label image and `objects.csv` for objects, or
        `predictions.csv` for classification.
    probabilities, overlays : bool
        Also write 8-bit probabilities (a TIFF channel per class), or images with outlines. For classification: a column
        of probabilities per class, and no overlays.
    confidence : bool
        Also write an uncertainty map (8-bit, 255 times the probability that the predicted class is wrong), and in
        `confidence.csv` the expected Dice of each image with a lower bound for 90 % of images. For segmentation only;
        not for streamed images.
    symmetries : bool
        Test-time augmentation with the four flips: `tta=4`; for classification with the horizontal flip.
    tta : int, optional
        Test-time augmentation with 1, 4, 7 or 8 flipped and rotated inputs; 7 is the average of the 2015 paper. By
        default as stored in the model. For segmentation only, like `tile`.
    device, tile : optional
        As in `load_model_for_prediction`.
    runtime : str
        "auto", "torch", "onnx", "openvino", "torch-bf16", "openvino-bf16" or "torch-compile". For segmentation "auto"
        uses the fastest runtime for this model on this machine, which is measured if there are enough images; it never
        selects the last three.
    overwrite : bool
        Replace existing results.
    pages : int, optional
        Read stacks of this many pages as channels.
    tolerance : float, optional
        For segmentation: use the smallest halo with which no logit differs by more, measured on some of the images. By
        default tiling is exact.
    format : {"tiff", "zarr"}, optional
        Stream all masks to tiled BigTIFFs or OME-Zarr with a pyramid. Images of more than 100 megapixels are always
        streamed, by default to BigTIFF; the same command continues a stopped one.
    compression : {"deflate", "zstd"}, optional
        Of streamed results; by default deflate for TIFF and zstd for Zarr.
    sampled_intensities : bool
        For streamed images that are normalised by their own mean and standard deviation: estimate these from 64 evenly
        spaced windows of 256 x 256 pixels, which saves a pass over all pixels.
    progress : Progress, optional

    Returns
    -------
    Predictions
        Unreadable images are listed in `failed`; the others are predicted.

    Raises
    ------
    OutputFailed
        `out` cannot be written, is the folder of the images, or already contains results.
    BadModel, BadImage, BadOption
        The model, the inputs or the options cannot be used.
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
    paths = [image for path in inputs for image in find_images(Path(path), folder)]
    progress.message(*describe_folders([Path(path) for path in inputs], folder))
    check_output_folder(folder, [Path(path) for path in inputs])
    model_file = find_model(run)
    if is_classifier(model_file):
        return predict_classes(model_file, paths, folder, options, progress)
    return predict_masks(model_file, paths, folder, options, progress)
