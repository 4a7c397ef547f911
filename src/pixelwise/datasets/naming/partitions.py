"""Divide the files of one folder into two kinds whose names pair one to one, such as ``3_sat`` and ``3_map``."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelwise.datasets.naming.folder_names import pairing_name
from pixelwise.datasets.naming.rules import align, boundaries, find_rule
from pixelwise.io.volumes.names import suffix_of

_TRIED = 12  # partitions


def partitions(files: Sequence[Path]) -> Iterator[list[tuple[Path, Path]]]:
    """Yield ways to divide files into two halves whose names pair one to one: by extension, by suffix, by prefix.

    The second file of each pair has the extension or affix; which of the two is the mask is not known.

    Examples
    --------
    >>> files = [Path(name) for name in ("1_sat.jpg", "1_map.jpg", "2_sat.jpg", "2_map.jpg")]
    >>> [[(one.name, two.name) for one, two in pairs] for pairs in partitions(files)]
    [[('1_map.jpg', '1_sat.jpg'), ('2_map.jpg', '2_sat.jpg')]]
    """
    if len(files) % 2 or len(files) < 4:
        return
    tried = set[frozenset[Path]]()
    for second in _halves(files):
        if frozenset(second) in tried or len(tried) > _TRIED:
            continue
        first = [path for path in files if path not in second]
        tried |= {frozenset(first), frozenset(second)}
        if (rule := find_rule(first, list(second))) is not None:
            yield align(rule, first, list(second))


def _halves(files: Sequence[Path]) -> Iterator[set[Path]]:
    """Yield sets of half of the files with one extension, prefix or suffix."""
    half = len(files) // 2
    names = {path: pairing_name(path) for path in files}
    extensions = Counter(suffix_of(path).casefold() for path in files)
    for extension in (extension for extension, count in extensions.items() if count == half):
        yield {path for path in files if suffix_of(path).casefold() == extension}
    suffixes = Counter(name[cut:] for name in names.values() for cut in boundaries(name))
    for suffix in (suffix for suffix, count in suffixes.items() if count == half):
        yield {path for path, name in names.items() if name.endswith(suffix)}
    prefixes = Counter(name[:cut] for name in names.values() for cut in boundaries(name))
    for prefix in (prefix for prefix, count in prefixes.items() if count == half):
        yield {path for path, name in names.items() if name.startswith(prefix)}
