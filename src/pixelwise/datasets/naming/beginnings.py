"""Pair files of which one is named like the other with something added that differs from file to file.

Microscopes and web services add a channel and an identifier to the name of an image; its mask has the bare name.
"""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.naming.folder_names import pairing_name
from pixelwise.datasets.naming.rules import boundaries


def pair_by_beginning(images: Sequence[Path], masks: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return image and mask of every pair, if the names of one side begin with those of the other, one to one.

    Parameters
    ----------
    images, masks : sequence of Path
        Only their names are used. A name may be continued where a word or a number ends: ``1`` does not begin ``10``.

    Returns
    -------
    list of (Path, Path)
        Every file is in a pair; empty if they do not pair so.

    Examples
    --------
    >>> images = [Path(name) for name in ("a01_s1_w1F3C9.tif", "a01_s10_w17B02.tif")]
    >>> pairs = pair_by_beginning(images, [Path("a01_s10.png"), Path("a01_s1.png")])
    >>> [(image.name, mask.name) for image, mask in pairs]
    [('a01_s1_w1F3C9.tif', 'a01_s1.png'), ('a01_s10_w17B02.tif', 'a01_s10.png')]
    """
    if not images or len(images) != len(masks):
        return []
    found = _continued(images, masks)
    if found:
        return found
    return sorted((image, mask) for mask, image in _continued(masks, images))


def _continued(long: Sequence[Path], short: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return each file of `long` with the one of `short` whose name it continues; empty unless one to one."""
    by_name = {pairing_name(path): path for path in short}
    pairs: list[tuple[Path, Path]] = []
    for path in long:
        name = pairing_name(path)
        cuts = (cut for cut in reversed(boundaries(name)) if name[:cut] in by_name)
        cut = next(cuts, None)
        if cut is None:
            return []
        pairs.append((path, by_name.pop(name[:cut])))
    return pairs
