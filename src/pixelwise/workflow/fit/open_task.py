"""Which course a task takes."""

from pixelwise.geometry.sizes import Geometry
from pixelwise.images.cases import Dataset
from pixelwise.progress import Progress
from pixelwise.workflow.run import Run
from pixelwise.workflow.training.course import Course
from pixelwise.workflow.training.mask_course import MaskCourse
from pixelwise.workflow.training.photo_course import PhotoCourse


def open_course(run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> Course:
    """Read the material of a run into memory, for the loop that trains on it."""
    kind = PhotoCourse if dataset.labelling.task == "classification" else MaskCourse
    return kind(run, dataset, geometry, device, progress)
