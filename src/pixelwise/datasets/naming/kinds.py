"""Recognise several files of each image, by the ends of their names: ``7_DAPI.tif``, ``7_GFP.tif``, ``7_mask.tif``."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.naming.folder_names import natural_key, strip_mask_words
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first, pluralise

_MOST = 16  # kinds of files
_WORDS = 3  # at the end of a name, at most


def find_kinds(files: Sequence[Path]) -> tuple[list[str], int]:
    """Return the ends of file names, the same for every image, and the number of images; no ends if there are none.

    In folders with files of the same names, the ends are these names.

    Examples
    --------
    >>> find_kinds([Path(f"a{i}_{kind}.tif") for i in range(3) for kind in ("DAPI", "GFP", "mask")])
    (['_DAPI', '_GFP', '_mask'], 3)
    >>> find_kinds([Path(f"tile_{i}/{kind}.tif") for i in range(3) for kind in ("B02", "B03")])
    (['B02', 'B03'], 3)
    >>> find_kinds([Path(f"a_{i}.tif") for i in range(6)])
    ([], 0)
    """
    names = [(path.parent.as_posix(), stem_of(path)) for path in files]
    found = _complete(names)
    if found is not None and all(map(_has_letter, found[0])):
        return found
    for separator in ("_", "_-", "_. -"):
        for words in range(1, _WORDS + 1):
            end = re.compile(rf"^(.+?)((?:[{re.escape(separator)}][^{re.escape(separator)}]+){{{words}}})$")
            parts = [(place, end.match(name)) for place, name in names]
            cut = [(f"{place}/{match[1]}", match[2]) for place, match in parts if match is not None]
            found = _complete(cut) if len(cut) == len(names) else None
            if found is not None and all(map(_has_letter, found[0])):
                return found
    return [], 0


def _complete(cut: Sequence[tuple[str, str]]) -> tuple[list[str], int] | None:
    """Return the kinds and the number of images if every image has one file of each of several kinds."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for image, kind in cut:
        kinds[image].append(kind)
    each = {tuple(sorted(found)) for found in kinds.values()}
    ends = sorted(each.pop(), key=natural_key) if len(each) == 1 else []
    several = len(kinds) > 1 and 2 <= len(ends) <= _MOST and len(set(ends)) == len(ends)
    return (ends, len(kinds)) if several else None


def _has_letter(kind: str) -> bool:
    return re.search(r"[^\W\d_]", kind) is not None


def describe_kinds(files: Sequence[Path]) -> str:
    """Return a sentence on several files of each image, with the flags that choose among them; else nothing.

    >>> print(describe_kinds([Path(f"a{i}_{kind}.tif") for i in range(3) for kind in ("w1", "w2", "mask")]))
    3 images of 3 files each (_mask, _w1, _w2): choose with --image-suffix _w1 --mask-suffix _mask; channels of one \
image belong in one file.
    """
    ends, count = find_kinds(files)
    if not ends:
        return ""
    shown = list_first(ends, 6)
    merge = "channels of one image belong in one file"
    if ends == sorted({stem_of(path) for path in files}, key=natural_key):
        return f"{pluralise(count, 'folder')} of {pluralise(len(ends), 'file')} each ({shown}): {merge}."
    mask = next((end for end in ends if strip_mask_words(f"x{end.casefold()}") == "x"), "NAME")
    image = next(end for end in ends if end != mask) if mask != "NAME" else "NAME"
    flags = f"--image-suffix {image} --mask-suffix {mask}"
    each = f"{pluralise(count, 'image')} of {pluralise(len(ends), 'file')} each"
    return f"{each} ({shown}): choose with {flags}; {merge}."
