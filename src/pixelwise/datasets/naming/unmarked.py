"""Images without a mask because nothing is marked in them: good products, healthy patients.

Folders called normal, good or healthy hold them, or the user says so (`--missing-empty`).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.naming.folder_names import normalised
from pixelwise.datasets.options import DataOptions
from pixelwise.text import pluralise

GOOD_WORDS = frozenset((
    "good", "ok", "normal", "normals", "healthy", "negative", "negatives", "nodefect", "nodefects", "nodefectimages",
    "defectfree", "nocrack", "noncrack", "noncracked", "clean", "free",
))  # fmt: skip


def find_unmarked(root: Path, missing: Sequence[Path], options: DataOptions) -> tuple[list[Path], str]:
    """Return the images without a mask in which nothing is marked, and a message; the others are a problem.

    Parameters
    ----------
    missing : sequence of Path
        Images without a mask.
    options : DataOptions
        `missing_empty`: all of them; `allow_missing`: none, as they are left out.
    """
    if not missing or options.allow_missing:
        return [], ""
    if options.missing_empty:
        count = pluralise(len(missing), "image has", "images have")
        return list(missing), f"{count} no mask: nothing is marked in them (--missing-empty)."
    found = [path for path in missing if any(map(_is_good, path.relative_to(root).parts[:-1]))]
    if not found:
        return [], ""
    name = next(name for name in found[0].relative_to(root).parts if _is_good(name))
    count = pluralise(len(found), "image")
    return (
        found,
        f"{count} in folders such as {name} without a mask: nothing is marked there (--allow-missing: left out).",
    )


def _is_good(name: str) -> bool:
    return re.sub(r"[^a-z]", "", normalised(name)) in GOOD_WORDS
