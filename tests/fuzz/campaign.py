"""Mutated files of every format, in millions: a case costs what its readers cost.

    PYTHONPATH=src:tests python -m fuzz.campaign --cases 1000000 --seed 24 --out DIR

Cases are numbered: seed, format and number give the same contents again. They run in a child process, a batch at a
time, which is replaced if a library ends it. The format with the smallest product of cases and seconds is next: fast
formats have more cases, slow ones more time. Wrong are a foreign exception, a refusal of several lines, more than five
seconds, 500 MB, and an ended process. The contents of failures are written to DIR, and the same command goes on where
it was ended.
"""

import argparse
import ctypes
import faulthandler
import json
import logging
import mmap
import os
import random
import re
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fuzz.mutations import Hang, limited, places, replaced
from fuzz.subjects import Subject, make_subjects
from pixelwise.inference.memory import peak_memory

MEMORY = 500 * 10**6  # bytes by which a case may raise the peak of its process
BATCH = 2_000  # cases of one child process
FEW = 3  # failures of one kind whose contents are kept
NUMBERS = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x01", b"-1", b"1e999", b"nan", b"9" * 30, b"<", b">", b'"', b"\n")


def mutated(rng: random.Random, subject: Subject) -> bytes:
    """Return contents of a format with some changes."""
    whole = rng.choice(subject.wholes)
    if subject.values and rng.random() < 0.6:
        value = json.loads(whole)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            value = replaced(value, rng.choice(places(value)), rng.choice(subject.values))
        return json.dumps(value).encode("utf-8", "surrogatepass")
    content = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        _change(rng, content, subject.words)
    return bytes(content)


def _change(rng: random.Random, content: bytearray, words: Sequence[bytes]) -> None:
    """Change some bytes in place: most faults are in headers, so half of the changes are."""
    size = len(content)
    at = rng.randrange(min(size, 200) if rng.random() < 0.5 else size) if size else 0
    kind = rng.random()
    if kind < 0.45:
        content[at : at + 1] = bytes([rng.randrange(256)])
    elif kind < 0.6:
        width = rng.choice((1, 2, 4, 8))
        content[at : at + width] = rng.choice(NUMBERS)[:1] * width
    elif kind < 0.72:
        content[at:at] = rng.choice([*words, *NUMBERS])
    elif kind < 0.82:
        del content[at : at + rng.choice((1, 2, 4, 16, 64))]
    elif kind < 0.9:
        start = rng.randrange(size) if size else 0
        content[at:at] = content[start : start + rng.choice((1, 4, 16, 64))]
    elif kind < 0.95:
        del content[at:]
    elif size:
        content[at : at + 1] = bytes([content[at] ^ 1 << rng.randrange(8)])


def contents_of(seed: int, subject: Subject, number: int) -> bytes:
    """Return the contents of a case."""
    return mutated(random.Random(f"{seed} {subject.name} {number}"), subject)


def fault_of(subject: Subject, contents: bytes, memory: int = MEMORY) -> str:
    """Return what is wrong with how contents are read; empty if nothing is."""
    subject.put(contents)
    before = peak_memory()
    for read in subject.readers:
        try:
            with limited():
                read()
        except subject.refusals as error:
            if "\n" in str(error) and isinstance(error, subject.refusals[0]):
                return "a refusal of several lines"
        except Hang:
            return "a hang"
        except BaseException as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
        if peak_memory() - before > memory:
            return f"a peak of {(peak_memory() - before) / 1e6:.0f} MB"
    return ""


class Ledger:
    """Numbers of cases and seconds of each format, and the case in progress, shared with child processes."""

    def __init__(self, formats: int) -> None:
        self._memory = mmap.mmap(-1, 8 * (2 * formats + 2))
        double, integer = ctypes.c_double * formats, ctypes.c_int64 * formats
        self.seconds = double.from_buffer(self._memory)
        self.counts = integer.from_buffer(self._memory, 8 * formats)
        self.current = (ctypes.c_int64 * 2).from_buffer(self._memory, 16 * formats)  # format; whether in progress


