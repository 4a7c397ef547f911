"""The tables of the bench: a row per cell, and the bars with what was measured against them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speed_parts.tables import Table

from street_parts.cells import CLONE_SECONDS, DEMO_SECONDS, StreetCell

Record = Mapping[str, Any]
OVERRUN, MEASURING, LOSS, AP = 0.10, 0.05, 0.02, 0.8  # the bars
DEMO = (
    "command",
    "load asked",
    "runnable threads, mean",
    "wall, s",
    "processor, s",
    "steps",
    "mean AP, test",
    "outcome",
    "exit code",
)
BUDGETS = (
    "set",
    "budget, s",
    "load asked",
    "runnable threads, mean",
    "wall, s",
    "over the budget",
    "measuring, s",
    "of the budget",
    "processor, s",
    "steps",
    "validation score",
    "score",
    "outcome",
    "exit code",
)
REFERENCES = (
    "set",
    "budget, s",
    "load asked",
    "steps",
    "score with the budget",
    "score of as many steps without one",
    "difference",
    "wall, s",
)
BARS = ("bar", "cells", "held in", "worst", "verdict")


def table_of(kind: str) -> Table:
    """Return the empty table for cells of a kind."""
    if kind in ("demo", "clone"):
        return Table("The demo beside a load; a fresh clone and `make demo`", DEMO)
    if kind == "budget":
        return Table("Trainings with a budget beside a load", BUDGETS)
    return Table("The same number of steps without a budget and without load", REFERENCES)


def row_of(record: Record, records: Sequence[Record]) -> list[str]:
    """Return the row of a record; references look for their training with a budget in `records`."""
    load = str(record["load"])
    if record["kind"] in ("demo", "clone"):
        name = "pixelwise demo" if record["kind"] == "demo" else "git clone, make demo"
        cells = [name, load, _number(record["runnable"]), _number(record["wall_s"]), _number(record["processor_s"])]
        return [*cells, _plain(record["steps"]), _number(record["score"], 3), *_end(record)]
    what = [record["set"], str(record["seconds"]), load]
    if record["kind"] == "budget":
        cells = [_number(record["runnable"]), _number(record["wall_s"]), _percent(overrun(record), "+.1%")]
        cells += [_number(record.get("measuring_s")), _percent(measuring(record), ".1%")]
        cells += [_number(record["processor_s"]), _plain(record["steps"])]
        return [*what, *cells, _number(record.get("validation"), 3), _number(record["score"], 3), *_end(record)]
    budget = budget_of(record, records)
    cells = [_plain(record["steps"]), _number(budget["score"] if budget else None, 3), _number(record["score"], 3)]
    return [*what, *cells, _number(difference(record, records), 3, "+"), _number(record["wall_s"])]


def wall_to_the_end(record: Record) -> float | None:
    """Return the wall seconds of a command that did its work; infinite where it ended with an error."""
    return record["wall_s"] if record["exit"] == 0 else float("inf")


def overrun(record: Record) -> float | None:
    """Return by which share of its budget a training took longer (or, negative, shorter)."""
    return (record["wall_s"] - record["seconds"]) / record["seconds"]


def measuring(record: Record) -> float | None:
    """Return the share of the budget in which speed was measured; None where the run does not say it."""
    seconds = record.get("measuring_s")
    return None if seconds is None else seconds / record["seconds"]


def budget_of(reference: Record, records: Sequence[Record]) -> Record | None:
    """Return the training with a budget that a reference follows."""
    names = ("set", "seconds", "load")
    found = [r for r in records if r["kind"] == "budget" and all(r[name] == reference[name] for name in names)]
    return found[0] if found else None


def difference(reference: Record, records: Sequence[Record]) -> float | None:
    """Return the score with a budget less that of the same number of steps without one; None where one is missing."""
    budget = budget_of(reference, records)
    if budget is None or budget["score"] is None or reference["score"] is None:
        return None
    return budget["score"] - reference["score"]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar: which records it is for, what is measured in one, and which values hold it.

    `bad` orders the values: the largest is the worst. `written` writes one.
    """

    name: str
    kind: str
    value: Callable[[Record], float | None]
    held: Callable[[float], bool]
    bad: Callable[[float], float]
    written: str
    load: int | None = None

    def concerns(self, record: Record) -> bool:
        """Return whether the bar is for a record."""
        return record["kind"] == self.kind and self.load in (None, record["load"])


