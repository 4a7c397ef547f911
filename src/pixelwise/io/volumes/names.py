"""Names of files whose suffix has two parts: `Path.stem` and `Path.suffix` see only the last one."""

from pathlib import Path

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_TWO_PARTS = (".nii.gz",)


def suffix_of(path: Path) -> str:
    """Return the suffix of a file name, with both parts if it has two.

    Examples
    --------
    >>> suffix_of(Path("brain.v2.nii.gz")), suffix_of(Path("cells.ome.tif"))
    ('.nii.gz', '.tif')
    """
    name = path.name
    return next((name[-len(two) :] for two in _TWO_PARTS if name.casefold().endswith(two)), path.suffix)


def stem_of(path: Path) -> str:
    """Return a file name without the suffix that `suffix_of` returns.

    Examples
    --------
    >>> stem_of(Path("in/brain.v2.nii.gz")), stem_of(Path("cells.ome.tif")), stem_of(Path(".nii.gz"))
    ('brain.v2', 'cells.ome', '.nii.gz')
    """
    return path.name.removesuffix(suffix_of(path)) or path.name


def is_volume_name(name: str) -> bool:
    """Return whether a file name has the suffix of a format for volumes."""
    return not name.startswith(".") and name.casefold().endswith(VOLUME_SUFFIXES)
