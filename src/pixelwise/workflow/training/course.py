"""Course: what the training loop has to know of a task, so that one loop serves them all."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from pixelwise.engine.modelfile import Recipe
from pixelwise.images.patches import Sampler
from pixelwise.scoring.losses import LossOptions


@runtime_checkable
class Lesson(Protocol):
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


@runtime_checkable
class Course(Protocol):
    """The material of one task, how it is drawn and scored, and what the model file says of it.

    `score_name` is the validation score's name for people, such as "mean Dice"; larger is better. `loss` is the
    configured one with what the material adds to it. `pass_steps` are the steps of one pass over the training material.
    """

    score_name: str
    loss: LossOptions
    pass_steps: float

    @property
    def sampler(self) -> Sampler[Any]:
        """What draws the batches."""
        ...

    def begin(self) -> None:
        """Write what the pictures of the learning are compared with."""
        ...

    def score(self, network: nn.Module) -> float:
        """Return the validation score of a network in evaluation mode."""
        ...

    def picture(self, network: nn.Module, step: int) -> None:
        """Write a picture of what the network says after `step` steps, where the task has one."""
        ...

    def recipe(self, score: float, step: int) -> Recipe:
        """Return everything that prediction needs besides the weights."""
        ...
