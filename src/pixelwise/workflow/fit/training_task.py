"""Course: what the training loop has to know of a task, so that one loop serves them all."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.geometry.sizes import Geometry
from pixelwise.model_file.model_file import ModelCard
from pixelwise.progress import Progress
from pixelwise.sampling.patches import Sampler
from pixelwise.training.losses import LossOptions
from pixelwise.workflow.fit.classification_task import ClassificationTask
from pixelwise.workflow.fit.segmentation_task import SegmentationTask
from pixelwise.workflow.fit.select.tta import TtaGain
from pixelwise.workflow.run import Run


@runtime_checkable
class TrainingBatch(Protocol):
    """A batch: images (batch, channels, height, width), their targets, and the weights of the loss, if any."""

    @property
    def images(self) -> Tensor:
        """Images as the network takes them."""
        ...

    @property
    def targets(self) -> Tensor:
        """Class maps (batch, height, width), or a class per image (batch,)."""
        ...

    @property
    def weights(self) -> Tensor | None:
        """Weight maps of the loss."""
        ...

    @property
    def distances(self) -> Tensor | None:
        """How deep each pixel lies in its object, where the target asks for it."""
        ...


@runtime_checkable
class TrainingTask(Protocol):
    """The material of one task, how it is drawn and scored, and what the model file says of it.

    `score_name` is the validation score's name for people, such as "mean Dice"; larger is better. `loss` is the
    configured one with what the material adds to it. `pass_steps` are the steps of one pass over the training material,
    `most_inputs` the turned inputs of the largest average that `averages` measures.
    """

    score_name: str
    loss: LossOptions
    pass_steps: float
    most_inputs: int

    def sampler_at(self, progress: float, share: float) -> Sampler[Any]:
        """Return what draws the batches at a share of the training that is done.

        Parameters
        ----------
        progress : float
            In [0, 1].
        share : float
            Of the planned patches (or photos) that a step has; 1 is as planned.

        Returns
        -------
        Sampler
            The same object as long as the same is drawn.
        """
        ...

    def finish_seconds(self, look: float) -> float:
        """Return how much of a budget `finish` needs, at most, where a validation took `look` seconds."""
        ...

    @property
    def trivial_score(self) -> float:
        """The best validation score of a prediction that is the same everywhere: less is nothing learned."""
        ...

    def begin(self) -> None:
        """Write what the pictures of the learning are compared with."""
        ...

    def score(self, network: nn.Module) -> float:
        """Return the validation score of a network in evaluation mode."""
        ...

    def averages(self, network: nn.Module) -> list[TtaGain]:
        """Measure what averaging over turned inputs brings to a network in evaluation mode, the plain input first."""
        ...

    def picture(self, network: nn.Module, step: int) -> None:
        """Write a picture of what the network says after `step` steps, where the task has one."""
        ...

    def finish(self, model: Path, rival: tuple[nn.Module, ModelCard] | None, seconds: float | None) -> bool:
        """Decide, once training is over, what the model file still has to say of how it is used.

        Parameters
        ----------
        model : Path
            The model file.
        rival : (network, ModelCard), optional
            The last weights, where the file holds others.
        seconds : float or None
            That are left for it; None without a clock.

        Returns
        -------
        bool
            The rival was better, and stands in the file.
        """
        ...

    def model_card(self, score: float, step: int) -> ModelCard:
        """Return everything that prediction needs besides the weights."""
        ...


def open_training_task(run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> TrainingTask:
    """Read the material of a run into memory, for the loop that trains on it."""
    kind = ClassificationTask if dataset.labelling.task == "classification" else SegmentationTask
    return kind(run, dataset, geometry, device, progress)
