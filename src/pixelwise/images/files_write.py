"""How pictures are written: always through `commit`, so that no half-written file is ever seen."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Int, Num, UInt8
from PIL import Image

from pixelwise.commit import commit, commit_bytes

Colour = tuple[int, int, int]
_SIXTEEN_BITS = 65_535


def write_mask(path: Path, mask: UInt8[np.ndarray, "height width"], palette: Sequence[Colour]) -> None:
    """Write class indices as an indexed PNG: any viewer shows the palette, any program reads the indices."""
    picture = Image.fromarray(mask)
    picture.putpalette([value for colour in palette for value in colour])
    commit(path, lambda file: picture.save(file, "PNG"))


def write_labels(
    path: Path, labels: Int[np.ndarray, "height width"], spacing: tuple[float, float] | None = None
) -> Path:
    """Write object numbers: 16-bit PNG when `path` ends in .png and they fit, else deflated TIFF of 16 or 32 bits.

    Returns
    -------
    Path
        The file that was written; its suffix is .tif when 16 bits did not hold the numbers.
    """
    fits = int(labels.max(initial=0)) <= _SIXTEEN_BITS
    if path.suffix.lower() == ".png" and fits:
        picture = Image.fromarray(labels.astype(np.uint16))
        commit(path, lambda file: picture.save(file, "PNG"))
        return path
    path = path.with_suffix(".tif")
    array = labels.astype(np.uint16 if fits else np.uint32)
    resolution = (1e4 / spacing[1], 1e4 / spacing[0]) if spacing else None
    commit(
        path,
        lambda file: tifffile.imwrite(
            file,
            array,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "YX"},
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
        ),
    )
    return path


def write_image(path: Path, pixels: Num[np.ndarray, "channels height width"]) -> None:
    """Write a picture by suffix: PNG for 8 bits of 1 or 3 channels, else TIFF with channels named as such."""
    if path.suffix.lower() == ".png":
        commit_bytes(path, png_bytes(pixels))
        return
    colour = pixels.shape[0] == 3 and pixels.dtype == np.uint8
    array = np.moveaxis(pixels, 0, -1) if colour else pixels
    commit(
        path,
        lambda file: tifffile.imwrite(
            file,
            array,
            compression="zlib",
            photometric="rgb" if colour else "minisblack",
            metadata={"axes": "YXS" if colour else "CYX"},
        ),
    )


def write_gif(path: Path, frames: Sequence[UInt8[np.ndarray, "height width 3"]], milliseconds: int) -> None:
    """Write an endless animation; the last frame stays three times as long."""
    pictures = [Image.fromarray(frame).quantize(64) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [3 * milliseconds]
    commit(
        path,
        lambda file: pictures[0].save(
            file, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0
        ),
    )


def png_bytes(pixels: Num[np.ndarray, "channels height width"]) -> bytes:
    """Return a picture of 1 or 3 channels as the bytes of a PNG; 8 bits, or 16 bits for one channel of uint16."""
    buffer = BytesIO()
    array = pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG")
    return buffer.getvalue()
