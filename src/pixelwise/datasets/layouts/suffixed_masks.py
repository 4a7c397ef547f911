"""Images with label files beside them whose names end in a known way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, MaskFile
from pixelwise.datasets.formats.image_index import FoundImage, ImageIndex, name_images, split_of
from pixelwise.io.volumes.names import stem_of


@dataclass(frozen=True, kw_only=True)
class SuffixedMasks:
    """Images with the label file that is used, and the label files that are not."""

    images: tuple[AnnotatedImage, ...]
    unused: tuple[Path, ...]


def find_suffixed_masks(index: ImageIndex, endings: Sequence[str], skipped: Sequence[str] = ()) -> SuffixedMasks:
    """Pair ``NAME.EXT`` with ``NAME<ending>.EXT`` in one folder, whatever the extensions.

    Parameters
    ----------
    endings : sequence of str
        In the order of preference; they are compared without regard to case.
    skipped : sequence of str
        Endings of files that are neither images nor labels.
    """
    bases = {(path.parent, stem_of(path).casefold()) for path in index.files}
    masks: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    images: list[Path] = []
    for path in index.files:
        stem = stem_of(path).casefold()
        base, rank = _without_ending(stem, endings)
        if rank is not None and any((path.parent, other) in bases for other in (base, f"{base}_img")):
            masks.setdefault((path.parent, base), []).append((rank, path))
        elif not any(stem.endswith(ending.casefold()) for ending in skipped):
            images.append(path)
    found: list[FoundImage] = []
    used: set[Path] = set()
    for path in images:
        stem = stem_of(path).casefold()
        candidates = masks.get((path.parent, stem)) or masks.get((path.parent, stem.removesuffix("_img")))
        mask = min(candidates)[1] if candidates else None
        used |= {mask} if mask is not None else set()
        split = split_of(path.relative_to(index.root).parts[:-1])
        found.append(FoundImage(image=path, annotation=None if mask is None else MaskFile(path=mask), split=split))
    unused = tuple(path for paths in masks.values() for _, path in paths if path not in used)
    return SuffixedMasks(images=name_images(index.root, found), unused=unused)


def _without_ending(stem: str, endings: Sequence[str]) -> tuple[str, int | None]:
    """Return a stem without its ending, and the rank of the ending; None if it has none of them."""
    fitting = [ending for ending in endings if stem.endswith(ending.casefold()) and len(stem) > len(ending)]
    if not fitting:
        return stem, None
    longest = max(fitting, key=len)
    return stem[: -len(longest)], endings.index(longest)
