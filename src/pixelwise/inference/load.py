"""Loading a model of any task, from a run or an export."""

from pathlib import Path

from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.exported import find_export, read_exported_model_card

AnyModel = SegmentationModel | ClassificationModel


def open_model(path: Path | str, *, device: str = "auto", runtime: str = "torch") -> AnyModel:
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
    if find_model_card(path).view is not None:
        return load_classification_model(path, device=device, runtime=runtime)
    return load_model_for_prediction(path, device=device, runtime=runtime)


def as_segmentation_model(model: AnyModel) -> SegmentationModel:
    """Return the model; raise TypeError for a classification model."""
    if not isinstance(model, SegmentationModel):
        raise TypeError("expected a segmentation model")
    return model


def as_classification_model(model: AnyModel) -> ClassificationModel:
    """Return the model; raise TypeError for a segmentation model."""
    if not isinstance(model, ClassificationModel):
        raise TypeError("expected a classification model")
    return model


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


def find_model_card(path: Path | str) -> ModelCard:
    """Read the model card of a run, a model file or an exported file.

    Raises
    ------
    BadModel
        The model is missing or invalid.
    """
    exported = find_export(path)
    if exported is not None:
        return read_exported_model_card(exported)
    from pixelwise.model_file.model_file import find_model_file, read_model_card  # imports torch

    return read_model_card(find_model_file(path))
