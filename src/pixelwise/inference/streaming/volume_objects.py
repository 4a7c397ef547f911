"""Post-processing of label volumes of any size: objects by slabs and blocks, removal of small regions.

Works on the stored tiles, without the network: label connected components slab by slab and merge them; for targets with
seeds, run the watershed block by block; write the final labels. Only tables with a few numbers per object grow.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from secrets import token_hex

import numpy as np
from jaxtyping import Bool, UInt32

from pixelwise.errors import BadOption
from pixelwise.geometry.tiles import Span
from pixelwise.inference.streaming.instances import FOREGROUND, SEED, PixelCounter
from pixelwise.io.volumes.label_tiles import LabelType, VolumeTiles
from pixelwise.labels.stitching import StripLabels, StripSmallRegions, final_numbers, watershed_window
from pixelwise.labels.targets import TargetOptions, splits_regions, uses_watershed
from pixelwise.progress import Progress

SLAB = 1 << 22  # voxels that are labelled at once
BLOCK = 128  # side in voxels of the blocks of the watershed
HALO = 64  # voxels read around each block: objects up to about half of that are exact
_SIXTEEN_BITS = 65_535


def finish_volume(
    decided: VolumeTiles, target: TargetOptions, path: Path, progress: Progress
) -> tuple[VolumeTiles, int]:
    """Return the final labels of a volume on disk, and the number of objects (0 for masks).

    Parameters
    ----------
    decided : VolumeTiles
        For kind "classes" the classes, for "components" the foreground, for targets with seeds the result of
        `streaming_instances.pack`.
    path : Path
        Of the result.

    Raises
    ------
    BadOption
        Regions of masks are split, which needs the whole volume in memory.
    """
    if splits_regions(target):
        hint = "Crop the volume, or set target.split_depth to 0 in the training."
        raise BadOption("no splitting of regions in volumes larger than memory", "target.split_depth", hint)
    if target.kind == "classes":
        return _remove_small_regions(decided, target, path, progress), 0
    return _find_objects(decided, target, path, progress)


def _remove_small_regions(decided: VolumeTiles, target: TargetOptions, path: Path, progress: Progress) -> VolumeTiles:
    """Write the mask without small regions, in two passes over slabs."""
    regions, slabs = StripSmallRegions(target.class_areas), list(_slabs(decided))
    result = _temporary(decided, path, "mask", "uint8")
    try:
        with progress.bar("removing small regions", 2 * len(slabs)) as advance:
            for slab in slabs:
                regions.count(decided.read(*slab))
                advance(1, "")
            for slab in slabs:
                result.write(slab, regions.drop(decided.read(*slab)))
                advance(1, "")
    except BaseException:
        result.discard()
        raise
    return result


def _find_objects(
    decided: VolumeTiles, target: TargetOptions, path: Path, progress: Progress
) -> tuple[VolumeTiles, int]:
    """Write the label volume 1...N; 16 bits if they suffice, else 32."""
    watershed = uses_watershed(target)
    slabs, blocks = list(_slabs(decided)), list(_blocks(decided))
    with ExitStack() as stack:
        advance = stack.enter_context(progress.bar("finding objects", 2 * len(slabs) + len(blocks) * watershed))
        labels = _temporary(decided, path, "areas", "uint32")
        stack.callback(labels.discard)
        merger, counter = StripLabels(corners=not watershed), PixelCounter()
        for slab in slabs:
            stored = decided.read(*slab)
            numbers = merger.add((stored & SEED if watershed else stored) > 0)
            labels.write(slab, numbers)
            counter.add(numbers)
            advance(1, "")
        merged = merger.joined()
        if watershed:
            objects, counter = _temporary(decided, path, "objects", "uint32"), PixelCounter()
            stack.callback(objects.discard)
            for block in blocks:
                numbers = _flood(decided, labels, merged.astype(np.uint32), block)
                objects.write(block, numbers)
                counter.add(numbers)
                advance(1, "")
            labels = objects
        numbers, count = final_numbers(merged, counter.counts(len(merged)), target.min_area)
        dtype: LabelType = "uint16" if count <= _SIXTEEN_BITS else "uint32"
        result = _temporary(decided, path, "labels", dtype)
        try:
            for slab in slabs:
                result.write(slab, numbers[labels.read(*slab)].astype(dtype))
                advance(1, "")
        except BaseException:
            result.discard()
            raise
    return result, count


def _flood(
    decided: VolumeTiles, seeds: VolumeTiles, merged: UInt32[np.ndarray, " numbers"], block: tuple[Span, ...]
) -> UInt32[np.ndarray, "depth rows columns"]:
    """Return the watershed of a block from the merged labels of the seeds."""
    near = [
        (max(0, start - HALO), min(side, stop + HALO)) for (start, stop), side in zip(block, decided.shape, strict=True)
    ]
    packed = decided.read(near[0], near[1], near[2])
    foreground: Bool[np.ndarray, "*size"] = (packed & FOREGROUND) > 0
    found = watershed_window(merged[seeds.read(near[0], near[1], near[2])], foreground, (packed & 255).astype(np.uint8))
    place = tuple(slice(start - first, stop - first) for (start, stop), (first, _) in zip(block, near, strict=True))
    return found[place]


def _temporary(decided: VolumeTiles, path: Path, name: str, dtype: LabelType) -> VolumeTiles:
    """Return a file beside the result that is never resumed: it is made from the tiles in a short time."""
    place = path.with_name(f"{path.name}.{name}")
    return VolumeTiles(place, decided.shape, dtype, tile=decided.tile, identity=token_hex(8))


def _slabs(decided: VolumeTiles) -> Iterator[tuple[Span, Span, Span]]:
    """Yield slabs of whole planes."""
    depth, height, width = decided.shape
    planes = max(1, SLAB // (height * width))
    for first in range(0, depth, planes):
        yield (first, min(depth, first + planes)), (0, height), (0, width)


def _blocks(decided: VolumeTiles) -> Iterator[tuple[Span, ...]]:
    side = -(-BLOCK // decided.tile) * decided.tile
    axes = [[(start, min(length, start + side)) for start in range(0, length, side)] for length in decided.shape]
    yield from product(*axes)
