"""Benchmark of the runtimes, cached per machine, model and tile shape."""

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
from pixelwise.runtimes.malloc import release_memory

RUNTIMES = ("auto", "torch", "onnx", "openvino", "torch-bf16", "openvino-bf16", "torch-compile")
TOLERANCE = 1e-4  # largest difference between runtimes in float32, relative to the largest logit
MAX_SECONDS, MAX_CALLS = 1.0, 5  # limits of the timing of a candidate, after a warm-up call
MIN_TILES = 32  # number of tiles from which the benchmark (with the conversion, about 5 s) pays off

RuntimeFactory = Callable[[], Runtime]


@dataclass(frozen=True, kw_only=True)
class RuntimeChoice:
    """The fastest runtime, the seconds per tile of each candidate, and whether they come from the cache."""

    name: str
    seconds: dict[str, float]
    cached: bool

    def message(self, shape: tuple[int, ...]) -> str:
        """Return the choice and its reason in one sentence."""
        ranking = sorted(self.seconds.items(), key=lambda item: item[1])
        timings = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in ranking)
        when = "measured earlier" if self.cached else "measured now and cached"
        sides = " x ".join(str(side) for side in shape[2:])
        return f"Runtime {self.name}: fastest for a tile of {sides} ({timings}; {when}). Override with --runtime."


def check_name(name: str) -> None:
    """Check the name of a runtime.

    Raises
    ------
    BadOption
        The name is unknown.
    """
    if name not in RUNTIMES:
        raise BadOption("a runtime", f"`{name}`", nearest(name, RUNTIMES))


def cached_choice(model: str, shape: tuple[int, ...]) -> RuntimeChoice | None:
    """Return the cached choice for a model (its digest) and a tile shape, or None."""
    try:
        entry = json.loads(_cache_path(model, shape).read_text("utf-8"))
        seconds = {str(name): float(value) for name, value in entry["seconds"].items()}
        return RuntimeChoice(name=str(entry["runtime"]), seconds=seconds, cached=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing or invalid: measure again


def choose_runtime(
    candidates: Mapping[str, RuntimeFactory], model: str, shape: tuple[int, ...], progress: Progress
) -> tuple[RuntimeChoice, Runtime]:
    """Return the fastest candidate for tiles of `shape`, from the cache or a new benchmark.

    Parameters
    ----------
    candidates : mapping of name to function
        Each function creates its runtime. The first is the reference for the logits; candidates that differ from it or
        cannot be created are skipped with a message.
    model : str
        Digest of the model file.
    shape : (batch, channels, height, width)

    Returns
    -------
    RuntimeChoice, Runtime
    """
    cached = cached_choice(model, shape)
    if cached is not None and cached.name in candidates:
        return cached, candidates[cached.name]()
    tile = np.random.default_rng(0).standard_normal(shape, np.float32)
    seconds: dict[str, float] = {}
    expected: np.ndarray | None = None
    for name, make in candidates.items():
        try:
            expected, difference, elapsed = _benchmark(make, tile, expected)
        except BadModel as error:
            progress.message(f"Runtime {name} is skipped: {error}")
            continue
        finally:
            _free_memory()
        if elapsed is None:
            progress.message(f"Runtime {name} is skipped: it differs by {difference:.1g} of the largest logit.")
        else:
            seconds[name] = elapsed
    fastest = min(seconds, key=lambda name: seconds[name])
    choice = RuntimeChoice(name=fastest, seconds=seconds, cached=False)
    _write_cache(choice, model, shape)
    return choice, candidates[fastest]()


def _benchmark(
    make: RuntimeFactory, tile: np.ndarray, expected: np.ndarray | None
) -> tuple[np.ndarray, float, float | None]:
    """Return the expected logits, the relative difference from them, and the seconds per tile (None if too different).

    Without `expected` these are the runtime's own. Others are dropped, as logits of ONNX Runtime keep all its memory.
    The runtime is freed afterwards, and the fastest one is created again at the end, so that only one is in memory.
    """
    runtime = make()
    logits = runtime(tile)
    reference = logits if expected is None else expected
    difference = float(np.abs(logits - reference).max() / max(float(np.abs(reference).max()), 1e-12))
    return reference, difference, time_tile(runtime, tile) if difference <= TOLERANCE else None


def _free_memory() -> None:
    """Free the memory of unreferenced runtimes, including reference cycles."""
    gc.collect()
    release_memory()


def time_tile(runtime: Runtime, tile: np.ndarray) -> float:
    """Return the seconds per tile: the minimum of a few calls, which other processes affect least."""
    times: list[float] = []
    while len(times) < MAX_CALLS and sum(times) < MAX_SECONDS:
        start = time.perf_counter()
        runtime(tile)
        times.append(time.perf_counter() - start)
    return min(times)


def _write_cache(choice: RuntimeChoice, model: str, shape: tuple[int, ...]) -> None:
    """Cache the result; without a writable cache the next process measures again."""
    path = _cache_path(model, shape)
    try:
        atomic_write_json(path, {"runtime": choice.name, "seconds": choice.seconds, **machine_facts()})
    except OutputFailed:
        return


def _cache_path(model: str, shape: tuple[int, ...]) -> Path:
    key = hashlib.sha256(json.dumps([model, list(shape), machine_facts()], sort_keys=True).encode()).hexdigest()
    return cache_folder() / "runtimes" / f"{key[:32]}.json"
