"""The tables: mean scores with intervals; who is ahead of whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from score import MEASURES, headline

from accuracy_parts.contenders import CONTENDERS, OURS

DRAWS = 4000
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Summary:
    """What one contender reached on one set in one time, over its seeds.

    Attributes
    ----------
    records : sequence of record
        One per seed, in the order of the seeds.
    mean : float
        Of the scores.
    drawn : array (draws,)
        Mean scores with images, and seeds where there are several, drawn anew; draw k of every contender on the same
        set has the same images.
    """

    records: Sequence[Record]
    mean: float
    drawn: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 % of the draws."""
        return middle(self.drawn)

    def average(self, fact: str) -> float:
        """Return the mean of a fact over the seeds."""
        return float(np.mean([record[fact] for record in self.records]))


def middle(drawn: np.ndarray) -> tuple[float, float]:
    """Return the middle 95 %."""
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def summarise(records: Sequence[Record]) -> Summary:
    """Sum up the records of one contender, set and time; the images are those of all, in the same order.

    Raises
    ------
    ValueError
        The records are not of the same images.
    """
    records = sorted(records, key=lambda record: record["seed"])
    measure, images = MEASURES[records[0]["set"]], records[0]["images"]
    if any(record["images"] != images for record in records):
        raise ValueError(f"the same images in all records of {records[0]['set']}; the data have changed in between")
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), size=DRAWS)
    by_seed = np.stack([headline(measure, times @ np.array(record["numbers"])) for record in records])
    own = np.random.default_rng(
        [len(records), *records[0]["contender"].encode()]
    )  # seeds of two contenders are no pairs
    picks = own.integers(0, len(records), (len(records), DRAWS))
    drawn = np.take_along_axis(by_seed, picks, axis=0).mean(0)
    return Summary(records, float(np.mean([record["score"] for record in records])), drawn)


def grouped(records: Sequence[Record]) -> dict[tuple[str, int], dict[str, Summary]]:
    """Return for each set and time the summary of each contender."""
    found: dict[tuple[str, int], dict[str, list[Record]]] = {}
    for record in records:
        where = found.setdefault((record["set"], record["seconds"]), {})
        where.setdefault(record["contender"], []).append(record)
    sets = list(MEASURES)
    return {
        where: {name: summarise(found[where][name]) for name in sorted(found[where], key=order)}
        for where in sorted(found, key=lambda where: (sets.index(where[0]), where[1]))
    }


def order(contender: str) -> tuple[int, str]:
    """Sort pixelwise first, then its variants, then the peers."""
    plain = contender.partition(":")[0]
    return CONTENDERS.index(plain), contender


def best_peer(summaries: Mapping[str, Summary]) -> str | None:
    """Return the contender beside pixelwise with the highest mean; None where there is none."""
    peers = {name: summary.mean for name, summary in summaries.items() if not name.startswith(OURS)}
    return max(peers, key=lambda name: peers[name]) if peers else None


def scores_table(records: Sequence[Record]) -> str:
    """Return a row per set, time and contender."""
    lines = [
        "| set | score | images | minutes | contender | seeds | mean | 95 % interval | each seed | trained, s | steps "
        "| predicted, s |",
        "|---" * 12 + "|",
    ]
    for (name, seconds), summaries in grouped(records).items():
        measure = MEASURES[name]
        for contender, found in summaries.items():
            low, high = found.interval
            cells = [name, f"{measure.headline}, {measure.part}", len(found.records[0]["images"]), minutes(seconds)]
            cells += [contender, len(found.records), f"{found.mean:.4f}", f"{low:.4f}-{high:.4f}"]
            cells += [", ".join(f"{record['score']:.4f}" for record in found.records)]
            cells += [f"{found.average(fact):.0f}" for fact in ("train_s", "steps", "predict_s")]
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def differences_table(records: Sequence[Record]) -> str:
    """Return a row per comparison: pixelwise less the peer with the highest mean, and its variants less pixelwise."""
    lines = ["| set | minutes | contender | against | difference | 95 % interval | verdict |", "|---" * 7 + "|"]
    for (name, seconds), summaries in grouped(records).items():
        for one, other in comparisons(summaries):
            gap = summaries[one].mean - summaries[other].mean
            low, high = middle(summaries[one].drawn - summaries[other].drawn)
            verdict = "ahead" if low > 0 else "behind" if high < 0 else "open"
            cells = (name, minutes(seconds), one, other, f"{gap:+.4f}", f"{low:+.4f} to {high:+.4f}", verdict)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def comparisons(summaries: Mapping[str, Summary]) -> list[tuple[str, str]]:
    """Return who is compared with whom."""
    if OURS not in summaries:
        return []
    peer = best_peer(summaries)
    variants = [name for name in summaries if name.startswith(f"{OURS}:")]
    first = [(OURS, peer)] if peer is not None else []
    return first + [(variant, OURS) for variant in variants]


def minutes(seconds: int) -> str:
    """Return seconds as minutes, in words."""
    return f"{seconds / 60:.3g}"
