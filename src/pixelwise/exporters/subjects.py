"""Which subject a model has."""

from pixelwise.engine.exporting.mask_subject import MaskSubject
from pixelwise.engine.exporting.photo_subject import PhotoSubject
from pixelwise.engine.exporting.subject import Subject
from pixelwise.engine.recipe import Recipe


def subject_of(recipe: Recipe) -> Subject:
    """Return the subject of a model: masks, or the classes of whole images."""
    return MaskSubject(recipe) if recipe.view is None else PhotoSubject(recipe, recipe.view)
