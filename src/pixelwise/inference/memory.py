"""Memory of a prediction: its budget, and the upper bound of a streamed one, which is reported before the start."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
TILE_BYTES = 2**30  # memory budget of the activations of a tile and the post-processing of the image
VOLUME_BYTES = 5 * 2**29  # the same for volumes, whose halo is a larger part of a tile
DECODING_BYTES = 8  # per pixel of an image with instance segmentation
MASK_BYTES = 1  # the same where the most probable class is the result
_OVERHEAD = 48 * MIB  # of the interpreter, the allocator and the threads
_RESERVE_DIVISOR = 20  # a twentieth of the total is added as a reserve


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each term by name."""

    terms: dict[str, int]

    @property
    def total(self) -> int:
        """Return the upper bound in bytes."""
        counted = sum(self.terms.values())
        return counted + counted // _RESERVE_DIVISOR + _OVERHEAD

    def __str__(self) -> str:
        """Return the bound and its terms in one sentence."""
        terms = ", ".join(f"{name} {size / MIB:.0f}" for name, size in self.terms.items() if size >= MIB)
        return f"Memory stays below {self.total / MIB:,.0f} MiB ({terms} MiB, and a reserve)."


@dataclass(frozen=True, kw_only=True)
class TileSizes:
    """Sizes that determine the memory: pixels per side, channels in and out, bytes per number."""

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
        `read` is the side of the input of a tile, `keep` that of its valid region.
    process : int
        Peak of the process so far, with the model in memory and one batch of tiles computed.
    image : int
        Memory of the open image: decoded chunks, or all of it.
    depth : int
        Length of the queues between reader, network and writer.
    objects : int
        Memory of the object search without its tables (see `streaming_instances.objects_memory`); 0 for masks.
    """
    window = sizes.read**2 * sizes.channels
    valid = sizes.keep**2
    queued = depth + 1 + sizes.batch
    # one window as read, mirrored, scaled (in float64 if float32 is not exact) and in float32
    preparing = window * (2 * sizes.pixel_bytes + (8 if sizes.pixel_bytes > 2 else 4) + 4)
    # probabilities of one window with the temporary arrays of softmax
    postprocessing = valid * sizes.classes * 4 * 3
    columns = -(-sizes.width // sizes.keep) + 3
    blending = 2 * columns * min(valid, sizes.keep * sizes.height) * sizes.classes * 4 if sizes.blended else 0
    tiles = -(-sizes.height // 256) * -(-sizes.width // 256)
    tiling = {
        "tile queue": queued * window * 4 + preparing,
        "post-processing": postprocessing,
        "write queue": (depth + 2) * valid * sizes.decided_bytes,
        "blending": blending,
    }
    if sum(tiling.values()) < objects:  # the object search starts after all tiles
        tiling = {"finding objects": objects}
    return MemoryPlan(
        {"model and one batch of tiles": process, "image": image, **tiling, "result": 64 * MIB + 400 * tiles}
    )


def peak_memory() -> int:
    """Return the peak memory of this process in bytes; 0 if the system does not provide it.

    Linux also counts, in `ru_maxrss`, what the process that started this one had: the status file does not.
    """
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Bytes that a prediction may use, and its bytes per pixel of the image and per pixel of the input of a tile."""

    bytes: int
    image_pixel: int
    tile_pixel: int

    def side(self, size: tuple[int, int]) -> int:
        """Return the side of the largest tile input for an image of `size`."""
        return math.isqrt(self.pixels(size))

    def pixels(self, size: tuple[int, ...]) -> int:
        """Return the number of pixels of the largest tile input for an image of `size`."""
        return self.left(size) // self.tile_pixel

    def left(self, size: tuple[int, ...]) -> int:
        """Return the bytes left beside an image of `size`."""
        return max(0, self.bytes - self.image_pixel * math.prod(size))


def tile_budget(base: int, dimensions: int = 2, image_pixel: int = DECODING_BYTES) -> MemoryBudget:
    """Return the memory budget of tiles.

    A U-Net of base width b has about 8 b activations per pixel, and per voxel 6 b and 18 more: measured for widths of 4
    to 32.
    """
    if dimensions == 3:
        return MemoryBudget(bytes=VOLUME_BYTES, image_pixel=image_pixel, tile_pixel=4 * (6 * base + 18))
    return MemoryBudget(bytes=TILE_BYTES, image_pixel=image_pixel, tile_pixel=8 * 4 * base)
