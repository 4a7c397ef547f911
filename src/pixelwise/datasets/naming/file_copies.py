"""Files that a file manager has copied beside their original: "a - Copy.png", "a (1).png", "a copy 2.png"."""

import filecmp
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pixelwise.io.volumes.names import stem_of

_WORD = r"(?:another )?(?:copy|kopie|copie|copia|kopia|kopi)"
_AFTER = re.compile(rf" ?(?:\(\d+\)|[-_]? ?\(?{_WORD}\)?(?: ?\(?\d+\)?)?)", re.IGNORECASE)
_BEFORE = re.compile(rf"{_WORD} (?:of|von|de|di) ", re.IGNORECASE)


def find_copies(files: Sequence[Path], originals: Iterable[Path]) -> dict[Path, Path]:
    """Return the files that are copies of originals in the same folder, in name and in every byte, with the original.

    Examples
    --------
    >>> find_copies([Path("a - Copy.png")], [Path("b.png")])
    {}
    """
    if not files:
        return {}
    by_name = {(path.parent, path.name.casefold()): path for path in originals}
    found: dict[Path, Path] = {}
    for path in files:
        original = next((by_name[key] for key in _names_of_original(path) if key in by_name), None)
        if original is not None and path.is_file() and filecmp.cmp(path, original, shallow=False):
            found[path] = original
    return found


def _names_of_original(path: Path) -> list[tuple[Path, str]]:
    """Return the names that the original of a copy may have.

    >>> [name for _, name in _names_of_original(Path("img_3 - Kopie (2).tif"))]
    ['img_3.tif']
    >>> [name for _, name in _names_of_original(Path("Copy of img.nii.gz"))]
    ['img.nii.gz']
    >>> _names_of_original(Path("img_3.tif"))
    []
    """
    stem = stem_of(path)
    suffix = path.name[len(stem) :].casefold()
    ends = [match.start() for match in _AFTER.finditer(stem) if match.end() == len(stem) and match.start()]
    stems = [stem[:end] for end in ends] + [stem[match.end() :] for match in [_BEFORE.match(stem)] if match]
    return [(path.parent, f"{stem.casefold()}{suffix}") for stem in stems]
