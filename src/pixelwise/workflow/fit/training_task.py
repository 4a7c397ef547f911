"""Training task: the interface between the training loop and segmentation or classification."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.geometry.sizes import Geometry
from pixelwise.model_file.model_file import ModelCard, TrainedModel
from pixelwise.progress import Progress
from pixelwise.sampling.patches import Sampler
from pixelwise.training.losses import LossOptions
from pixelwise.training.team import Team
from pixelwise.workflow.fit.select.tta import TtaGain
from pixelwise.workflow.run import Run


@runtime_checkable
class TrainingTask(Protocol):
    """Data, sampling, validation and model metadata of one task.

    `score_name` is the display name of the validation score, such as "mean Dice"; larger is better. `loss` is the
    configured loss with values from the data. `pass_steps` is the number of steps per epoch, `max_inputs` the largest
    number of inputs of test-time augmentation in `measure_tta`, `smallest_share` the fraction of the planned step size
    below which smaller steps gain little.
    """

    score_name: str
    loss: LossOptions
    pass_steps: float
    max_inputs: int
    smallest_share: float

    def sampler_at(self, progress: float, share: float) -> Sampler:
        """Return the sampler of batches at a moment of the training.

        Parameters
        ----------
        progress : float
            Completed fraction of the training, in [0, 1].
        share : float
            Fraction of the planned step size.

        Returns
        -------
        Sampler
            The same object until the sampling changes.
        """
        ...

    def finish_seconds(self, validation: float) -> float:
        """Return the maximum seconds of `finish`, if a validation takes `validation` seconds."""
        ...

    @property
    def trivial_score(self) -> float:
        """The best validation score of a constant prediction."""
        ...

    def begin(self) -> None:
        """Write the image and the ground truth of the training snapshots."""
        ...

    def score(self, network: nn.Module, team: Team) -> float:
        """Return the validation score of a network in evaluation mode; the processes share the images."""
        ...

    def measure_tta(self, network: nn.Module) -> list[TtaGain]:
        """Measure the gain of test-time augmentation for a network in evaluation mode, starting with none."""
        ...

    def write_snapshot(self, network: nn.Module, step: int) -> None:
        """Write a training snapshot after `step` steps, if the task has them."""
        ...

    def finish(self, models: Sequence[TrainedModel], seconds: float | None) -> TrainedModel:
        """Choose weights, thresholds and temperatures after training, from one prediction of the validation images.

        Parameters
        ----------
        models : sequence of (network, ModelCard)
            The best weights, and the last ones if they differ.
        seconds : float or None
            Available time; None without a time limit.

        Returns
        -------
        network, ModelCard
            One of `models`, with what was chosen in its model card.
        """
        ...

    def model_card(self, score: float, step: int) -> ModelCard:
        """Return the metadata for prediction."""
        ...


# (run, dataset, geometry of the network, device, progress) -> training task, with the data of the run in memory
OpenTrainingTask = Callable[[Run, Dataset, Geometry, str, Progress], TrainingTask]