def run_batch(subjects: Sequence[Subject], ledger: Ledger, seed: int, cases: int) -> Iterator[tuple[int, int, str]]:
    """Run cases; yield (format, number, fault) of those that went wrong."""
    for _ in range(cases):
        chosen = min(range(len(subjects)), key=lambda index: ledger.seconds[index] * ledger.counts[index])
        number = ledger.counts[chosen]
        ledger.counts[chosen] += 1
        ledger.current[:] = [chosen, 1]
        began = time.process_time()
        fault = fault_of(subjects[chosen], contents_of(seed, subjects[chosen], number))
        ledger.seconds[chosen] += time.process_time() - began
        ledger.current[1] = 0
        if fault:
            yield chosen, number, fault


def run_child(subjects: Sequence[Subject], ledger: Ledger, seed: int, cases: int) -> list[tuple[int, int, str]]:
    """Run a batch in a child process; return its failures, and that of a case that ended it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            with _silence():
                for failure in run_batch(subjects, ledger, seed, cases):
                    os.write(writing, (json.dumps(failure) + "\n").encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        failures = [tuple(json.loads(line)) for line in pipe]
    _, status = os.waitpid(child, 0)
    chosen, in_progress = ledger.current
    if in_progress:
        ledger.current[1] = 0
        ledger.seconds[chosen] += 1.0
        code = os.waitstatus_to_exitcode(status)
        ended = f"an ended process ({signal.Signals(-code).name if code < 0 else code})"
        failures.append((chosen, ledger.counts[chosen] - 1, ended))
    return failures


@contextmanager
def _silence() -> Generator[None]:
    """Keep the messages of libraries from the terminal."""
    faulthandler.disable()
    logging.disable()
    warnings.simplefilter("ignore")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    yield


def run_campaign(subjects: Sequence[Subject], cases: int, seed: int, out: Path, batch: int = BATCH) -> Counter[str]:
    """Run cases until there are `cases` altogether; return how often each kind of failure was found."""
    out.mkdir(parents=True, exist_ok=True)
    state, ledger, kinds = out / "state.json", Ledger(len(subjects)), Counter[str]()
    if state.exists():
        kept: dict[str, Any] = json.loads(state.read_text("utf-8"))
        kinds.update(kept["failures"])
        for index, subject in enumerate(subjects):
            ledger.counts[index], ledger.seconds[index] = kept["formats"].get(subject.name, (0, 0.0))
    while (done := sum(ledger.counts)) < cases:
        for chosen, number, fault in run_child(subjects, ledger, seed, min(batch, cases - done)):
            subject = subjects[chosen]
            kind = re.sub(r"0x\w+|\d+", "N", f"{subject.name}: {fault}")  # positions and bytes differ
            kinds[kind] += 1
            if kinds[kind] <= FEW:
                name = "".join(letter if letter.isalnum() else "-" for letter in subject.name)
                (out / f"{name}-{number}").write_bytes(contents_of(seed, subject, number))
                _say(f"{kind} (case {number})")
        formats = {s.name: (ledger.counts[i], round(ledger.seconds[i], 3)) for i, s in enumerate(subjects)}
        state.write_text(json.dumps({"failures": kinds, "formats": formats}, indent=1), encoding="utf-8")
        seconds = sum(ledger.seconds)
        _say(f"{sum(ledger.counts):,} cases, {seconds:.0f} s of the processor, {sum(kinds.values())} failures")
    return kinds


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the campaign, and print what a case of each format costs; the exit code is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the failures and of how far it came")
    parser.add_argument("--only", default="", help="formats whose name contains this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        subjects = [subject for subject in make_subjects(Path(folder)) if given.only in subject.name]
        kinds = run_campaign(subjects, given.cases, given.seed, given.out)
    for name, (count, seconds) in json.loads((given.out / "state.json").read_text("utf-8"))["formats"].items():
        _say(f"{name:28} {count:>9,} cases {seconds / max(count, 1) * 1e3:8.2f} ms each")
    sys.exit(bool(kinds))


if __name__ == "__main__":
    main()
