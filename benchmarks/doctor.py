"""Precision and recall of `pixelwise doctor`, on faults that are planted into copies of the real sets.

    python benchmarks/doctor.py --data ../shared/data [--sets isbi2012_em,chase_db1] [--seeds 3] [--cases 200]

Only training images are used. A planted fault is found if a hard finding of the same kind names its file. A hard
finding on a file without such a fault is false, also if the file had it before. Soft findings are counted with --soft.
The last rows repair every set with `--fix` and read the copy as a training would.
"""

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from machine import in_words
from planted_faults import HARD, SOFT, compare, plant

from pixelwise.datasets.dataset import scan_dataset
from pixelwise.progress import Progress
from pixelwise.workflow.doctor import doctor

SETS = ("isbi2012_em", "dsb2018_nuclei", "camvid11", "magnetic_tile_defects", "chase_db1")


@dataclass
class Tally:
    """Counts by kind of fault."""

    planted: Counter[str] = field(default_factory=Counter[str])
    found: Counter[str] = field(default_factory=Counter[str])
    false: Counter[str] = field(default_factory=Counter[str])
    lines: list[str] = field(default_factory=list[str])


def main() -> None:
    """Print a table per set, and one over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--soft", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    print(in_words())
    total, fixed = Tally(), list[str]()
    for name in chosen.sets.split(","):
        tally = Tally()
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            fixed.append(measure(chosen.data / name, seed, chosen.cases, tally, soft=chosen.soft))
        print(f"\n{name}\n")
        print_table(tally, soft=chosen.soft)
        if chosen.verbose:
            print("\n".join(tally.lines))
        total.planted.update(tally.planted)
        total.found.update(tally.found)
        total.false.update(tally.false)
    print("\nall sets\n")
    print_table(total, soft=chosen.soft)
    print("\n| set | seed | images | faults | seconds | copy: problems | copy: cases |\n|---|---|---|---|---|---|---|")
    print("\n".join(fixed))


def measure(source: Path, seed: int, cases: int, tally: Tally, *, soft: bool) -> str:
    """Plant, diagnose and fix one set; return a row on the corrected copy."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "data"
        images = min(cases, len(list((source / "train" / "images").iterdir())))
        planted = plant(
            source / "train", source, folder, seed=seed, per_kind=4, cases=cases, limit=images // 3, soft=soft
        )
        began = time.monotonic()
        out = Path(temporary) / "fixed"
        found = doctor(folder, fix=out, progress=Progress())
        seconds = time.monotonic() - began
        hits, false = compare(planted, [finding.to_json() for finding in found.findings], soft=soft)
        for finding in false:
            kind, files, text = finding["kind"], finding["files"], finding["text"]
            tally.false[kind] += 1
            there = planted.faults.get(files[0])
            tally.lines.append(f"false: {seed} {kind} {files} {text}; planted there: {there}")
        for file, kind in planted.faults.items():
            tally.planted[kind] += 1
            tally.found[kind] += file in hits
            if file not in hits:
                others = [one.kind for one in found.findings if file in one.files]
                tally.lines.append(f"missed: {seed} {kind} {file}; found there: {others}")
        copy = scan_dataset(out, progress=Progress())
        problems = sum(problem.fatal for problem in copy.problems)
        faults = len(planted.faults)
        row = (source.name, seed, images, faults, f"{seconds:.1f}", problems, len(copy.cases))
        return "| " + " | ".join(map(str, row)) + " |"


def print_table(tally: Tally, *, soft: bool) -> None:
    """Print precision and recall by kind, and of all hard kinds."""
    print("| kind | planted | found | false | precision | recall |\n|---|---|---|---|---|---|")
    for kinds, label in (*(((kind,), kind) for kind in (*HARD, *(SOFT if soft else ()))), (HARD, "all hard kinds")):
        planted, found, false = (
            sum(counts[kind] for kind in kinds) for counts in (tally.planted, tally.found, tally.false)
        )
        precision = f"{found / (found + false):.3f}" if found + false else "-"
        recall = f"{found / planted:.3f}" if planted else "-"
        print(f"| {label} | {planted} | {found} | {false} | {precision} | {recall} |")


if __name__ == "__main__":
    main()
