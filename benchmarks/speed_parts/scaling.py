"""How the time of a prediction grows: over threads, and over the size of the picture. See speed.py."""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pixelwise.progress import Console
from speed_parts.large import NAMES, Scene, prepare, question, take_turns
from speed_parts.models import picture_of
from speed_parts.sides import OURS, Answer, ask
from speed_parts.tables import Table

LITTLE = 2**22  # pixels: smaller pictures are predicted several times in a process


def over_threads(scene: Scene, sides: Sequence[str], threads: Sequence[int]) -> Table:
    """Predict one picture with more and more threads."""
    found: dict[int, dict[str, list[Answer]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, scene, [side for side in sides if side in OURS])
        for count in threads:
            found[count] = take_turns(folder, replace(scene, threads=count), sides)
    title = f"Over threads: {scene.side} x {scene.side} pixels, base {scene.base}, {scene.rounds} rounds"
    columns = ["side", *(f"{count} threads, s" for count in threads), f"times {threads[0]}", "share of linear"]
    table = Table(title, columns)
    table.head()
    for side in sides:
        seconds = [statistics.median(answer.seconds[0] for answer in found[count][side]) for count in threads]
        times = [seconds[0] / value for value in seconds]
        shares = [time * threads[0] / count for time, count in zip(times, threads, strict=True)]
        table.add(
            NAMES[side].format(roi=scene.roi),
            *(f"{value:.2f}" for value in seconds),
            ", ".join(f"{time:.2f}" for time in times),
            ", ".join(f"{share:.0%}" for share in shares),
            seconds=seconds,
        )
    return table


def over_sizes(scene: Scene, sides: Sequence[str], lengths: Sequence[int]) -> Table:
    """Predict pictures of growing sides."""
    title = f"Over sizes: base {scene.base}, {scene.threads} threads, {scene.rounds} rounds; larger ones: huge.py"
    table = Table(title, ["picture", "side", "median, s", "seconds per Mpixel", "peak memory, GB"])
    table.head()
    with tempfile.TemporaryDirectory() as name, Console().bar("predicting", len(lengths) * len(sides)) as advance:
        folder = Path(name)
        prepare(folder, replace(scene, side=lengths[0]), [side for side in sides if side in OURS])
        for length in lengths:
            np.save(folder / "picture.npy", picture_of(length, scene.picture))
            for side in sides:
                calls = max(1, min(9, LITTLE // length**2))
                asked = replace(question(folder, scene, side), calls=calls)
                answers = [ask(asked) for _ in range(scene.rounds)]
                median = statistics.median(statistics.median(answer.seconds) for answer in answers)
                advance(1, f"{side}, {length}")
                table.add(
                    f"{length:,} x {length:,}",
                    NAMES[side].format(roi=scene.roi),
                    f"{median:.3f}",
                    f"{median / length**2 * 1e6:.3f}",
                    f"{max(answer.peak for answer in answers) / 1e9:.2f}",
                    seconds=[answer.seconds for answer in answers],
                )
    return table
