"""What a training says of itself, in sentences."""

from pixelwise.wording import counted
from pixelwise.workflow.config import Config


def say_length(done: int, end: int, planned: int, looks: int) -> list[str]:
    """Say why a training took another number of steps than planned, where it did.

    Parameters
    ----------
    done, end, planned : int
        Steps: taken, of the schedule as it stands at the end, of the plan.
    looks : int
        Validations since the best one.
    """
    if done < end:
        since = counted(looks, "validation was", "validations were")
        return [f"Ended after step {done:,} of {end:,}: the last {since} no better than the best one."]
    if done == planned:
        return []
    pace = "more" if done < planned else "less"
    taken = f"{counted(done, 'step was', 'steps were')} taken, {planned:,} were planned"
    return [f"{taken}: a step took {pace} time than was measured beforehand, and the time given is kept."]


def say_frozen(config: Config, frozen: int, step: int) -> list[str]:
    """Say from which step on the encoder learns, and whether there is something worth keeping still."""
    if step >= frozen:
        return []
    steps = config.training.steps
    until = f"until step {frozen} of {steps}" if frozen < steps else "to the last step"
    told = [f"Encoder frozen {until}: its weights and batch statistics stay as they are, the rest learns."]
    if not config.transfer.encoder_weights:
        told.append("Its weights are random: nothing was loaded. Give encoder_weights=, or leave freeze= out.")
    return told
