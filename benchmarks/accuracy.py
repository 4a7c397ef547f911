"""The bench that decides: data sets x times x seeds x contenders, scored by `score.py`, as a table with intervals.

    python benchmarks/accuracy.py run --data ../shared/data --out runs/accuracy --peers PEERS --lanes "0,1;2,3"
    python benchmarks/accuracy.py table --out runs/accuracy

And the curve of score against minutes:

    python benchmarks/accuracy.py run --data ../shared/data --out runs/accuracy --peers PEERS --lanes "0,1;2,3"
        --sets isbi2012_em,camvid11 --budgets 1m,2m,5m,10m,20m --seeds 0 --contenders pixelwise,smp-unet-resnet34
    python benchmarks/accuracy.py plot --out runs/accuracy --sets isbi2012_em,camvid11

PEERS is the bin/python of the environment that ../shared/peers/setup.sh makes. A cell of the table is a chain of
processes: train, predict the images of the scored part, score. Nobody sees that part before; what counts as training
time stands in accuracy_parts/contenders.py. All run on the processor, each lane (a list of cores) one cell at a time,
with as many threads as it has cores and with threads that sleep while they wait. Finished cells are lines of
cells.jsonl in --out and are not repeated; a cell that was cut short is begun anew. Logs and masks lie under cells/.

Intervals are the middle 95 % of 4,000 draws of images, and of seeds where there are several, with replacement. In the
second table, of differences, both contenders of a draw have the same images; the best peer is the one with the highest
of the means that are shown, which favours the peers. Three or four images, as in isbi2012_em and chase_db1, say little
about others of their kind. A contender `pixelwise:section.setting=value+...` is pixelwise with these settings.
"""

import argparse
import fcntl
import signal
import sys
from pathlib import Path

from accuracy_parts.contenders import CONTENDERS, OURS, Cell, Place, seconds_in, seen
from accuracy_parts.running import Book, run_lanes
from machine import in_words, limited_to, use_avx2_only
from score import MEASURES

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.progress import Console

STOPPED = 130  # the shell's number for Ctrl-C
PICTURE = Path(__file__).parent / "pictures" / "score_against_minutes.png"


