"""The curve: score against minutes of training, for pixelwise and the best peer."""

from collections.abc import Mapping, Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from score import MEASURES

from accuracy_parts.contenders import OURS
from accuracy_parts.table import Record, Summary, best_peer, grouped, minutes

TONES = ("#0072B2", "#D55E00")  # Okabe & Ito


def draw(records: Sequence[Record], sets: Sequence[str], seed: int) -> bytes:
    """Draw a panel per set from the records of one seed; return the bytes of a PNG.

    The best peer is the one with the highest mean in the longest time in which pixelwise and a peer were measured.
    Points stand at the time that was trained for, not at the time that was given; bands are 95 % intervals over images.
    """
    chosen = grouped([record for record in records if record["seed"] == seed and record["set"] in sets])
    figure = Figure(figsize=(4.8 * len(sets), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        panel(axis, name, {seconds: found for (where, seconds), found in chosen.items() if where == name})
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def panel(axis: Axes, name: str, by_time: Mapping[int, Mapping[str, Summary]]) -> None:
    """Draw one set."""
    peers = [best_peer(found) for _, found in sorted(by_time.items()) if OURS in found]
    known = [peer for peer in peers if peer is not None]
    for contender, tone in zip((OURS, *known[-1:]), TONES, strict=False):
        line = [found[contender] for _, found in sorted(by_time.items()) if contender in found]
        trained = [summary.average("train_s") / 60 for summary in line]
        axis.plot(trained, [summary.mean for summary in line], color=tone, linewidth=2, marker="o", label=contender)
        bounds = [summary.interval for summary in line]
        axis.fill_between(trained, [low for low, _ in bounds], [high for _, high in bounds], color=tone, alpha=0.15)
    axis.set_xscale("log")
    axis.set_xticks([seconds / 60 for seconds in sorted(by_time)], [minutes(seconds) for seconds in sorted(by_time)])
    axis.set_xticks([], minor=True)
    axis.set_title(f"{name}: {MEASURES[name].headline} on {MEASURES[name].part}", fontsize=10, loc="left")
    axis.set_xlabel("minutes of training", fontsize=10)
    axis.legend(fontsize=9, frameon=False, loc="lower right")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
