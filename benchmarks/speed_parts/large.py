"""One large picture: every side in turns, over threads, and over sizes. See speed.py."""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pixelwise.networks.options import NetworkOptions
from pixelwise.progress import Console
from speed_parts.models import EXPORTS, draw_model, mirrored, picture_of, take_run
from speed_parts.probing import PROBE, PROBE_LIMIT, Estimate, left_out, probe
from speed_parts.sides import OURS, PEERS, PLAIN, Answer, Ask, ask
from speed_parts.tables import Table, spread

Show = Callable[[int, str, Answer], None]
EXACT, FP32, INT8, POINTS = 1e-5, 3.5, 10.0, 0.5  # the bars of the large picture
BARRED = (4096, 16, "plain", 4)  # side, base, encoder and threads that they are for
NAMES = {
    "whole": "PyTorch, whole picture",
    "loop": "PyTorch, loop over windows of {roi}",
    "smp": "smp, loop over windows of {roi}",
    "monai": "MONAI, windows of {roi}, its overlap 0.25",
    "monai-equal": "MONAI, overlap as our halo",
    "nnunet": "nnU-Net, windows of {roi}, no mirroring",
    "nnunet-mirrored": "nnU-Net, windows of {roi}, its mirroring",
    **{name: f"pixelwise, {name}" for name in OURS},
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is predicted and how: the options of the commands."""

    side: int = 4096
    base: int = 16
    encoder: str = "plain"
    rounds: int = 3
    threads: int = 4
    tile: int = 0
    roi: int = 512
    picture: Path | None = None
    run: Path | None = None
    peers: str | None = None
    longest: float = 600.0


def large(scene: Scene, wanted: Sequence[str]) -> Table:
    """Let all sides that are not hopeless predict one picture, in turns, and print each prediction as it comes."""
    with tempfile.TemporaryDirectory() as name:
        folder, console = Path(name), Console()
        sides = _sides(scene, wanted)
        console.message("Writing the model, its exports and the picture.")
        lost = prepare(folder, scene, [side for side in sides if side in OURS])
        sides = [side for side in sides if side not in OURS or (folder / OURS[side][0]).exists()]
        of = next(side for side in ("monai", "loop", *sides) if side in sides)
        sides.sort(key=lambda side: side != of)  # first of each round, so that every row has its ratio
        console.message(
            f"Probing {len(sides)} sides with {PROBE} x {PROBE} pixels, about {PROBE_LIMIT:.0f} s each at most."
        )
        estimates = _probe(folder, scene, sides)
        reasons = left_out(estimates, of, scene.longest)
        console.message(*(f"{NAMES[side].format(roi=scene.roi)}: {reason}." for side, reason in reasons.items()))
        sides = [side for side in sides if side not in reasons]
        seconds = scene.rounds * sum(estimates[side].whole for side in sides)
        each = ", ".join(f"{side} {estimates[side].prediction:.0f} + {estimates[side].start:.0f}" for side in sides)
        console.message(
            f"{len(sides)} sides, {scene.rounds} rounds: about {seconds:.0f} s. Of each (prediction + start): {each}."
        )
        limits = {side: estimates[side].limit for side in sides}
        answers = take_turns(folder, scene, sides, limits, _rows(scene, of))
        for side in sides:
            if side not in answers:
                reasons[side] = f"left out: ended after {limits[side]:.0f} s"
        return _compare(folder, scene, answers, lost, reasons)


def _probe(folder: Path, scene: Scene, sides: Sequence[str]) -> dict[str, Estimate]:
    """Let each side predict a small piece of the picture twice; return how long it will take."""
    piece = folder / "probe.npy"
    np.save(piece, np.load(folder / "picture.npy")[:, :PROBE, :PROBE])

    def small(side: str, limit: float | None) -> Answer:
        try:
            return ask(replace(question(folder, scene, side), picture=piece), limit)
        finally:
            advance(1, side)

    with Console().bar("probing", len(sides)) as advance:
        return probe(sides, small, scene.side, scene.roi, scene.tile or 512)


def _rows(scene: Scene, of: str) -> Show:
    """Return what prints a row per prediction, with its ratio to that of the side `of` in the same round."""
    name = NAMES[of].format(roi=scene.roi)
    table = Table("Each prediction as it came", ["round", "side", "s", f"times {name}", "start, s", "peak memory, GB"])
    table.head()
    first: dict[int, float] = {}

    def show(number: int, side: str, answer: Answer) -> None:
        seconds = answer.seconds[0]
        first.setdefault(number, seconds)
        cells = [str(number + 1), NAMES[side].format(roi=scene.roi), f"{seconds:.2f}", f"{first[number] / seconds:.2f}"]
        table.add(*cells, f"{answer.start:.1f}", f"{answer.peak / 1e9:.2f}")

    return show


def prepare(folder: Path, scene: Scene, sides: Sequence[str]) -> dict[str, float]:
    """Write the model, its exports for `sides` and the picture; return the points of IoU that exports lost."""
    kinds = [kind for kind, file in EXPORTS.items() if any(OURS[side][0] == file for side in sides)]
    lost: dict[str, float] = {}
    if scene.run is not None:
        found, lost = take_run(folder, scene.run, kinds)
        pixels = mirrored(found, scene.side) if scene.picture is None else picture_of(scene.side, scene.picture)
    else:
        pixels = picture_of(scene.side, scene.picture)
        options = NetworkOptions(base=scene.base, in_channels=len(pixels), classes=2, encoder=scene.encoder)
        draw_model(folder, options, pixels, kinds)
    np.save(folder / "picture.npy", pixels)
    return lost


def take_turns(
    folder: Path,
    scene: Scene,
    sides: Sequence[str],
    limits: Mapping[str, float] | None = None,
    show: Show | None = None,
) -> dict[str, list[Answer]]:
    """Return what each side says in each round; every time in a fresh process, one at a time.

    Parameters
    ----------
    folder : Path
    scene : Scene
    sides : sequence of str
    limits : mapping, optional
        Seconds that one process of a side may take: a side that takes longer is left out from then on, and is not
        returned.
    show : callable, optional
        Called with the round, the side and its answer as soon as it is there.
    """
    answers: dict[str, list[Answer]] = {side: [] for side in sides}
    with Console().bar("predicting", len(sides) * scene.rounds) as advance:
        for number in range(scene.rounds):
            for side in list(answers):
                try:
                    answer = ask(question(folder, scene, side), limits[side] if limits else None)
                except TimeoutError:
                    del answers[side]
                    continue
                finally:
                    advance(1, side)
                answers[side].append(answer)
                if show is not None:
                    show(number, side, answer)
    return answers


def question(folder: Path, scene: Scene, side: str) -> Ask:
    """Return what a side is asked."""
    python = scene.peers if side in PEERS and scene.peers else sys.executable
    picture, threads, tile, roi = folder / "picture.npy", scene.threads, scene.tile, scene.roi
    return Ask(side=side, folder=folder, picture=picture, threads=threads, tile=tile, roi=roi, python=python)


def _sides(scene: Scene, wanted: Sequence[str]) -> list[str]:
    """Return the sides that can be measured here; say which are left out."""
    sides = list(wanted) or [*PLAIN, *PEERS, *OURS]
    if scene.encoder == "plain":
        sides = [side for side in sides if side != "smp"]
    if scene.peers is None and any(side in PEERS for side in sides):
        Console().message("Peers are left out: name the Python that has MONAI, smp and nnU-Net with --peers.")
        sides = [side for side in sides if side not in PEERS]
    if "whole" in sides and not _fits(scene):
        Console().message("The whole picture at once does not fit the memory: no masks are compared.")
        sides.remove("whole")
    return sides


def _fits(scene: Scene) -> bool:
    """Tell whether about seven maps of the first stage in float32 fit into what memory is free."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 7 * 4 * scene.base * scene.side**2 < free


def _compare(
    folder: Path,
    scene: Scene,
    answers: dict[str, list[Answer]],
    lost: dict[str, float],
    reasons: Mapping[str, str],
) -> Table:
    of = next((side for side in ("monai", "loop", *answers) if side in answers), "")
    seconds = {side: [answer.seconds[0] for answer in given] for side, given in answers.items()}
    network = f"run {scene.run.name}" if scene.run else f"U-Net, base {scene.base}, encoder {scene.encoder}"
    title = f"{scene.side} x {scene.side} pixels, {network}, {scene.threads} threads, {scene.rounds} rounds"
    ratio = f"times {NAMES[of].format(roi=scene.roi)} (least - most)"
    table = Table(title, ["side", "median, s", ratio, "Mpixel/s", "peak memory, GB", "pixels that differ", "IoU lost"])
    table.head()
    reference = _mask(folder, "whole") if "whole" in answers else None
    for side, given in answers.items():
        median = statistics.median(seconds[side])
        ratios = [other / own for other, own in zip(seconds[of], seconds[side], strict=True)]
        differ = None if reference is None else float((_mask(folder, side) != reference).mean())
        table.add(
            NAMES[side].format(roi=scene.roi),
            f"{median:.2f}",
            spread(ratios),
            f"{scene.side**2 / median / 1e6:.2f}",
            f"{max(answer.peak for answer in given) / 1e9:.2f}",
            _differ(side, differ, scene),
            _lost(side, lost),
            id=side,
            ratio=statistics.median(ratios),
            differ=differ,
            seconds=seconds[side],
            processor=[answer.processor[0] for answer in given],
            start=[answer.start for answer in given],
        )
    for side, reason in reasons.items():
        cells = [NAMES[side].format(roi=scene.roi), reason, *["-"] * (len(table.columns) - 2)]
        table.add(*cells, id=side, ratio=None, differ=None, left_out=reason)
    _judge(scene, table, of, lost)
    return table


def _differ(side: str, share: float | None, scene: Scene) -> str:
    if share is None or (side == "openvino-int8" and scene.run is None):
        return "-"  # drawn weights hold no margin that int8 could keep
    return f"{share:.1e}" if share else "0"


def _lost(side: str, lost: dict[str, float]) -> str:
    if side in lost:
        return f"{round(lost[side], 2) + 0.0:.2f} points"  # + 0.0: not -0.00
    return "see parity report" if side == "openvino-int8" else "-"


def _judge(scene: Scene, table: Table, of: str, lost: dict[str, float]) -> None:
    """Say whether the bars are held: the quickest exact side, and int8."""
    table.note(
        "Differing pixels are counted against the network on the whole picture at once, in float32. With drawn weights "
        "they say nothing of int8, and mirroring changes what a network that has not learned says."
    )
    exact = [row for row in table.rows if row["id"] in OURS and row["differ"] is not None and row["differ"] <= EXACT]
    best = max(exact, key=lambda row: row["ratio"], default=None)
    if of != "monai" or (scene.side, scene.base, scene.encoder, scene.threads) != BARRED:
        table.note("The bars are for 4096 x 4096, base 16, 4 threads, against MONAI: not judged here.")
        return
    if best is not None:
        held = "held" if best["ratio"] >= FP32 else "missed"
        table.note(f"Bar {FP32} times with exact tiles: {held} ({best['side']}, {best['ratio']:.2f} times).")
    for row in table.rows:
        if row["id"] == "openvino-int8" and row["ratio"] is not None:
            fast, good = row["ratio"] >= INT8, lost.get("openvino-int8", 0.0) <= POINTS
            known = "" if "openvino-int8" in lost else "; the loss of IoU was not measured here"
            word = "held" if fast and good else "missed"
            table.note(f"Bar {INT8:g} times in int8 with {POINTS} points: {word} ({row['ratio']:.2f} times{known}).")


def _mask(folder: Path, side: str) -> np.ndarray:
    return np.load(folder / f"{side}.npy")
