"""Predict masks or classes of image files with a trained or exported model."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.images.files import describe_folders, find_images
from pixelwise.errors import DiskFull
from pixelwise.inference.load import AnyModel, find_model, find_model_card, open_model
from pixelwise.io.volumes.slices import group_slices
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.malloc import large_blocks
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions, check_output_folder
from pixelwise.workflow.tasks.choose import task_of


def load(path: Path | str, device: str = "auto", runtime: str = "torch") -> AnyModel:
    """Load a run folder, a model file or an exported file for prediction in Python: `load("runs/x").predict(array)`.

    The `predict` method of a segmentation model returns a mask or a label image; that of a classification model the
    index of a class, whose name is in `model_card.classes`.
    """
    return open_model(path, device=device, runtime=runtime)


@large_blocks()
def predict(
    run: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    options: PredictOptions | None = None,
    *,
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
    options : PredictOptions, optional
        What is written, and how.
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
    progress, options = progress or Console(), options or PredictOptions()
    folder = Path(out)
    paths = [image for path in inputs for image in find_images(Path(path), folder)]
    progress.message(*describe_folders([Path(path) for path in inputs], folder))
    new = not folder.exists()
    check_output_folder(folder, [Path(path) for path in inputs])
    try:
        model_file = find_model(run)
        card = find_model_card(model_file)
        paths = group_slices(paths) if card.reading.stack else paths
        return task_of(card).predict(model_file, paths, folder, options, progress)
    except DiskFull as error:
        hint = "Free some space, then run the same command again with --overwrite."
        raise DiskFull(error.expected, error.got, hint, error.path) from error
    finally:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # if nothing was written
