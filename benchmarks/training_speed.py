"""Training speed of `pixelwise train`, everything included, against the bare loop on the same network, in one run.

    python benchmarks/training_speed.py --base 16 --steps 240 --repeats 3

The rival is eager PyTorch as one would write it: NCHW, float32, forward, cross-entropy, backward, AdamW step on one
fixed batch, without any data pipeline; its first two steps warm up and do not count. Ours is the whole training: PNG
files are read, patches drawn and warped, weights averaged, and looks at the validation images, snapshots, curve,
model and checkpoints are written as often as the plan of a ten-minute run does per step. Its clock starts before the
first file is read and stops after the last one is written; only what the plan does before (imports, looking at the
data, the speed probe) is outside.

Each side runs in a process of its own, so that neither inherits the other's allocator or thread settings; the two take
turns. Medians and the median of the ratios are printed. `--precision` fixes ours to float32, or leaves it to the plan.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH, SIDE = 4, 256


def bare_loop(base: int, steps: int) -> float:
    """Return images per second of the bare loop."""
    import torch

    from pixelwise.networks.architectures import NetworkOptions, build

    torch.manual_seed(0)
    network = build(NetworkOptions(base=base)).train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    images, targets = torch.randn(BATCH, 1, SIDE, SIDE), torch.randint(2, (BATCH, SIDE, SIDE))
    started = 0.0
    for index in range(steps + 2):
        if index == 2:
            started = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), targets).backward()
        optimiser.step()
    return steps * BATCH / (time.perf_counter() - started)


def whole_training(data: Path, out: Path, base: int, steps: int, precision: str | None) -> tuple[float, str]:
    """Return images per second of the training of `pixelwise.train`, reading included, and its precision."""
    from pixelwise.progress import Progress
    from pixelwise.workflow import train as verb
    from pixelwise.workflow.fit.loop import Training

    words = [f"network.base={base}", "network.depth=4", f"patches.batch={BATCH}"]
    words += [f"patches.height={SIDE}", f"patches.width={SIDE}", "target.kind=components", "network.classes=2"]
    words += [f"training.precision={precision}"] if precision else []
    began: list[float] = []

    class Timed(Training):
        """A training that notes when it begins to read."""

        def __init__(self, *given: object) -> None:
            began.append(time.perf_counter())
            super().__init__(*given)  # type: ignore[arg-type]

    verb.Training = Timed  # type: ignore[attr-defined]
    run = verb.train(data, out=out, steps=steps, overrides=words, progress=Progress())
    seconds = time.perf_counter() - began[0]
    return steps * BATCH / seconds, run.config.training.precision


def one_side(arguments: list[str]) -> dict[str, float | str]:
    """Run this file for one side in a process of its own and return what it measured."""
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def compare(chosen: argparse.Namespace) -> None:
    """Measure both in turns and print a row."""
    from pixelwise.datasets.synthetic import write_demo
    from pixelwise.runtimes.machine import detect_machine

    bare: list[float] = []
    ours: list[float] = []
    planned: set[str] = set()
    sizes = ["--base", str(chosen.base)]
    fixed = ["--precision", chosen.precision] if chosen.precision else []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cells"
        write_demo(data, train=24, val=6, test=0, size=SIDE)
        for repeat in range(chosen.repeats):
            few = str(max(4, chosen.steps // 8))
            bare.append(float(one_side(["--side", "bare", *sizes, "--steps", few])["speed"]))
            out = str(Path(folder) / f"run-{repeat}")
            steps = ["--steps", str(chosen.steps), "--data", str(data), "--out", out]
            found = one_side(["--side", "ours", *sizes, *steps, *fixed])
            ours.append(float(found["speed"]))
            planned.add(str(found["precision"]))
            print(f"bare {bare[-1]:.2f}, ours {ours[-1]:.2f} images/s", file=sys.stderr)
    ratios = [o / b for o, b in zip(ours, bare, strict=True)]
    print("| base | precision | threads | bare loop, images/s | pixelwise train, images/s | ratio (each repeat) |")
    print("|---|---|---|---|---|---|")
    precision = chosen.precision or f"planned: {', '.join(sorted(planned))}"
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"| {chosen.base} | {precision} | {detect_machine('cpu').threads} | {statistics.median(bare):.2f} | "
        f"{statistics.median(ours):.2f} | {statistics.median(ratios):.2f} ({each}) |"
    )


def main() -> None:
    """Compare, or (called by the comparison) measure one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default=None)
    for name in ("--side", "--data", "--out"):
        parser.add_argument(name, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side == "bare":
        print(json.dumps({"speed": bare_loop(chosen.base, chosen.steps)}))
    elif chosen.side == "ours":
        speed, precision = whole_training(
            Path(chosen.data), Path(chosen.out), chosen.base, chosen.steps, chosen.precision
        )
        print(json.dumps({"speed": speed, "precision": precision}))
    else:
        compare(chosen)


if __name__ == "__main__":
    main()