def bars(records: Sequence[Record]) -> list[Bar]:
    """Return the bars; the difference to references is looked up in `records`."""
    demo = [
        Bar(
            name=f"demo at load {load}: at most {most} s",
            kind="demo",
            load=load,
            value=wall_to_the_end,
            held=lambda value, most=most: value <= most,
            bad=lambda value: value,
            written="{:.0f} s",
        )
        for load, most in DEMO_SECONDS.items()
    ]
    return [
        *demo,
        Bar(
            name=f"demo at every load: mean AP at least {AP}",
            kind="demo",
            value=lambda record: record["score"] or 0.0,
            held=lambda value: value >= AP,
            bad=lambda value: -value,
            written="{:.3f}",
        ),
        Bar(
            name=f"fresh clone to the demo's end: at most {CLONE_SECONDS} s",
            kind="clone",
            value=wall_to_the_end,
            held=lambda value: value <= CLONE_SECONDS,
            bad=lambda value: value,
            written="{:.0f} s",
        ),
        Bar(
            name=f"budgets: wall time within {OVERRUN:.0%}",
            kind="budget",
            value=overrun,
            held=lambda value: abs(value) <= OVERRUN,
            bad=abs,
            written="{:+.1%}",
        ),
        Bar(
            name=f"budgets: measuring at most {MEASURING:.0%}",
            kind="budget",
            value=measuring,
            held=lambda value: value <= MEASURING,
            bad=lambda value: value,
            written="{:.1%}",
        ),
        Bar(
            name=f"budgets: not more than {LOSS} below as many steps without one",
            kind="reference",
            value=lambda record: difference(record, records),
            held=lambda value: value >= -LOSS,
            bad=lambda value: -value,
            written="{:+.3f}",
        ),
    ]


def bar_row(bar: Bar, records: Sequence[Record], wanted: int) -> list[str]:
    """Return the row of a bar.

    Parameters
    ----------
    bar : Bar
    records : sequence of record
        Those that the bar is for; there may be none.
    wanted : int
        How many of them there will be when all is measured.
    """
    values = [(value, record) for record in records if (value := bar.value(record)) is not None]
    held = sum(bar.held(value) for value, _ in values)
    worst = "-"
    if values:
        value, record = max(values, key=lambda pair: bar.bad(pair[0]))
        where = " ".join(filter(None, [record["set"], f"{record['seconds']} s" if record["seconds"] else ""]))
        worst = f"{bar.written.format(value)} ({where + ', ' if where else ''}load {record['load']})"
    verdict = "missed" if held < len(values) else "held" if values and len(values) >= wanted else "open"
    return [bar.name, f"{len(values)} of {wanted}", f"{held}", worst, verdict]


def print_bars(records: Sequence[Record], cells: Sequence[StreetCell]) -> None:
    """Print the bars that cells were asked for, each with what held it and the worst value."""
    table = Table("Bars", BARS)
    table.head()
    for bar in bars(records):
        wanted = sum(bar.kind == cell.kind and bar.load in (None, cell.load) for cell in cells)
        if wanted:
            table.add(*bar_row(bar, [record for record in records if bar.concerns(record)], wanted))


def _end(record: Record) -> list[str]:
    exit_code = "limit of time" if record["exit"] is None else str(record["exit"])
    return [record.get("outcome") or "-", exit_code]


def _number(value: float | None, digits: int = 1, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def _percent(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _plain(value: object) -> str:
    return "-" if value is None else str(value)
