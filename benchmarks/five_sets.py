"""Train on each real data set for the same time, score on test (val where there is no test), and print a table.

    python benchmarks/five_sets.py --data ../shared/data --out runs/five --budget 10m [--sets isbi2012_em,chase_db1]

Everything runs through the command line, as a user would. Called again, it goes on where it was stopped: sets that have
their scores are not run again, and a training that was cut short is continued. A set that fails leaves the others be.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SETS = ("isbi2012_em", "dsb2018_nuclei", "camvid11", "magnetic_tile_defects", "chase_db1")
COMMAND = (sys.executable, "-m", "pixelwise")


def main() -> None:
    """Run what is missing, then print one row per set; exit with 1 when a set failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sets", default=",".join(SETS))
    chosen = parser.parse_args()
    names = chosen.sets.split(",")
    failed = [name for name in names if not run_set(chosen.data / name, chosen.out / name, chosen.budget)]
    print("| set | part | images | seconds | headline | value | 95 % interval | other scores |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        print(f"| {name} | failed |" if name in failed else row(name, chosen.out / name))
    sys.exit(1 if failed else 0)


def run_set(data: Path, run: Path, budget: str, words: Sequence[str] = ()) -> bool:
    """Train and evaluate one set unless it was done before; say whether it is done. `words` go to `train`."""
    if (run / "scores.json").exists():
        return True
    try:
        if not (run / "seconds.txt").exists():
            train_set(data, run, budget, words)
        subprocess.run([*COMMAND, "evaluate", str(run), str(data)], check=True)
    except subprocess.CalledProcessError:
        return False  # the command has said why
    return True


def train_set(data: Path, run: Path, budget: str, words: Sequence[str] = ()) -> None:
    """Train one set, or continue its training; seconds.txt, the time of all attempts, appears when it is finished."""
    so_far = run / "seconds_so_far.txt"
    earlier = float(so_far.read_text(encoding="utf-8")) if so_far.exists() else 0.0
    how = ["--resume"] if (run / "config.yaml").exists() else ["--budget", budget, *words]
    started = time.monotonic()
    try:
        subprocess.run([*COMMAND, "train", str(data), "--out", str(run), *how], check=True)
    finally:
        if (run / "config.yaml").exists():  # a refused training leaves no folder
            so_far.write_text(f"{earlier + time.monotonic() - started:.1f}", encoding="utf-8")
    so_far.rename(run / "seconds.txt")


def row(name: str, run: Path) -> str:
    """Return a row of the table in Markdown."""
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    head, found = scores["headline"], scores["scores"]
    facts = {"mean Dice": found["pixels"]["mean_dice"], "mean IoU": found["pixels"]["mean_iou"]}
    if objects := found.get("objects"):
        facts |= {"AP@0.5": objects["ap"]["0.50"]["mean"], "AP@0.9": objects["ap"]["0.90"]["mean"], "PQ": objects["pq"]}
    if boundaries := found.get("boundaries"):
        facts |= {"V_rand": boundaries["v_rand"], "V_info": boundaries["v_info"]}
    others = ", ".join(f"{key} {value:.4f}" for key, value in facts.items() if value is not None)
    seconds = float((run / "seconds.txt").read_text(encoding="utf-8"))
    interval = f"{head['low']:.4f}-{head['high']:.4f}" if head["low"] is not None else ""
    images = len(scores["cases"])
    cells = (name, scores["split"], images, f"{seconds:.0f}", head["name"], f"{head['value']:.4f}", interval, others)
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
