"""From a set with 60 planted faults to a trained model: one diagnosis, one fix, one training, all by the command line.

    python benchmarks/repair.py --data ../shared/data/dsb2018_nuclei --out runs/repair [--faults 60] [-- --budget 10m]

The faults are planted into copies of training images. `doctor --fix` must name all in one pass, and write a copy;
`train` must refuse the faulty folder, and take the copy without a flag. For comparison the same images without faults
are trained too; both models are evaluated on the test images of the original set. Exit code 1 if a fault was not found,
or if one of the commands did not do its part.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from machine import in_words
from planted_faults import TABLES, Planted, compare, plant

COMMAND = (sys.executable, "-m", "pixelwise")
REFUSED = 2  # exit code of a data set that cannot be used


class Done(NamedTuple):
    """What a command printed as JSON, its exit code, and how long it took."""

    result: dict[str, Any]
    code: int
    seconds: float


def main() -> None:
    """Plant, diagnose, fix, train and evaluate; print what came of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=180)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("words", nargs="*", default=["--steps", "100"], help="for `train`, after --")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.out, ignore_errors=True)
    print(in_words())
    faulty, fixed = chosen.out / "faulty", chosen.out / "fixed"
    planted = plant_into(chosen.data, faulty, chosen.seed, chosen.cases, chosen.faults)
    clean = plant_into(chosen.data, chosen.out / "clean", chosen.seed, chosen.cases, 0).folder
    refused = run("train", faulty, "--out", chosen.out / "none", *chosen.words, expected=REFUSED)
    diagnosis = run("doctor", faulty, "--fix", fixed, "--json")
    found, false = compare(planted, diagnosis.result.get("findings", []), soft=True)
    rows = [train(name, folder, chosen) for name, folder in (("fixed", fixed), ("without faults", clean))]
    print(table(planted, found))
    print(
        f"\n{len(found)} of {len(planted.faults)} faults of {len(set(planted.faults.values()))} kinds found, "
        f"{len(false)} false findings, in {diagnosis.seconds:.0f} s; train on the faulty set: exit code {refused.code}"
    )
    print("\n| trained on | images | steps | headline | test | seconds |\n|---|---|---|---|---|---|")
    print("\n".join(row for row, _ in rows))
    complete = len(found) == len(planted.faults) and refused.code == REFUSED and diagnosis.code == 0
    sys.exit(not (complete and all(good for _, good in rows)))


def plant_into(data: Path, folder: Path, seed: int, cases: int, faults: int) -> Planted:
    """Copy training images, with faults of each kind."""
    return plant(data / "train", data, folder, seed=seed, per_kind=faults, cases=cases, limit=faults, soft=True)


def run(*words: object, expected: int = 0) -> Done:
    """Run a command of pixelwise; show what it says if its exit code is not the expected one."""
    began = time.monotonic()
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != expected:
        print(done.stderr, file=sys.stderr)
    result = json.loads(done.stdout) if "--json" in words and done.stdout else {}
    return Done(result, done.returncode, time.monotonic() - began)


def train(name: str, folder: Path, chosen: argparse.Namespace) -> tuple[str, bool]:
    """Train on a folder and evaluate on the test images of the original set; return a row, and whether it worked.

    A model that is not useful, as after a very short budget, is evaluated too.
    """
    target = chosen.out / f"run_{folder.name}"
    trained = run("train", folder, "--out", target, *chosen.words)
    test = chosen.out / "test"
    if not test.exists():
        shutil.copytree(chosen.data / "test", test / "test")
        for table_name in TABLES:
            if (chosen.data / table_name).is_file():
                shutil.copy(chosen.data / table_name, test)
    scored = run("evaluate", target, test) if (target / "model.safetensors").is_file() else trained
    if scored.code:
        return f"| {name} | | | | exit code {trained.code}, {scored.code} | |", False
    splits = json.loads((target / "splits.json").read_text("utf-8"))
    images = sum(len(splits["cases"][part]) for part in ("train", "val"))
    steps = json.loads((target / "summary.json").read_text("utf-8"))["steps"]
    headline = json.loads((target / "scores.json").read_text("utf-8"))["headline"]
    cells = (name, images, steps, headline["name"], f"{headline['value']:.3f}", f"{trained.seconds:.0f}")
    return "| " + " | ".join(map(str, cells)) + " |", trained.code == 0


def table(planted: Planted, found: set[str]) -> str:
    """Return a table of the kinds of faults."""
    kinds = Counter(planted.faults.values())
    hits = Counter(planted.faults[file] for file in found)
    rows = [f"| {kind} | {count} | {hits[kind]} |" for kind, count in sorted(kinds.items())]
    return "\n".join(["\n| kind | planted | found |", "|---|---|---|", *rows])


if __name__ == "__main__":
    main()
