"""How long large jobs take on how many workers, computed from measured costs of a unit: writes docs/scale.md.

    python benchmarks/scale_plan.py

Every number that is put in was measured, and is quoted from RESULTS.md; every number that comes out is arithmetic.
Workers have one thread.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from string import Template

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A measured cost: its value in seconds, the words of RESULTS.md that hold it, and what it is."""

    seconds: float
    quoted: str
    what: str


PIXEL = Cost(
    seconds=2 * 561 / 40_000**2,
    quoted="| 40,000 x 40,000 | classes | 561 |",
    what="a pixel is predicted, by one thread",
)
HEADER = Cost(
    seconds=0.9e-3, quoted="| the header of an image is read | 33 | 0.9 ms |", what="the header of an image is read"
)
MAKE = Cost(
    seconds=4.0e-6, quoted="| job of 1,000,000 empty units made | 4.0 s, 227 MB |", what="a unit is listed in the job"
)
SCAN = Cost(
    seconds=0.58e-6, quoted="| ledger of 1,000,000 outcomes scanned | 0.58 s, 43 MB |", what="an outcome is scanned"
)
START = Cost(seconds=0.19, quoted="| a worker has its first unit | 0.19 s |", what="a worker starts, without its model")
COMMIT = Cost(seconds=1.8e-3, quoted="| a unit with one file is committed | 1.8 ms |", what="a unit is committed")
SEAL = Cost(seconds=0.08e-3, quoted="| a unit is sealed | 0.08 ms |", what="a unit is sealed")
ASSEMBLE = Cost(
    seconds=1.1 / 4000**2,
    quoted="| they are assembled by the last unit, processor time | 20 | 1.1 s, 5 % (target 10 %) |",
    what="a pixel of a streamed image is assembled, by one worker",
)
COSTS = (PIXEL, HEADER, MAKE, SCAN, START, COMMIT, SEAL, ASSEMBLE)

