"""Loading a model of any task, from a run or an export."""

from pathlib import Path

from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.runtimes.exported import find_export, read_exported_model_card


def open_model(
    path: Path | str, *, device: str = "auto", runtime: str = "torch"
) -> SegmentationModel | ClassificationModel:
    """Load a segmentation or classification model.

    Parameters
    ----------
    path : path
        A run folder, its model.safetensors, or an exported file (see `runtimes.exported`), which is read without torch.
    device : {"auto", "cpu", "cuda", "mps"}
        For runs.
    runtime : str
        One of `benchmark.RUNTIMES`.

    Raises
    ------
    BadModel
        The model is missing or invalid.
    BadOption
        The runtime is unknown.
    """
    if is_classifier(path):
        return load_classification_model(path, device=device, runtime=runtime)
    return load_model_for_prediction(path, device=device, runtime=runtime)


def find_model(path: Path | str) -> Path:
    """Return the file of a model: an exported file, or the model file of a run.

    Raises
    ------
    BadModel
        There is no model file.
    """
    exported = find_export(path)
    if exported is not None:
        return exported
    from pixelwise.model_file.model_file import find_model_file  # imports torch

    return find_model_file(path)


def is_classifier(path: Path | str) -> bool:
    """Return whether a model, run or export, is a classification model."""
    exported = find_export(path)
    if exported is not None:
        return read_exported_model_card(exported).view is not None
    from pixelwise.model_file.model_file import find_model_file, read_model_card  # imports torch

    return read_model_card(find_model_file(path)).view is not None
