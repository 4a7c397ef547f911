"""Which course a task takes."""

from pixelwise.datasets.dataset import Dataset
from pixelwise.geometry.sizes import Geometry
from pixelwise.progress import Progress
from pixelwise.workflow.fit.classification_task import PhotoCourse
from pixelwise.workflow.fit.segmentation_task import MaskCourse
from pixelwise.workflow.fit.training_task import Course
from pixelwise.workflow.run import Run


def open_course(run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> Course:
    """Read the material of a run into memory, for the loop that trains on it."""
    kind = PhotoCourse if dataset.labelling.task == "classification" else MaskCourse
    return kind(run, dataset, geometry, device, progress)
