"""Outcome: whether a training came far enough to be useful, and if not, why and what helps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pixelwise.text import pluralise

Kind = Literal["useful", "few_steps", "nothing_learned"]

FEW_STEPS = 100  # below, masks of a network that starts from random weights are seldom of use (benchmarks/RECIPE.md)
LEAST_GAIN = 0.03  # of the way from the validation score of a constant prediction to a perfect one
LEAST_AP = 0.02  # mean AP of objects below which none are found
BUSY = 0.6  # of the processor time that the threads could have had


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended.

    Attributes
    ----------
    kind : {"useful", "few_steps", "nothing_learned"}
    steps, planned_steps : int
        Made, and expected before it began.
    cpu_share : float or None
        Processor time that the training had, as a share of what its threads could have had; None where it is not known.
    sentence : str
        For people; empty for a useful one.
    """

    kind: Kind
    steps: int
    planned_steps: int
    cpu_share: float | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def judge(
    *,
    steps: int,
    planned_steps: int,
    score: float,
    trivial: float,
    mean_ap: float | None,
    cpu_share: float | None,
    fine_tuned: bool,
    limited: bool,
) -> Outcome:
    """Decide whether a training came far enough.

    Parameters
    ----------
    steps, planned_steps : int
    score, trivial : float
        Best validation score, and that of the best constant prediction.
    mean_ap : float or None
        Of objects on validation images, where it was measured.
    cpu_share : float or None
    fine_tuned : bool
        The encoder or the whole network started from learned weights: few steps can be enough.
    limited : bool
        Time ended the training.

    Examples
    --------
    >>> facts = dict(planned_steps=165, score=0.7, trivial=0.3, mean_ap=0.03, cpu_share=0.2, fine_tuned=False)
    >>> judge(steps=51, limited=True, **facts).kind
    'few_steps'
    """
    nothing = score < trivial + LEAST_GAIN * (1 - trivial) or (mean_ap is not None and mean_ap < LEAST_AP)
    few = steps < FEW_STEPS and not fine_tuned
    kind: Kind = "nothing_learned" if nothing else "few_steps" if few else "useful"
    sentence = "" if kind == "useful" else _explain(kind, steps, planned_steps, few, cpu_share, limited)
    return Outcome(kind=kind, steps=steps, planned_steps=planned_steps, cpu_share=cpu_share, sentence=sentence)


def _explain(kind: Kind, steps: int, planned: int, few: bool, cpu_share: float | None, limited: bool) -> str:
    made = pluralise(steps, "training step")
    what = {
        "nothing_learned": f"This model has learned nothing of use: after {made} it is no better than a constant "
        "prediction",
        "few_steps": f"This model is not finished: {made} are too few for useful masks",
    }[kind]
    busy = cpu_share is not None and cpu_share < BUSY
    if few and limited and busy:
        reason = f"the machine was busy and left this training {cpu_share:.0%} of its processor time"
    elif few and limited:
        reason = f"this processor is slow for the time given, in which {planned:,} steps were expected"
    elif few:
        reason = "no more were asked for"
    else:
        reason = "more training may help, or check images and masks with `pixelwise inspect`"
    remedy = "Give more time (--budget 10m)" if limited else "Give more steps (--steps 1000) or a time (--budget 10m)"
    if few and limited and busy:
        remedy += " or a quieter machine"
    return f"{what} ({reason}). {remedy}."


def outcome_of(summary: Mapping[str, Any]) -> Outcome | None:
    """Read the outcome from a run's summary; None where an older version wrote it.

    >>> outcome_of({"steps": 3}) is None
    True
    """
    found = summary.get("outcome")
    if not isinstance(found, Mapping) or found.get("kind") not in get_args(Kind):
        return None
    return Outcome(
        kind=found["kind"],
        steps=int(found.get("steps", 0)),
        planned_steps=int(found.get("planned_steps", 0)),
        cpu_share=found.get("cpu_share"),
        sentence=str(found.get("sentence", "")),
    )
