"""Predict: images in, masks or classes out. Needs a model alone: no training data, no Lightning."""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.engine.allocator import keep_large_blocks
from pixelwise.engine.model import Model
from pixelwise.engine.modelfile import find_model_file, read_recipe
from pixelwise.engine.opening import open_model
from pixelwise.engine.photo_model import PhotoModel
from pixelwise.images.cases import find_images
from pixelwise.progress import Console, Progress
from pixelwise.workflow.prediction.masks import predict_masks
from pixelwise.workflow.prediction.photos import predict_photos
from pixelwise.workflow.prediction.results import Predictions, Wishes, check_place


def load(path: Path | str, device: str = "auto") -> Model | PhotoModel:
    """Load a run folder or a model file for prediction in Python: `load("runs/x").predict(array)`.

    `predict` of a model of masks returns a mask or a label image; of a model of whole-image classes the index of a
    class, whose name stands in `recipe.classes`.
    """
    return open_model(path, device=device)


def predict(
    run: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    probabilities: bool = False,
    overlays: bool = False,
    symmetries: bool = False,
    turns: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    tile: int | None = None,
    pages: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files.

    Parameters
    ----------
    run : path
        A run folder or a model file.
    inputs : sequence of path
        Image files, or folders of them.
    out : path
        The folder of the results: an indexed PNG per image, or a label image and `objects.csv` for objects, or for
        whole-image classes `predictions.csv`.
    probabilities, overlays : bool
        Also write 8-bit probabilities (a TIFF channel per class), or pictures with outlines. For whole-image classes:
        a column of probabilities per class, and no overlays.
    symmetries : bool
        Average over the four flips: `turns=4`; of whole images over the image and its mirror image.
    turns : int, optional
        Average over 1, 4, 7 or 8 turned inputs; 7 is the average of the 2015 paper. By default what the model says.
        For masks alone, like `tile`.
    device, tile : optional
        As in `load_model_for_prediction`.
    overwrite : bool
        Replace results that are there already.
    pages : int, optional
        Take stacks of this many pages as channels.
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
    wishes = Wishes(
        probabilities=probabilities,
        overlays=overlays,
        symmetries=symmetries,
        turns=turns,
        device=device,
        overwrite=overwrite,
        tile=tile,
        pages=pages,
    )
    paths = [image for path in inputs for image in find_images(Path(path))]
    check_place(folder, [Path(path) for path in inputs])
    model_file = find_model_file(run)
    kind = predict_photos if read_recipe(model_file).task == "classification" else predict_masks
    return kind(model_file, paths, folder, wishes, progress)
