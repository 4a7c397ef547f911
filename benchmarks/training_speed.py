"""Training speed of `pixelwise train`, everything included, against the bare loop on the same network, in one run.

    python benchmarks/training_speed.py --base 16 --steps 60 --repeats 3

The rival is eager PyTorch as one would write it: NCHW, float32, forward, cross-entropy, backward, AdamW step on one
fixed batch, without any data pipeline. Ours reads PNG files and pays for loading, augmentation, loss, averaged
weights, validation, film and checkpoints; its time is that of the loop (start-up and planning left out). The two take
turns; medians and their ratio are printed. `--precision` fixes ours to float32, or leaves it to the plan.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from pixelwise.engine.machine import look_at_machine
from pixelwise.images.synthetic import write_demo
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.progress import Progress
from pixelwise.workflow import training
from pixelwise.workflow.config import load_config
from pixelwise.workflow.train import train

BATCH, SIDE = 4, 256


def bare_loop(base: int, steps: int) -> float:
    """Return images per second of the bare loop."""
    torch.manual_seed(0)
    network = build(NetworkOptions(base=base)).train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    images, targets = torch.randn(BATCH, 1, SIDE, SIDE), torch.randint(2, (BATCH, SIDE, SIDE))
    started = 0.0
    for index in range(steps + 2):
        if index == 2:  # the first two warm up
            started = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), targets).backward()
        optimiser.step()
    return steps * BATCH / (time.perf_counter() - started)


def whole_training(data: Path, out: Path, base: int, steps: int, precision: str | None) -> float:
    """Return images per second of the whole loop of `pixelwise.train`."""
    words = [f"network.base={base}", "network.depth=4", f"patches.batch={BATCH}"]
    words += [f"patches.height={SIDE}", f"patches.width={SIDE}", "target.kind=components", "network.classes=2"]
    # two looks at the validation images and one checkpoint: about what ten minutes of training have per minute
    words += [f"training.validate_every={steps // 2}", f"training.checkpoint_every={steps}"]
    words += [f"training.precision={precision}"] if precision else []
    spans: list[float] = []
    go = training.Training.go

    def timed(self: training.Training) -> None:
        started = time.perf_counter()
        go(self)
        spans.append(time.perf_counter() - started)

    training.Training.go = timed
    try:
        train(data, out=out, steps=steps, overrides=words, progress=Progress())
    finally:
        training.Training.go = go
    return steps * BATCH / spans[0]


def main() -> None:
    """Measure both in turns and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default=None)
    chosen = parser.parse_args()
    machine = look_at_machine("cpu")
    planned: list[str] = []
    bare: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "cells"
        write_demo(data, train=24, val=6, test=0, size=SIDE)
        for repeat in range(chosen.repeats):
            bare.append(bare_loop(chosen.base, max(4, chosen.steps // 3)))
            out = Path(folder) / f"run-{repeat}"
            ours.append(whole_training(data, out, chosen.base, chosen.steps, chosen.precision))
            planned.append(load_config(out / "config.yaml").training.precision)
    ratio = statistics.median(o / b for o, b in zip(ours, bare, strict=True))
    print("| base | precision | threads | bare loop, images/s | pixelwise train, images/s | ratio |")
    print("|---|---|---|---|---|---|")
    precision = chosen.precision or f"planned: {', '.join(sorted(set(planned)))}"
    cells = (
        chosen.base,
        precision,
        machine.threads,
        f"{statistics.median(bare):.2f}",
        f"{statistics.median(ours):.2f}",
    )
    print("| " + " | ".join(str(cell) for cell in cells) + f" | {ratio:.2f} |")


if __name__ == "__main__":
    main()
