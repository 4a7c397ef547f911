"""What a training says of itself, in sentences."""

from pixelwise.text import pluralise
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import Config

NEARLY = 0.98  # of the progress: where the clock decides, the last step ends a little before or after the time is up


def describe_length(training: TrainingOptions, done: int, progress: float, looks: int) -> list[str]:
    """Say how many steps were made, where it is another number than planned.

    Parameters
    ----------
    training : TrainingOptions
    done : int
        Steps that were made.
    progress : float
        Share of the training that is done: below 1 patience has ended it.
    looks : int
        Validations since the best one.
    """
    end = 1.0 if training.time_given is None else NEARLY
    if progress < end and 0 < training.patience <= looks:
        since = pluralise(looks, "validation was", "validations were")
        return [f"Ended after step {done:,} of {training.steps:,}: the last {since} no better than the best one."]
    if done == training.steps:
        return []
    return [f"{pluralise(done, 'step was', 'steps were')} made in the time given; {training.steps:,} were expected."]


def describe_frozen(config: Config, frozen: int, step: int) -> list[str]:
    """Say from which step on the encoder learns, and whether there is something worth keeping still."""
    if step >= frozen:
        return []
    steps = config.training.steps
    until = f"until step {frozen} of {steps}" if frozen < steps else "to the last step"
    messages = [f"Encoder frozen {until}: its weights and batch statistics stay as they are, the rest learns."]
    if not config.transfer.encoder_weights:
        messages.append("Its weights are random: nothing was loaded. Give encoder_weights=, or leave freeze= out.")
    return messages
