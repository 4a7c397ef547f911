"""Images inside other files, such as a mask as PNG inside JSON."""

from io import BytesIO
from pathlib import Path

from jaxtyping import Integer
from numpy import ndarray

from pixelwise.errors import BadImage
from pixelwise.io.headers import check_size, decode_error
from pixelwise.io.pillow import decode_pillow
from pixelwise.io.png import read_png_header

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode_png_mask(content: bytes, path: Path, max_pixels: int | None = None) -> Integer[ndarray, "height width"]:
    """Return the first channel of a PNG in memory; indices of a palette file, 0 and 1 of a one-bit one.

    Parameters
    ----------
    content : bytes
    path : Path
        The file that contains it, for errors.
    max_pixels : int, optional

    Raises
    ------
    BadImage
        Not a complete PNG, or one that is too large.
    """
    if not content.startswith(_SIGNATURE):
        raise BadImage("a PNG image", "other bytes", "Export the file again.", path)
    header = read_png_header(BytesIO(content), path)
    check_size(header, path, max_pixels)
    try:
        return decode_pillow(BytesIO(content), "PNG")[0]
    except BadImage:
        raise
    except Exception as error:  # as in `read`: decoders raise anything on malformed input
        raise decode_error(path, "PNG", error) from error
