"""Which subject a model has."""

from pixelwise.exporters.mask_subject import MaskSubject
from pixelwise.exporters.photo_subject import PhotoSubject
from pixelwise.exporters.subject import Subject
from pixelwise.model_file.recipe import Recipe


def subject_of(recipe: Recipe) -> Subject:
    """Return the subject of a model: masks, or the classes of whole images."""
    return MaskSubject(recipe) if recipe.view is None else PhotoSubject(recipe, recipe.view)
