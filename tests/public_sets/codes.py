"""Imitations of sets whose values or files are coded in a special way: palettes, bits, compression, colour spaces."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from drawn import save
from public_sets.drawing import Draw, Truth, areas, cells, objects, paired, picture


def saved(
    image: str,
    mask: str,
    kinds: int = 1,
    count: int = 5,
    image_options: dict[str, object] | None = None,
    **options: object,
) -> Draw:
    """A set whose TIFF masks, or images, are written with options of tifffile."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for index in range(1, count + 1):
            drawn = areas(index, kinds)
            for pattern, content, given in (
                (image, picture(drawn, index), image_options),
                (mask, drawn.astype(np.uint8) * (255 if kinds == 1 else 1), options),
            ):
                path = folder / pattern.format(index)
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix in (".tif", ".tiff") and given:
                    tifffile.imwrite(path, content, **given)
                else:
                    save(path, content)
            labels[image.format(index)] = drawn
        return Truth(task="binary" if kinds == 1 else "multiclass", labels=labels)

    return draw


def bits(folder: Path, *, white_is_zero: bool = False) -> Truth:
    """Masks of one bit per pixel."""
    labels = {}
    for index in range(1, 6):
        drawn = areas(index)
        save(folder / f"img/{index}.tif", picture(drawn, index))
        path = folder / f"msk/{index}.tif"
        path.parent.mkdir(exist_ok=True)
        if white_is_zero:
            tifffile.imwrite(path, drawn == 0, photometric="miniswhite")
        else:
            Image.fromarray(255 * drawn.astype(np.uint8)).convert("1").save(path, compression="group4")
        labels[f"img/{index}.tif"] = drawn
    return Truth(task="binary", labels=labels)


def palettes(folder: Path) -> Truth:
    """Palette masks in which a program numbered the colours anew in each file."""
    labels = {}
    colours = np.array([(0, 0, 0), (200, 30, 30), (30, 200, 30), (30, 30, 200)], np.uint8)
    for index in range(1, 7):
        drawn = areas(index, 3)
        drawn[drawn == 1 + index % 3] = 0
        save(folder / f"images/{index}.png", picture(drawn, index))
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(colours[drawn]).quantize(4).save(folder / f"masks/{index}.png")
        labels[f"images/{index}.png"] = drawn
    return Truth(task="multiclass", labels=labels)


def cmyk(folder: Path) -> Truth:
    """Photographs from a publisher, in CMYK."""
    labels = {}
    for index in range(1, 6):
        drawn = areas(index)
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(picture(drawn, index)).convert("CMYK").save(folder / f"photos/{index}.jpg")
        save(folder / f"masks/{index}.png", 255 * drawn.astype(np.uint8))
        labels[f"photos/{index}.jpg"] = drawn
    return Truth(task="binary", labels=labels)


def jpeg2000(folder: Path) -> Truth:
    """Sentinel-2 tiles as JPEG 2000."""
    labels = {}
    for index in range(1, 6):
        drawn = areas(index)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(picture(drawn, index)).save(folder / f"images/T32_{index}.jp2", irreversible=False)
        save(folder / f"masks/T32_{index}.tif", drawn.astype(np.uint8))
        labels[f"images/T32_{index}.jp2"] = drawn
    return Truth(task="binary", labels=labels)


def avif(folder: Path) -> Truth:
    """Photographs as AVIF."""
    labels = {}
    for index in range(1, 6):
        drawn = areas(index)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(picture(drawn, index)).save(folder / f"images/{index}.avif")
        save(folder / f"masks/{index}.png", 255 * drawn.astype(np.uint8))
        labels[f"images/{index}.avif"] = drawn
    return Truth(task="binary", labels=labels)


def synthia(folder: Path) -> Truth:
    """SYNTHIA (Ros et al. 2016): class numbers in red, object numbers in green, of 16 bits."""
    labels = {}
    import imagecodecs

    for index in range(1, 6):
        drawn = areas(index, 4)
        save(folder / f"RGB/{index:07}.png", picture(drawn, index))
        path = folder / f"GT/LABELS/{index:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = np.dstack([drawn, np.cumsum(drawn > 0, 0) // 9, 0 * drawn]).astype(np.uint16)
        path.write_bytes(imagecodecs.png_encode(content))
        labels[f"RGB/{index:07}.png"] = drawn
    return Truth(task="multiclass", labels=labels)


