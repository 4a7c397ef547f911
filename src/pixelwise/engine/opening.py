"""A model file of any task made ready to predict arrays."""

from pathlib import Path

from pixelwise.engine.model import Model, load_model_for_prediction
from pixelwise.engine.modelfile import find_model_file, read_recipe
from pixelwise.engine.photo_model import PhotoModel, load_photo_model


def open_model(path: Path | str, *, device: str = "auto") -> Model | PhotoModel:
    """Load a run folder or a model file: one that predicts masks, or one that tells the class of whole images.

    Parameters
    ----------
    path : path
        A run folder, or its model.safetensors.
    device : {"auto", "cpu", "cuda", "mps"}

    Raises
    ------
    BadModel
        There is no model, or it is not one of ours.
    """
    photos = read_recipe(find_model_file(path)).view is not None
    return load_photo_model(path, device=device) if photos else load_model_for_prediction(path, device=device)
