"""The outcome of a training, as its summary holds it: what `evaluate` and `report` repeat when it is not useful."""

from typing import Any

from pixelwise.workflow.run import Run

USEFUL = "useful"


def outcome_warnings(run: Run) -> list[str]:
    """Return the sentences of trainings that did not become useful; nothing for a useful one, or an older run.

    Parameters
    ----------
    run : Run
        Of a run with folds each fold is asked too.

    Raises
    ------
    BadRun
        A summary is damaged.
    """
    found = [("", run)]
    found += [(f"Fold {number}: ", run.fold(number)) for number in range(1, len(run.folds) + 1)]
    return [f"{prefix}{text}" for prefix, one in found if (text := _warning(one))]


def _warning(run: Run) -> str:
    if not run.summary_path.is_file():
        return ""
    outcome: dict[str, Any] = run.read_json("summary.json").get("outcome") or {}
    return str(outcome["sentence"]) if outcome.get("kind", USEFUL) != USEFUL else ""
