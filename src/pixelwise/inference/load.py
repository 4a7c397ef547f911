"""A model of any task and in any form, run or export, made ready to predict arrays."""

from pathlib import Path

from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.inference.segmentation_model import Model, load_model_for_prediction
from pixelwise.runtimes.exported import find_export, read_exported_model_card


def open_model(path: Path | str, *, device: str = "auto", runtime: str = "torch") -> Model | ClassificationModel:
    """Load a model that predicts masks, or one that tells the class of whole images.

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
        There is no model, or it is not one of ours.
    BadOption
        No such runtime.
    """
    if is_classifier(path):
        return load_classification_model(path, device=device, runtime=runtime)
    return load_model_for_prediction(path, device=device, runtime=runtime)


def find_model(path: Path | str) -> Path:
    """Return the file that a path stands for: an exported one, or that of a run.

    Raises
    ------
    BadModel
        There is none.
    """
    exported = find_export(path)
    if exported is not None:
        return exported
    from pixelwise.model_file.model_file import find_model_file  # brings torch

    return find_model_file(path)


def is_classifier(path: Path | str) -> bool:
    """Tell whether a model, run or export, tells classes of whole images rather than masks."""
    exported = find_export(path)
    if exported is not None:
        return read_exported_model_card(exported).view is not None
    from pixelwise.model_file.model_file import find_model_file, read_model_card  # brings torch

    return read_model_card(find_model_file(path)).view is not None
