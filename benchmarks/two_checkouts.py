"""Prediction of plain U-Nets by two checkouts of the source, in turns: whether one is slower than the other.

    python benchmarks/two_checkouts.py BEFORE [AFTER] [--base 16,64] [--rounds 8] [--python-before PYTHON]

BEFORE and AFTER are folders of checkouts (`git worktree add --detach BEFORE cf553ad`); by default AFTER is this one.
Each writes its own model with the same drawn weights and predicts the same drawn image in a process of its own, which
waits while the other computes. Printed are medians of wall-clock and processor seconds, and their ratios; the target is
1.03. An old checkout may need packages that this one does not: `--python-before` names a Python that has them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIDES = {16: 2048, 64: 1024}  # pixels, by the width of the network
WRITE = """
import sys, torch
from pathlib import Path
from prediction_memory import write_model
torch.manual_seed(0)
write_model(Path(sys.argv[1]), int(sys.argv[2]), "classes")
"""
PREDICT = """
import sys, time
import numpy as np
import pixelwise
model = pixelwise.load(sys.argv[1], runtime=sys.argv[2])
image = np.random.default_rng(0).integers(0, 255, (1, int(sys.argv[3]), int(sys.argv[3]))).astype(np.uint8)
model.predict(image)
print("ready", flush=True)
for _ in sys.stdin:
    clock, processor = time.perf_counter(), time.process_time()
    model.predict(image)
    print(time.perf_counter() - clock, time.process_time() - processor, flush=True)
"""


def main() -> None:
    """Measure each width and print a table."""
    here = Path(__file__).parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=here)
    parser.add_argument("--base", default="16,64")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runtime", default="torch")
    parser.add_argument("--python-before", default=sys.executable)
    chosen = parser.parse_args()
    sides = {"before": (chosen.before, chosen.python_before), "after": (chosen.after, sys.executable)}
    print(
        "| base | image | before, s (processor) | after, s (processor) | after / before (processor) |\n"
        "|---|---|---|---|---|"
    )
    for base in map(int, chosen.base.split(",")):
        side = SIDES.get(base, 1024)
        with tempfile.TemporaryDirectory() as name:
            times = take_turns(sides, Path(name), base, side, chosen)
        medians = {
            who: [statistics.median(column) for column in zip(*rows, strict=True)] for who, rows in times.items()
        }
        cells = [f"{clock:.2f} ({processor:.2f})" for clock, processor in medians.values()]
        ratios = [after / before for before, after in zip(medians["before"], medians["after"], strict=True)]
        print(f"| {base} | {side} x {side} | {' | '.join(cells)} | {ratios[0]:.3f} ({ratios[1]:.3f}) |", flush=True)


def take_turns(
    sides: dict[str, tuple[Path, str]], folder: Path, base: int, side: int, chosen: argparse.Namespace
) -> dict[str, list[tuple[float, ...]]]:
    """Return the wall-clock and processor seconds of every prediction."""
    processes = {}
    for who, (checkout, python) in sides.items():
        paths = f"{checkout.resolve() / 'src'}{os.pathsep}{checkout.resolve() / 'benchmarks'}"
        env = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "OMP_NUM_THREADS": str(chosen.threads), "PYTHONPATH": paths}
        model = folder / f"{who}.safetensors"
        subprocess.run([python, "-W", "ignore", "-c", WRITE, model, str(base)], env=env, check=True)
        command = [python, "-W", "ignore", "-c", PREDICT, model, chosen.runtime, str(side)]
        process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes[who] = process
        if answer(process) != "ready":
            raise SystemExit(f"{who} did not start")
    times: dict[str, list[tuple[float, ...]]] = {who: [] for who in processes}
    for number in range(chosen.rounds):
        for who in list(processes)[:: -1 if number % 2 else 1]:
            stream = processes[who].stdin
            assert stream is not None
            stream.write("\n")
            stream.flush()
            times[who].append(tuple(map(float, answer(processes[who]).split())))
    for process in processes.values():
        process.communicate()
    return times


def answer(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


if __name__ == "__main__":
    main()