YEAR = 365.25 * 86400
UNITS = (("years", YEAR), ("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6))
MEMORY = 227.0  # MB per 10^6 units, of the process that makes the job
UNIT_SECONDS = 10.0
MAX_UNITS = 1_000_000  # of a job that was measured
WORKERS = (16, 128, 1024)
SIDES = (512, 2048, 10_000)
STREAMED = 4096  # side from which an image is divided into blocks here


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job of equal images: its units, the seconds of its parts, and those of one unit that puts blocks together."""

    units: int
    making: float
    computing: float
    sealing: float
    assembling: float

    def seconds(self, workers: int) -> float:
        """Return the seconds from the command to the seal."""
        slowest = max(UNIT_SECONDS, self.assembling)  # the last unit that begins
        return self.making + START.seconds + self.computing / workers + slowest + self.sealing

    def serial(self, workers: int) -> float:
        """Return the share of the time in which one process works and the others wait."""
        return (self.making + self.sealing) / self.seconds(workers)

    @property
    def limit(self) -> int:
        """Return the number of workers with which one process works a tenth of the time alone."""
        return int(self.computing / (9 * (self.making + self.sealing)))


def plan(images: int, side: int, unit_seconds: float = UNIT_SECONDS) -> Plan:
    """Return the plan of a job of square images of one channel.

    Parameters
    ----------
    images, side : int
    unit_seconds : float
        About how long a unit takes.
    """
    pixels, streamed = side * side, side > STREAMED
    seconds = pixels * PIXEL.seconds
    if streamed:
        blocks = max(1, math.ceil(seconds / unit_seconds))
        units = images * (blocks + 1)
    else:
        units = math.ceil(images / max(1, int(unit_seconds / seconds)))
    assembling = pixels * ASSEMBLE.seconds if streamed else 0.0
    return Plan(
        units=units,
        making=images * HEADER.seconds + units * MAKE.seconds,
        computing=images * (seconds + assembling) + units * COMMIT.seconds,
        sealing=units * (SEAL.seconds + SCAN.seconds),
        assembling=assembling,
    )


def costs_table() -> str:
    """Return what was measured."""
    rows = [f"| {cost.what} | {in_words(cost.seconds)} |" for cost in COSTS]
    return "\n".join(["| what | time |", "|---|---|", *rows])


def images_table(images: int = 1_000_000) -> str:
    """Return the plans of 10^6 images of several sizes."""
    head = [
        "| side | units | headers and job | computing, one worker | " + " | ".join(f"{n:,} workers" for n in WORKERS)
    ]
    head[0] += " | sealing | a tenth is serial with |"
    head.append("|---" * (6 + len(WORKERS)) + "|")
    rows: list[str] = []
    for side in SIDES:
        one = plan(images, side)
        times = " | ".join(in_words(one.seconds(count)) for count in WORKERS)
        row = f"| {side:,} | {one.units:,} | {in_words(one.making)} | {in_words(one.computing)} | {times}"
        rows.append(f"{row} | {in_words(one.sealing)} | {one.limit:,} workers |")
    return "\n".join([*head, *rows])


def petapixel_table(side: int = 40_000) -> str:
    """Return the plan of 10^15 pixels in images of one size, for several lengths of a unit."""
    images = round(1e15 / side**2)
    head = "| seconds per unit | units | jobs of at most 10^6 | memory to make one | one worker | 1,024 workers "
    head += "| bytes read per second |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    for unit_seconds in (10.0, 100.0, 1200.0):
        one = plan(images, side, unit_seconds)
        jobs = math.ceil(one.units / MAX_UNITS)
        memory = MEMORY * min(one.units, MAX_UNITS) / 1e6
        rate = 1e15 / one.seconds(1024)
        row = f"| {unit_seconds:,.0f} | {one.units:,} | {jobs} | {memory:.0f} MB | {in_words(one.seconds(1))}"
        rows.append(f"{row} | {in_words(one.seconds(1024))} | {rate / 1e9:.1f} GB |")
    return "\n".join(rows)


def single_image_table() -> str:
    """Return how the last unit of one image grows with it, beside the blocks on 128 workers."""
    rows = ["| one image of | blocks, 16 workers | the unit that assembles them | its share |", "|---|---|---|---|"]
    for side in (40_000, 100_000, 1_000_000):
        pixels = side**2
        blocks, last = pixels * PIXEL.seconds / 16, pixels * ASSEMBLE.seconds
        rows.append(f"| {side:,} x {side:,} | {in_words(blocks)} | {in_words(last)} | {last / (blocks + last):.0%} |")
    return "\n".join(rows)


def commits_table() -> str:
    """Return how many commits per second the shared folder has to take."""
    rows = ["| workers | commits per second | seconds per unit for 10 commits per second |", "|---|---|---|"]
    for count in (*WORKERS, 10_000):
        rows.append(f"| {count:,} | {count / UNIT_SECONDS:,.0f} | {count / 10:,.0f} |")
    return "\n".join(rows)


def in_words(seconds: float) -> str:
    """Return a time with two digits, in its usual unit.

    Examples
    --------
    >>> in_words(7e-7), in_words(0.0011), in_words(42), in_words(5400), in_words(4e8)
    ('0.70 us', '1.1 ms', '42 s', '1.5 h', '13 years')
    """
    unit, size = next((pair for pair in UNITS if seconds >= pair[1]), UNITS[-1])
    value = seconds / size
    return f"{value:.2f} {unit}" if value < 1 else f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"


def page() -> str:
    """Return the page: its template with all tables."""
    return Template((DOCS / "templates" / "scale.md").read_text("utf-8")).substitute(
        costs=costs_table(),
        images=images_table(),
        petapixels=petapixel_table(),
        one=single_image_table(),
        commits=commits_table(),
    )


if __name__ == "__main__":
    (DOCS / "scale.md").write_text(page(), "utf-8")