def main() -> None:
    """Run what is missing and print the tables, print them, or draw the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the cells that are missing, then print the tables")
    run.add_argument("--data", type=Path, required=True)
    run.add_argument("--peers", type=Path, help="Python of the environment of the peers")
    run.add_argument("--scripts", type=Path, help="folder of the peers' scripts; by default `peers` beside --data")
    run.add_argument("--budgets", type=seconds_of, default="10m", help="90s, 10m or 1h, with commas between")
    run.add_argument("--first", type=int, metavar="N", help="all learn from the first N images of train alone")
    run.add_argument("--seeds", default="0,1,2")
    run.add_argument("--contenders", default=",".join(CONTENDERS))
    run.add_argument(
        "--avx2", action="store_true", help="keep oneDNN and torch to AVX2 in every process, the peers' too"
    )
    run.add_argument("--warm-cache", action="store_true", help="let pixelwise use what it has measured or fetched")
    run.add_argument("--lanes", default="", help='cores of each lane: "0,1;2,3"; by default one lane with all')
    table = commands.add_parser("table", help="print the tables of what is there")
    plot = commands.add_parser("plot", help="draw score against minutes")
    plot.add_argument("--seed", type=int, default=0)
    plot.add_argument("--picture", type=Path, default=PICTURE)
    for command in (run, table, plot):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--sets", default=",".join(MEASURES))
    chosen = parser.parse_args()
    chosen.sets = chosen.sets.split(",")
    if unknown := [name for name in chosen.sets if name not in MEASURES]:
        parser.error(f"expected sets of {', '.join(MEASURES)}; got {unknown[0]}")
    book = Book(chosen.out / "cells.jsonl")
    try:
        failed = run_missing(parser, chosen, book) if chosen.command == "run" else 0
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        sys.exit(STOPPED)
    if chosen.command == "plot":
        draw_curve(book, chosen.sets, chosen.seed, chosen.picture)
    else:
        print_tables(book, chosen.sets)
    sys.exit(1 if failed else 0)


def run_missing(parser: argparse.ArgumentParser, chosen: argparse.Namespace, book: Book) -> int:
    """Run the cells that the book does not hold; return how many failed."""
    place = Place(
        data=chosen.data.resolve(),
        out=chosen.out.resolve(),
        peers=chosen.peers.absolute() if chosen.peers else None,  # resolved, it would be the Python it was made from
        scripts=(chosen.scripts or chosen.data.parent / "peers").resolve(),
        warm_cache=chosen.warm_cache,
        first=chosen.first,
    )
    if chosen.avx2:
        use_avx2_only()
    wanted = cells_of(parser, chosen)
    place.out.mkdir(parents=True, exist_ok=True)
    with (place.out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            parser.error(f"another process is at work on {place.out}: wait for it, or choose another --out")
        if others := {record.get("limited_to", "") for record in book.records()} - {limited_to()}:
            words = " and ".join(name or "no limit" for name in sorted(others))
            parser.error(f"{place.out} holds cells with {words} on instruction sets: choose another --out")
        if others := {record.get("first") for record in book.records()} - {place.first}:
            words = " and ".join("all" if count is None else f"the first {count}" for count in others)
            parser.error(f"{place.out} holds cells of {words} images: choose another --out")
        there = {(record["set"], record["contender"], record["seconds"], record["seed"]) for record in book.records()}
        missing = [cell for cell in wanted if cell.key not in there]
        progress = Console()
        lanes = lanes_of(chosen.lanes)
        longest = sum(cell.seconds for cell in missing) / len(lanes) / 60
        progress.message(
            f"{len(missing)} cells to run, {len(wanted) - len(missing)} are there; "
            f"their trainings take about {longest:.0f} min, predictions some more."
        )
        for name in chosen.sets:
            seen(place, name)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the trainings end with this process
        return len(run_lanes(missing, lanes, place, book, progress))


def cells_of(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> list[Cell]:
    """Return the cells asked for: a whole table of the first seed, then of the next."""
    contenders = chosen.contenders.split(",")
    for contender in contenders:
        plain, _, words = contender.partition(":")
        if plain not in CONTENDERS or (words and plain != OURS):
            parser.error(f"expected contenders of {', '.join(CONTENDERS)}; got {contender}")
        if plain != OURS and chosen.peers is None:
            parser.error(f"expected --peers PYTHON for {contender}; without it give --contenders {OURS}")
    return [
        Cell(set=name, contender=contender, seconds=seconds, seed=int(seed))
        for seed in chosen.seeds.split(",")
        for seconds in chosen.budgets
        for name in chosen.sets
        for contender in contenders
    ]


def seconds_of(text: str) -> list[int]:
    """Return the seconds of each time in "90s,10m"."""
    return [seconds_in(word) for word in text.split(",")]


def lanes_of(text: str) -> list[frozenset[int] | None]:
    """Return the cores of each lane of "0,1;2,3"; one lane with all cores for an empty text."""
    if not text:
        return [None]
    return [frozenset(int(core) for core in lane.split(",")) for lane in text.split(";")]


def print_tables(book: Book, sets: list[str]) -> None:
    from accuracy_parts.table import differences_table, scores_table

    records = [record for record in book.records() if record["set"] in sets]
    limits = {record["limited_to"] for record in records if record.get("limited_to")}
    print(in_words() + (f"; cells limited to {', '.join(sorted(limits))}" if limits else "") + "\n")
    print(scores_table(records))
    print()
    print(differences_table(records))


def draw_curve(book: Book, sets: list[str], seed: int, picture: Path) -> None:
    from accuracy_parts.picture import draw

    there = {record["set"] for record in book.records() if record["seed"] == seed}
    atomic_write_bytes(picture, draw(book.records(), [name for name in sets if name in there], seed))
    print(f"Picture: {picture}")


if __name__ == "__main__":
    main()
