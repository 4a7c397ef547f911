"""The first ten minutes on an ordinary machine, also a busy one: the demo and short budgets beside a load of its own.

    python benchmarks/street.py demo --out runs/street [--loads 0,2,6]
    python benchmarks/street.py clone --out runs/street          git clone of this checkout, and make demo there
    python benchmarks/street.py budgets --out runs/street --data ../shared/data [--no-reference]
        [--sets dsb2018_nuclei,isbi2012_em] [--budgets 60s,2m,5m] [--loads 0,2,6]
    python benchmarks/street.py all --out runs/street --data ../shared/data
    python benchmarks/street.py table --out runs/street                   the tables of what is there

The load is made here: so many processes with one busy thread each, on the cores that this process may use (taskset
gives it fewer). They run while the command does and are gone after it. Beside the load that was asked for stands the
mean number of threads that were runnable on the whole machine, those of the command among them.

A cell is an ordinary command in a process of its own; wall time goes from before its start to its end. Its folder of
what was measured before (PIXELWISE_CACHE) is new and empty, unless --warm-cache is given. Trainings see neither the
test part nor the part that is scored; that part is predicted afterwards, without load, and scored by score.py. A
reference trains the same plan with the same number of steps, without a budget and without load. A clone holds what is
committed, and is set up by the Python that runs this bench.

Finished cells are lines of cells.jsonl in --out and are not repeated; one that was cut short is begun anew. Called
again without --no-reference, `budgets` makes the references that are missing.
"""

import argparse
import fcntl
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from accuracy import seconds_of
from accuracy_parts.contenders import Place
from accuracy_parts.running import Book, Children
from machine import in_words, limited_to, use_avx2_only
from score import MEASURES
from street_parts.cells import Record, Street, StreetCell, run_cell
from street_parts.table import print_bars, row_of, table_of

from pixelwise.progress import Console, Progress

STOPPED = 130  # the shell's number for Ctrl-C
TABLES = (("demo", "clone"), ("budget",), ("reference",))  # kinds that share a table, in this order


def main() -> None:
    """Measure the cells that are missing, row by row, and judge the bars."""
    parser, chosen = arguments()
    if chosen.avx2:
        use_avx2_only()
    out: Path = chosen.out.resolve()
    data = chosen.data.resolve() if getattr(chosen, "data", None) else out
    place = Place(data=data, out=out, warm_cache=getattr(chosen, "warm_cache", False))
    book, cells = Book(out / "cells.jsonl"), cells_of(chosen)
    if chosen.command == "table":
        cells = [cell_of(record) for record in book.records()]
    else:
        if others := {record["limited_to"] for record in book.records()} - {limited_to()}:
            words = " and ".join(name or "no limit" for name in sorted(others))
            parser.error(f"{out} holds cells with {words} on instruction sets: choose another --out")
        out.mkdir(parents=True, exist_ok=True)
    print(f"{in_words()}\n\n`python benchmarks/street.py {shlex.join(sys.argv[1:])}`", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that load and commands end with this process
    street = Street(place=place, words=getattr(chosen, "demo_words", "").split())
    try:
        failed = 0 if chosen.command == "table" else measure_all(parser, cells, street, book)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        sys.exit(STOPPED)
    if chosen.command == "table":
        print_tables(cells, book)
    print_bars(book.records(), cells)
    sys.exit(1 if failed else 0)


def arguments() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("demo", "clone", "budgets", "all", "table"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--avx2", action="store_true", help="keep oneDNN and torch to AVX2 in every process")
        if name != "table":
            command.add_argument("--warm-cache", action="store_true", help="let commands use what was measured before")
        if name in ("demo", "budgets", "all"):
            command.add_argument("--loads", type=numbers, default=[0, 2, 6], help="competing processes")
        if name in ("demo", "all"):
            command.add_argument("--demo-words", default="", help="more words for `pixelwise demo`, to try the bench")
        if name in ("budgets", "all"):
            command.add_argument("--data", type=Path, required=True)
            command.add_argument("--sets", default="dsb2018_nuclei,isbi2012_em")
            command.add_argument("--budgets", type=seconds_of, default="60s,2m,5m")
            command.add_argument("--no-reference", action="store_true", help="leave out the same number of steps")
    chosen = parser.parse_args()
    chosen.sets = chosen.sets.split(",") if "sets" in chosen else []
    if unknown := [name for name in chosen.sets if name not in MEASURES]:
        parser.error(f"expected sets of {', '.join(MEASURES)}; got {unknown[0]}")
    return parser, chosen


def numbers(text: str) -> list[int]:
    """Read numbers with commas between."""
    return [int(word) for word in text.split(",")]


def cells_of(chosen: argparse.Namespace) -> list[StreetCell]:
    """Return the cells that a command asks for; references come last."""
    cells: list[StreetCell] = []
    if chosen.command in ("demo", "all"):
        cells += [StreetCell(kind="demo", load=load) for load in chosen.loads]
    if chosen.command in ("clone", "all"):
        cells.append(StreetCell(kind="clone"))
    if chosen.command in ("budgets", "all"):
        trained = [
            StreetCell(kind="budget", set=name, seconds=seconds, load=load)
            for seconds in chosen.budgets
            for name in chosen.sets
            for load in chosen.loads
        ]
        cells += trained
        if not chosen.no_reference:
            cells += [StreetCell(kind="reference", set=c.set, seconds=c.seconds, load=c.load) for c in trained]
    return cells


def cell_of(record: Record) -> StreetCell:
    """Return the cell of a record."""
    return StreetCell(kind=record["kind"], set=record["set"], seconds=record["seconds"], load=record["load"])


def measure_all(parser: argparse.ArgumentParser, cells: Sequence[StreetCell], street: Street, book: Book) -> int:
    """Measure what the book does not hold, and print each row as it comes; return how many cells failed."""
    with (street.place.out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            parser.error(f"another process is at work on {street.place.out}: wait for it, or choose another --out")
        progress, there = Console(), {cell_of(record) for record in book.records()}
        missing = [cell for cell in cells if cell not in there]
        minutes = sum(cell.expected for cell in missing) / 60
        progress.message(
            f"{len(missing)} cells to run, {len(cells) - len(missing)} are there; about {minutes:.0f} min."
        )
        return sum(_print_table(kinds, cells, street, book, progress) for kinds in TABLES)


def print_tables(cells: Sequence[StreetCell], book: Book) -> None:
    """Print the rows of cells that the book holds."""
    for kinds in TABLES:
        if rows := [record for record in book.records() if record["kind"] in kinds and cell_of(record) in cells]:
            table = table_of(kinds[0])
            table.head()
            for record in rows:
                table.add(*row_of(record, book.records()))


def _print_table(
    kinds: Sequence[str], cells: Sequence[StreetCell], street: Street, book: Book, progress: Progress
) -> int:
    """Measure the cells of one table and print their rows; return how many failed."""
    asked, failed = [cell for cell in cells if cell.kind in kinds], 0
    if not asked:
        return 0
    table, children = table_of(kinds[0]), Children()
    table.head()
    for cell in asked:
        record = next((record for record in book.records() if cell_of(record) == cell), None)
        if record is None:
            progress.message(f"{cell.name}: about {cell.expected} s.")
            try:
                record = run_cell(cell, street, children)
            except (RuntimeError, OSError, ValueError) as error:  # told, and the other cells are measured
                progress.message(f"{cell.name} failed: {error}")
                failed += 1
                continue
            book.add(record)
        table.add(*row_of(record, book.records()))
    return failed


if __name__ == "__main__":
    main()
