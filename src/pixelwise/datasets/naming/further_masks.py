"""Find further mask files of an image, named like its mask with a number: ``7_mask_1.png`` beside ``7_mask.png``.

Sets in which most images have one mask have more for a few of them, one per object, such as BUSI (Al-Dhabyani et al.
2020, "Dataset of breast ultrasound images").
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pixelwise.datasets.naming.folder_names import pairing_name, strip_mask_words


def find_further_masks(masks: Iterable[Path], files: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    """Return the files that are named like a mask with a number added, by that mask.

    Parameters
    ----------
    masks : iterable of Path
        Masks of a pair. Those without a word for masks in their name are skipped: ``7_1.png`` may be another image.
    files : iterable of Path
        Files without a partner.

    Examples
    --------
    >>> found = find_further_masks([Path("7_mask.png"), Path("8.png")], [Path("7_mask_1.png"), Path("8_1.png")])
    >>> [(mask.name, [path.name for path in paths]) for mask, paths in found.items()]
    [('7_mask.png', ['7_mask_1.png'])]
    """
    by_name = {name: path for path in masks if strip_mask_words(name := _bare(path)) != name}
    found: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        match = re.match(r"^(.*?)[_ .-]?\(?\d+\)?$", pairing_name(path))
        if match and match[1] in by_name:
            found[by_name[match[1]]].append(path)
    return {mask: tuple(sorted(paths)) for mask, paths in found.items()}


def take_numbered(missing: list[Path], orphans: list[Path]) -> dict[Path, Path]:
    """Return the first of the numbered masks of images without one, such as ``7_mask1.png``, and remove both.

    The others are found as further masks of it.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in orphans:
        bare = _bare(path)
        if strip_mask_words(bare) != bare:
            by_name[strip_mask_words(bare)].append(path)
    chosen = {image: by_name[pairing_name(image)][0] for image in missing if pairing_name(image) in by_name}
    missing[:] = [image for image in missing if image not in chosen]
    orphans[:] = [mask for mask in orphans if mask not in chosen.values()]
    return chosen


def _bare(mask: Path) -> str:
    """Return the name of a mask; of ``7_mask1``, which has no mask without a number beside it, without the number."""
    name = pairing_name(mask)
    bare = re.sub(r"[_ .-]?\d+$", "", name)
    return bare if strip_mask_words(name) == name and strip_mask_words(bare) != bare else name
