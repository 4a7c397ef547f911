"""How much memory a streamed prediction takes: a formula whose terms are told before the start, and hold."""

import sys
from dataclasses import dataclass

MIB = 2**20
_SPARE = 48 * MIB  # what the interpreter, the allocator and the threads take beside what is counted
_SHARE = 20  # a twentieth of the total on top


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each term, by its name, in the order in which they are told."""

    terms: dict[str, int]

    @property
    def total(self) -> int:
        """Return the bytes that are not exceeded."""
        counted = sum(self.terms.values())
        return counted + counted // _SHARE + _SPARE

    def __str__(self) -> str:
        """Say the bound and its terms in one sentence."""
        parts = ", ".join(f"{name} {size / MIB:.0f}" for name, size in self.terms.items() if size >= MIB)
        return f"Memory stays below {self.total / MIB:,.0f} MiB ({parts} MiB, and some to spare)."


@dataclass(frozen=True, kw_only=True)
class TileSizes:
    """What the formula asks of a prediction: pixels a side, channels in and out, bytes per number."""

    height: int
    width: int
    read: int
    keep: int
    channels: int
    classes: int
    batch: int
    pixel_bytes: int
    decided_bytes: int
    blended: bool


def plan_memory(sizes: TileSizes, *, process: int, image: int, depth: int, objects: int) -> MemoryPlan:
    """Return the memory of a streamed prediction.

    Parameters
    ----------
    sizes : TileSizes
        `read` is the side of a tile's input, `keep` that of what it keeps.
    process : int
        Peak of the process so far, with the model in memory and one batch of tiles computed.
    image : int
        What the open image keeps: decoded chunks, or all of it.
    depth : int
        Items that may wait between reader, network and writer.
    objects : int
        What finding objects takes beside the tables (see `streaming_instances.objects_memory`); 0 for masks.
    """
    window = sizes.read**2 * sizes.channels
    kept = sizes.keep**2
    waiting = depth + 1 + sizes.batch
    # a window in the making: as it came, mirrored, scaled (in float64 where float32 does not hold it), in float32
    making = window * (2 * sizes.pixel_bytes + (8 if sizes.pixel_bytes > 2 else 4) + 4)
    # the probabilities of a part, with what soft-max needs on the way
    deciding = kept * sizes.classes * 4 * 3
    row = -(-sizes.width // sizes.keep) + 3
    cells = 2 * row * min(kept, sizes.keep * sizes.height) * sizes.classes * 4 if sizes.blended else 0
    tiles = -(-sizes.height // 256) * -(-sizes.width // 256)
    tiling = {
        "tiles on their way": waiting * window * 4 + making,
        "a part being decided": deciding,
        "parts waiting for the disk": (depth + 2) * kept * sizes.decided_bytes,
        "parts being blended": cells,
    }
    if sum(tiling.values()) < objects:  # objects are found when all tiles are done
        tiling = {"finding objects": objects}
    return MemoryPlan(
        {
            "the model and one batch of tiles": process,
            "the image": image,
            **tiling,
            "the result": 64 * MIB + 400 * tiles,
        }
    )


def peak_memory() -> int:
    """Return the most memory, in bytes, that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
