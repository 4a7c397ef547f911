"""Outcome of a training: whether the model is useful, and if not, the reason and a hint."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pixelwise.text import pluralise

Kind = Literal["useful", "few_steps", "nothing_learned"]

FEW_STEPS = 100  # with fewer, masks of a network with random initialisation are rarely useful (benchmarks/RECIPE.md)
MIN_GAIN = 0.03  # fraction of the difference between the validation scores of a constant and a perfect prediction
MIN_AP = 0.02  # mean AP of objects; below this, none are found
CLEAR_AP = 0.1  # mean AP of objects that have clearly been learned
BUSY = 0.6  # fraction of the processor time available to the threads


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a training.

    Attributes
    ----------
    kind : {"useful", "few_steps", "nothing_learned"}
    steps, planned_steps : int
        The steps of the training, and those expected at its start.
    cpu_share : float or None
        Processor time used, as a fraction of that available to the threads; None if unknown.
    sentence : str
        The explanation; empty for a useful model.
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
    """Decide whether a training produced a useful model.

    Parameters
    ----------
    score, trivial : float
        Best validation score, and that of the best constant prediction.
    mean_ap : float or None
        Of objects on validation images, if measured: of the weights and thresholds of the model. If it is clear, the
        validation score does not count, which may be that of other weights.
    fine_tuned : bool
        The encoder or the whole network started from pretrained weights: few steps can be enough.
    limited : bool
        The time budget or limit ended the training.

    Examples
    --------
    >>> facts = dict(planned_steps=165, score=0.7, trivial=0.3, mean_ap=0.03, cpu_share=0.2, fine_tuned=False)
    >>> judge(steps=51, limited=True, **facts).kind
    'few_steps'
    """
    found = mean_ap is not None and mean_ap >= CLEAR_AP
    useless = not found and (score < trivial + MIN_GAIN * (1 - trivial) or (mean_ap is not None and mean_ap < MIN_AP))
    few = steps < FEW_STEPS and not fine_tuned
    kind: Kind = "nothing_learned" if useless else "few_steps" if few else "useful"
    sentence = "" if kind == "useful" else _explain(kind, steps, planned_steps, few, cpu_share, limited)
    return Outcome(kind=kind, steps=steps, planned_steps=planned_steps, cpu_share=cpu_share, sentence=sentence)


def _explain(kind: Kind, steps: int, planned: int, few: bool, cpu_share: float | None, limited: bool) -> str:
    done = pluralise(steps, "training step")
    what = {
        "nothing_learned": f"This model is not useful: after {done} it is no better than a constant prediction",
        "few_steps": f"This model is undertrained: {done} are too few for useful masks",
    }[kind]
    busy = cpu_share is not None and cpu_share < BUSY
    if few and limited and busy:
        reason = f"the machine was busy: this training got {cpu_share:.0%} of its processor time"
    elif few and limited:
        reason = f"this machine is too slow for the time budget, in which {planned:,} steps were expected"
    elif few:
        reason = "no more were requested"
    else:
        reason = "more training may help, or check images and masks with `pixelwise inspect`"
    hint = "Use a longer budget (--budget 10m)" if limited else "Use more steps (--steps 1000) or --budget 10m"
    if few and limited and busy:
        hint += " or an idle machine"
    return f"{what} ({reason}). {hint}."


def outcome_of(summary: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome in a run's summary; None if an older version wrote it.

    >>> outcome_of({"steps": 3}) is None
    True
    """
    record = summary.get("outcome")
    if not isinstance(record, Mapping) or record.get("kind") not in get_args(Kind):
        return None
    return Outcome(
        kind=record["kind"],
        steps=int(record.get("steps", 0)),
        planned_steps=int(record.get("planned_steps", 0)),
        cpu_share=record.get("cpu_share"),
        sentence=str(record.get("sentence", "")),
    )