def ade_full(folder: Path) -> Truth:
    """ADE20K, the full set (Zhou et al. 2017): classes in red and green, objects in blue, beside each image."""
    labels = {}
    for index in range(1, 6):
        drawn = areas(index, 4)
        number = np.array([0, 312, 976, 1125, 2978])[drawn]
        content = np.dstack([number // 256 * 10, number % 256, np.cumsum(drawn > 0, 0) % 200]).astype(np.uint8)
        name = f"images/ADE/training/urban/street/ADE_train_{index:08}"
        save(folder / f"{name}.jpg", picture(drawn, index))
        save(folder / f"{name}_seg.png", content)
        labels[f"{name}.jpg"] = drawn
    return Truth(task="multiclass", labels=labels)


def jpeg_colours(quality: int, colours: tuple[tuple[int, int, int], ...], table: str = "") -> Draw:
    """Masks in colours, saved as JPEG without subsampling of colours."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for index in range(1, 7):
            small = areas(index, len(colours) - 1)
            small[2:5] = 0
            drawn = np.kron(small, np.ones((4, 4), int))
            save(folder / f"images/{index}.jpg", picture(drawn, index))
            content = np.array(colours, np.uint8)[drawn]
            save(folder / f"masks/{index}.jpg", content, quality=quality, subsampling=0)
            labels[f"images/{index}.jpg"] = drawn
        if table:
            (folder / "labels.csv").write_text(table, encoding="utf-8")
        return Truth(task="multiclass" if len(colours) > 2 else "binary", labels=labels)

    return draw


def wide_numbers(folder: Path) -> Truth:
    """Few objects with random numbers of 64 bits: their values in between are no shades of edges."""
    labels = {}
    for index in range(1, 6):
        drawn = cells(index)
        rng = np.random.default_rng(index)
        numbers = np.concatenate([[0], rng.integers(1 << 40, 1 << 60, drawn.max(), dtype=np.uint64)]).astype(np.uint64)
        save(folder / f"img/{index}.png", picture(drawn > 0, index, 1))
        (folder / "lab").mkdir(exist_ok=True)
        tifffile.imwrite(folder / f"lab/{index}.tif", numbers[drawn])
        labels[f"img/{index}.png"] = drawn
    return Truth(task="instance", labels=labels)


def packed_objects(folder: Path) -> Truth:
    """iSAID (Zamir et al. 2019): classes as colours, objects as numbers packed into RGB."""
    labels = {}
    for index in range(1, 6):
        drawn = cells(index)
        number = drawn * 37 + (drawn > 0) * 300
        name = f"train/images/P{index:04}"
        save(folder / f"{name}.png", picture(drawn > 0, index))
        ids = np.dstack([number & 255, number >> 8 & 255, number >> 16]).astype(np.uint8)
        save(folder / f"train/Instance_masks/P{index:04}_instance_id_RGB.png", ids)
        labels[f"{name}.png"] = drawn
    return Truth(task="instance", labels=labels, options={"task": "instance"})


SETS: dict[str, Draw] = {
    "JPEG colours": jpeg_colours(90, ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))),
    "JPEG colours, table": jpeg_colours(
        95, ((0, 0, 0), (255, 0, 0), (0, 255, 0)), "class,r,g,b\nground,0,0,0\nroof,255,0,0\ntree,0,255,0\n"
    ),
    "JPEG, green on black": jpeg_colours(85, ((0, 0, 0), (0, 255, 0))),
    "numbers of 64 bits": wide_numbers,
    "LZW": saved("images/{}.tif", "masks/{}.tif", image_options={"compression": "lzw"}, compression="lzw"),
    "ZSTD": saved("images/{}.tif", "masks/{}.tif", image_options={"compression": "zstd"}, compression="zstd", kinds=3),
    "tiled TIFF": saved("images/{}.tif", "masks/{}.tif", image_options={"tile": (16, 16)}, tile=(16, 16)),
    "planar TIFF": saved(
        "images/{}.tif", "masks/{}.tif", image_options={"photometric": "rgb", "compression": "deflate"}, byteorder=">"
    ),
    "one bit": bits,
    "one bit, white is 0": lambda folder: bits(folder, white_is_zero=True),
    "palettes": palettes,
    "CMYK": cmyk,
    "JPEG 2000": jpeg2000,
    "AVIF": avif,
    "WebP": paired(("images/{}.webp", "masks/{}.png"), count=5),
    "BMP": paired(("images/{}.bmp", "masks/{}.bmp"), count=5),
    "16-bit numbers": objects("images/{}.png", "masks/{}.png", count=5),
    "iSAID": packed_objects,
}
