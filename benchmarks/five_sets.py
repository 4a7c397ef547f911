"""Train on each real data set for the same time, score on test (val where there is no test), and print a table.

    python benchmarks/five_sets.py --data ../shared/data --out runs/five --budget 10m [--sets isbi2012_em,chase_db1]

Everything runs through the command line, as a user would. Sets that have their scores already are not run again.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

SETS = ("isbi2012_em", "dsb2018_nuclei", "camvid11", "magnetic_tile_defects", "chase_db1")
COMMAND = (sys.executable, "-m", "pixelwise")


def main() -> None:
    """Run what is missing, then print one row per set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sets", default=",".join(SETS))
    chosen = parser.parse_args()
    names = chosen.sets.split(",")
    for name in names:
        run_set(chosen.data / name, chosen.out / name, chosen.budget)
    print("| set | part | images | seconds | headline | value | 95 % interval | other scores |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        print(row(name, chosen.out / name))


def run_set(data: Path, run: Path, budget: str) -> None:
    """Train and evaluate one set unless it was done before."""
    if (run / "scores.json").exists():
        return
    started = time.monotonic()
    subprocess.run([*COMMAND, "train", str(data), "--out", str(run), "--budget", budget], check=True)
    seconds = time.monotonic() - started
    (run / "seconds.txt").write_text(f"{seconds:.1f}")
    subprocess.run([*COMMAND, "evaluate", str(run), str(data)], check=True)


def row(name: str, run: Path) -> str:
    """Return a row of the table in Markdown."""
    scores = json.loads((run / "scores.json").read_text())
    head, found = scores["headline"], scores["scores"]
    facts = {"mean Dice": found["pixels"]["mean_dice"], "mean IoU": found["pixels"]["mean_iou"]}
    if objects := found.get("objects"):
        facts |= {"AP@0.5": objects["ap"]["0.50"]["mean"], "AP@0.9": objects["ap"]["0.90"]["mean"], "PQ": objects["pq"]}
    if boundaries := found.get("boundaries"):
        facts |= {"V_rand": boundaries["v_rand"], "V_info": boundaries["v_info"]}
    others = ", ".join(f"{key} {value:.4f}" for key, value in facts.items() if value is not None)
    seconds = float((run / "seconds.txt").read_text())
    interval = f"{head['low']:.4f}-{head['high']:.4f}" if head["low"] is not None else ""
    images = len(scores["cases"])
    cells = (name, scores["part"], images, f"{seconds:.0f}", head["name"], f"{head['value']:.4f}", interval, others)
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
