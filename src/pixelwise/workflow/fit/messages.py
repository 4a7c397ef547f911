"""Messages about the length of a training and a frozen encoder."""

from pixelwise.text import pluralise
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import Config

NEARLY_COMPLETE = 0.98  # progress: with a clock the last step ends slightly before or after the time limit


def describe_length(training: TrainingOptions, done: int, progress: float, validations: int) -> list[str]:
    """Describe the number of steps, if it differs from the plan.

    Parameters
    ----------
    done : int
        Completed steps.
    progress : float
        Completed fraction of the training; below 1 after early stopping.
    validations : int
        Validations since the best one.
    """
    end = 1.0 if training.available_time is None else NEARLY_COMPLETE
    if progress < end and 0 < training.patience <= validations:
        since = pluralise(validations, "validation was", "validations were")
        return [f"Stopped early after step {done:,} of {training.steps:,}: the last {since} no better than the best."]
    if done == training.steps:
        return []
    return [f"{pluralise(done, 'step')} done in the available time; {training.steps:,} were expected."]


def describe_frozen(config: Config, frozen: int, step: int) -> list[str]:
    """Describe until which step the encoder is frozen, with a warning if its weights are random."""
    if step >= frozen:
        return []
    steps = config.training.steps
    until = f"until step {frozen} of {steps}" if frozen < steps else "to the last step"
    messages = [f"Encoder frozen {until}: its weights and batch statistics do not change."]
    if not config.transfer.encoder_weights:
        messages.append("Warning: the frozen encoder has random weights. Give encoder_weights=, or omit freeze=.")
    return messages
