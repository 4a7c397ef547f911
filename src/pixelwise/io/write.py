"""Write images, masks, label images and animations, always with `atomic_write`."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from jaxtyping import Integer, Num, UInt8, UInt16
from PIL import Image

from pixelwise.atomic_write import atomic_write, atomic_write_bytes
from pixelwise.errors import BadOption
from pixelwise.io.georeference import Georeference, nodata_tag

Colour = tuple[int, int, int]
_SIXTEEN_BITS = 65_535
_TIFF = (".tif", ".tiff")


def write_mask(path: Path, mask: UInt8[np.ndarray, "height width"], palette: Sequence[Colour]) -> None:
    """Write the indexed PNG that `mask_bytes` returns.

    Raises
    ------
    OutputFailed
        The file cannot be written.
    """
    atomic_write_bytes(path, mask_bytes(mask, palette))


def write_map_mask(
    path: Path,
    mask: UInt8[np.ndarray, "height width"],
    palette: Sequence[Colour],
    georeference: Georeference,
    *,
    nodata: int | None = None,
    spacing: tuple[float, float] | None = None,
) -> None:
    """Write class indices as a GeoTIFF with a palette, on the grid of `georeference`.

    `nodata` is the value of pixels that the image has no measurement of; see `georeference.choose_mask_nodata`.

    Raises
    ------
    BadOption
        A palette of more than 256 colours.
    OutputFailed
        The file cannot be written.
    """
    if len(palette) > 256:
        raise BadOption("at most 256 colours", f"{len(palette)}", "TIFF supports no larger palettes of 8 bits.")
    colours = np.zeros((256, 3), np.uint16)
    colours[: len(palette)] = np.reshape(palette, (-1, 3))
    _write_tiff(path, mask, "YX", spacing=spacing, georeference=georeference, palette=colours, nodata=nodata)


def mask_bytes(mask: UInt8[np.ndarray, "height width"], palette: Sequence[Colour]) -> bytes:
    """Return class indices as the bytes of an indexed PNG with a palette.

    Indices outside the palette are kept and shown in black.

    Raises
    ------
    BadOption
        A palette of more than 256 colours.
    """
    if len(palette) > 256:
        raise BadOption("at most 256 colours", f"{len(palette)}", "PNG supports no larger palettes.")
    image = Image.fromarray(mask)
    entries = [value for colour in palette for value in colour]
    # A decoder may reject an index without a colour.
    image.putpalette(entries + [0] * 3 * max(0, int(mask.max(initial=0)) + 1 - len(palette)))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_labels(
    path: Path,
    labels: Integer[np.ndarray, "height width"],
    spacing: tuple[float, float] | None = None,
    georeference: Georeference | None = None,
) -> Path:
    """Write a label image: 16-bit PNG if `path` ends in .png and the numbers fit, else deflated 16- or 32-bit TIFF.

    Parameters
    ----------
    labels : (height, width) array of numbers from 0
    spacing : (float, float), optional
        Micrometres per pixel, (y, x); stored only in TIFF.
    georeference : Georeference, optional
        The place on a map; stored only in TIFF.

    Returns
    -------
    Path
        The written file; its suffix is .tif if the numbers do not fit into 16 bits.

    Raises
    ------
    BadOption
        Negative numbers, or numbers above 32 bits.
    OutputFailed
        The file cannot be written.
    """
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= 2**32:
        raise BadOption("object numbers from 0 to 2^32 - 1", f"{low} to {high}", "Renumber the objects.", path)
    fits = high <= _SIXTEEN_BITS
    if path.suffix.lower() == ".png" and fits:
        atomic_write_bytes(path, png_bytes(labels[None].astype(np.uint16)))
        return path
    path = path if path.suffix.lower() in _TIFF else path.with_suffix(".tif")
    array = labels.astype(np.uint16 if fits else np.uint32)
    _write_tiff(path, array, "YX", spacing=spacing, georeference=georeference)
    return path


def write_image(
    path: Path, pixels: Num[np.ndarray, "channels height width"], georeference: Georeference | None = None
) -> None:
    """Write an image by suffix: PNG (8 or 16 bits, 1 or 3 channels) or TIFF (any type, any number of channels).

    With `georeference` a TIFF has one page whose bands are the channels, as programs for maps expect.

    Raises
    ------
    BadOption
        Another suffix, or an image that PNG does not support.
    OutputFailed
        The file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        atomic_write_bytes(path, png_bytes(pixels))
        return
    if suffix not in _TIFF:
        raise BadOption("a name ending in .png, .tif or .tiff", path.name, "Choose one of them.", path)
    if georeference is not None:
        _write_tiff(path, pixels, "SYX" if len(pixels) > 1 else "CYX", georeference=georeference)
        return
    colour = pixels.shape[0] == 3 and pixels.dtype.name in ("uint8", "uint16")
    _write_tiff(path, np.moveaxis(pixels, 0, -1) if colour else pixels, "YXS" if colour else "CYX")


def _write_tiff(
    path: Path,
    array: np.ndarray,
    axes: str,
    *,
    spacing: tuple[float, float] | None = None,
    georeference: Georeference | None = None,
    palette: UInt16[np.ndarray, "256 3"] | None = None,
    nodata: int | None = None,
) -> None:
    """Write a compressed TIFF.

    Axis S is RGB if it is the last one, and bands if it is the first; `spacing` (y, x) is in micrometres; `palette` has
    values up to 255.
    """
    tags = [*(georeference.tags if georeference is not None else ()), *([] if nodata is None else [nodata_tag(nodata)])]
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    atomic_write(
        path,
        lambda file: tifffile.imwrite(
            file,
            array,
            byteorder="<",
            compression="zlib",
            photometric=photometric if palette is None else "palette",
            planarconfig="separate" if axes.startswith("S") else None,
            colormap=None if palette is None else palette.T * np.uint16(257),
            metadata={"axes": axes},
            resolution=(1e4 / spacing[1], 1e4 / spacing[0]) if spacing else None,
            resolutionunit="CENTIMETER" if spacing else None,
            extratags=[(tag.code, tag.kind, tag.count, tag.data, True) for tag in tags],
        ),
    )


def gif_bytes(frames: Sequence[UInt8[np.ndarray, "height width 3"]], milliseconds: int) -> bytes:
    """Return a looping GIF of at least one frame; the last frame is shown three times as long."""
    if not frames:
        raise BadOption("at least one frame", "none", "Draw a frame first.")
    images = [Image.fromarray(frame).quantize(64) for frame in frames]
    durations = [milliseconds] * (len(images) - 1) + [3 * milliseconds]
    buffer = BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()


def png_bytes(pixels: Num[np.ndarray, "channels height width"]) -> bytes:
    """Return an image as the bytes of a PNG.

    Raises
    ------
    BadOption
        Not uint8 or uint16 with 1 or 3 channels.
    """
    if pixels.dtype.name not in ("uint8", "uint16") or pixels.shape[0] not in (1, 3):
        got = f"{pixels.shape[0]} channels of {pixels.dtype}"
        raise BadOption("1 or 3 channels of uint8 or uint16 for a PNG", got, "Write a TIFF instead.")
    # A real copy: axes of length 1 may otherwise keep strides that imagecodecs rejects.
    array = np.array(pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1), order="C")
    if array.ndim == 3 and array.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(array))  # Pillow does not support 16-bit colour
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg_bytes(pixels: UInt8[np.ndarray, "channels height width"]) -> bytes:
    """Return a picture of 1 or 3 channels for display as the bytes of a JPEG; its values are not exact."""
    buffer = BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
