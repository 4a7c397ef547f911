"""Recognise files that a program made from images: flows, outlines, previews; they are neither images nor masks."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from pixelwise.datasets.naming.folder_names import (
    affix_forms,
    has_affix,
    normalised,
    pairing_name,
    strip_affix,
    strip_image_words,
    strip_mask_words,
)

# longest first; Cellpose writes those with _cp_masks for each of its intermediate results
OUTPUT_AFFIXES = (
    "_outlines_cp_masks", "_cellprob_cp_masks", "_flows_cp_masks", "_dp_cp_masks", "_probabilities", "_cp_outlines",
    "_thumbnail", "_cp_output", "_cellprob", "_outlines", "_overlays", "_cp_flows", "_outline", "_overlay", "_preview",
    "_flows", "_thumb", "_blend", "_dp", "_viz", "_vis", "thumbnail_", "preview_", "overlay_", "thumb_", "vis_",
)  # fmt: skip
OUTPUT_FOLDERS = frozenset((
    "thumb", "thumbs", "thumbnail", "thumbnails", "preview", "previews", "overlay", "overlays", "vis", "viz",
    "visualization", "visualizations", "visualisation", "visualisations", "outlines", "flows", "masks_human",
))  # fmt: skip
PICKLED_SUFFIX = "_seg.npy"
_WORDS = 3  # of the suffix of a derived file, at most


def find_outputs(files: Iterable[Path], keep: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Return the files that are the output of a program, by the affix that shows it.

    Parameters
    ----------
    keep : sequence of str
        Prefixes and suffixes that the user gave for images or masks.

    Notes
    -----
    A file is an output if the file that it was made from is there: without ``7.png``, ``7_vis.png`` is an image.

    Examples
    --------
    >>> found = find_outputs([Path(f"7{end}") for end in (".png", "_cp_masks.png", "_flows.tif")])
    >>> {affix: [path.name for path in paths] for affix, paths in found.items()}
    {'_flows': ['7_flows.tif']}
    """
    paths = list(files)
    names = {pairing_name(path) for path in paths}
    sources = {*names, *map(strip_image_words, names), *map(strip_mask_words, names)}
    affixes = [affix for affix in OUTPUT_AFFIXES if affix not in {normalised(given) for given in keep}]
    found: dict[str, list[Path]] = defaultdict(list)
    forms = affix_forms(*affixes)
    for path in paths:
        name = pairing_name(path)
        if not name.endswith(forms) and not name.startswith(forms):
            continue
        affix = next((affix for affix in affixes if has_affix(name, affix)), None)
        if affix is not None and strip_affix(name, affix) in sources:
            found[affix].append(path)
    return dict(found)


def find_derived(files: Iterable[Path], paired: Sequence[Path]) -> dict[str, list[Path]]:
    """Return files named as those in a pair with one more suffix, by that suffix; it must be there for most pairs.

    Parameters
    ----------
    files : iterable of Path
        Files without a partner.
    paired : sequence of Path
        Images, or masks, with a partner.

    Notes
    -----
    The suffix is a word or a few, with a number if there are several: ``7_1.png`` beside ``7.png`` is another image.

    Examples
    --------
    >>> paired = [Path(f"{i}.jpg") for i in range(3)]
    >>> found = find_derived([Path(f"{i}_superpixels.png") for i in range(3)], paired)
    >>> {suffix: [path.name for path in paths] for suffix, paths in found.items()}
    {'_superpixels': ['0_superpixels.png', '1_superpixels.png', '2_superpixels.png']}
    >>> find_derived([Path(f"{i}_1.jpg") for i in range(3)], paired)
    {}
    """
    names = {pairing_name(path) for path in paired}
    sources = names | {bare for name in names if (bare := strip_image_words(strip_mask_words(name)))}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        name = pairing_name(path)
        suffixes = (name[match.start() :] for match in reversed(list(re.finditer(r"[_. -]", name))[-_WORDS:]))
        for suffix in suffixes:
            if re.fullmatch(r"(?:[_. -][^\W\d_]{2,}\d*)+", suffix) and name.removesuffix(suffix) in sources:
                found[suffix].append(path)
                break
    return {suffix: paths for suffix, paths in found.items() if 2 * len(paths) > len(paired)}
