"""Which runtime computes: measured once per machine, model and tile shape, kept in the user's cache, told in words."""

import gc
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.atomic_write import atomic_write_json
from pixelwise.errors import BadModel, BadOption, OutputFailed, nearest
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.cache import cache_folder, machine_facts
from pixelwise.runtimes.malloc import give_back

RUNTIMES = ("auto", "torch", "onnx", "openvino", "torch-bf16", "openvino-bf16", "torch-compile")
AGREEMENT = 1e-4  # of the largest logit: how far a float32 runtime may be from the first candidate
PATIENCE, REPEATS = 1.0, 5  # seconds and calls that a candidate is measured for, after a first call
WORTH = 32  # tiles from which on measuring (with its conversion, about 5 s) is given back

Make = Callable[[], Runtime]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A runtime, how many seconds each candidate took for the tile, and whether that was known before."""

    name: str
    seconds: dict[str, float]
    known: bool

    def messages(self, shape: tuple[int, ...]) -> str:
        """Say the choice and its reason in one sentence."""
        times = sorted(self.seconds.items(), key=lambda item: item[1])
        spoken = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in times)
        when = "measured before" if self.known else "measured now, and kept"
        sides = " x ".join(str(side) for side in shape[2:])
        return (
            f"Runtime {self.name}: fastest here for a tile of {sides} ({spoken}; {when}). --runtime decides otherwise."
        )


def check_name(name: str) -> None:
    """Refuse an unknown runtime.

    Raises
    ------
    BadOption
        The known ones are named.
    """
    if name not in RUNTIMES:
        raise BadOption("a runtime", f"`{name}`", nearest(name, RUNTIMES))


def known_choice(model: str, shape: tuple[int, ...]) -> Choice | None:
    """Return what was measured before for a model (its digest) and a tile shape; None where nothing was."""
    try:
        found = json.loads(_place(model, shape).read_text("utf-8"))
        seconds = {str(name): float(value) for name, value in found["seconds"].items()}
        return Choice(name=str(found["runtime"]), seconds=seconds, known=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing there, or something else: it is measured again


def choose(
    candidates: Mapping[str, Make], model: str, shape: tuple[int, ...], progress: Progress
) -> tuple[Choice, Runtime]:
    """Return the fastest candidate for tiles of `shape`: as measured before, or measured now.

    Parameters
    ----------
    candidates : mapping of name to function
        Each makes its runtime. The first is the one that the others must agree with; one that does not, or cannot be
        made, is left out, and that is told.
    model : str
        Digest of the model file.
    shape : (batch, channels, height, width)
    progress : Progress

    Returns
    -------
    Choice, Runtime
    """
    known = known_choice(model, shape)
    if known is not None and known.name in candidates:
        return known, candidates[known.name]()
    tile = np.random.default_rng(0).standard_normal(shape, np.float32)
    seconds: dict[str, float] = {}
    expected: np.ndarray | None = None
    for name, make in candidates.items():
        try:
            found, gap, taken = _try(make, tile, expected)
        except BadModel as error:
            progress.message(f"Runtime {name} is left out: {error}")
            continue
        finally:
            _let_go()
        expected = found if expected is None else expected
        if taken is None:
            progress.message(f"Runtime {name} is left out: it differs by {gap:.1g} of the largest logit.")
        else:
            seconds[name] = taken
    fastest = min(seconds, key=lambda name: seconds[name])
    choice = Choice(name=fastest, seconds=seconds, known=False)
    _keep(choice, model, shape)
    return choice, candidates[fastest]()


def _try(make: Make, tile: np.ndarray, expected: np.ndarray | None) -> tuple[np.ndarray, float, float | None]:
    """Return what a candidate says, how far that is from `expected`, and if not too far, its seconds for the tile.

    The runtime is gone afterwards, and the fastest one is made again in the end: never are two of them in memory.
    """
    runtime = make()
    found = runtime(tile)
    wanted = found if expected is None else expected
    gap = float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))
    return found, gap, measure(runtime, tile) if gap <= AGREEMENT else None


def _let_go() -> None:
    """Give back the memory of a runtime that nobody holds any more, reference cycles included."""
    gc.collect()
    give_back()


def measure(runtime: Runtime, tile: np.ndarray) -> float:
    """Return the seconds that a runtime takes for a tile: the least of a few calls, which other work disturbs least."""
    taken: list[float] = []
    while len(taken) < REPEATS and sum(taken) < PATIENCE:
        began = time.perf_counter()
        runtime(tile)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _keep(choice: Choice, model: str, shape: tuple[int, ...]) -> None:
    """Keep what was measured; a cache that cannot be written costs another measurement next time, nothing more."""
    try:
        atomic_write_json(_place(model, shape), {"runtime": choice.name, "seconds": choice.seconds, **machine_facts()})
    except OutputFailed:
        return


def _place(model: str, shape: tuple[int, ...]) -> Path:
    key = hashlib.sha256(json.dumps([model, list(shape), machine_facts()], sort_keys=True).encode()).hexdigest()
    return cache_folder() / "runtimes" / f"{key[:32]}.json"
