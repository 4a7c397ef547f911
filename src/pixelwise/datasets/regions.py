"""Regions of a data set: sets of classes that overlap or contain one another, from dataset.json or ``--regions``.

As in nnU-Net v2 (documentation/region_based_training.md): each region is a set of mask values, and has a value of its
own that is written into masks, region by region.
"""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet, NamedRegion
from pixelwise.datasets.options import DataOptions, parse_region
from pixelwise.datasets.records import Labelling, Region
from pixelwise.errors import BadDataset

_HINT = "Example: --regions whole=1+2+3,core=2+3,enhancing=3; the first number of each is written into masks."


def find_regions(
    root: Path, labelling: Labelling, annotated: AnnotatedSet | None, options: DataOptions
) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """Return the regions of a data set in the order in which they are written, and a message.

    Raises
    ------
    BadDataset
        Objects, masks without a background, a value of no class, a value written for two regions, or a class in none.
    """
    given = tuple(NamedRegion(name, values, values[0]) for name, values in map(parse_region, options.regions))
    stated = given or (annotated.regions if annotated is not None else ())
    if not stated:
        return (), ()
    source = "--regions" if given or annotated is None else annotated.format
    _check(root, labelling, stated)
    index = {value: number for number, value in enumerate(labelling.values)}
    regions = tuple(
        Region(name=one.name, classes=tuple(sorted(index[value] for value in one.values)), written=index[one.written])
        for one in stated
    )
    shown = ", ".join(f"{one.name} ({' + '.join(map(str, one.values))})" for one in stated)
    return regions, (f"Regions in the order in which they are written: {shown} ({source}; --regions).",)


def _check(root: Path, labelling: Labelling, stated: Sequence[NamedRegion]) -> None:
    if labelling.task == "instance" or labelling.coded_by_colour or labelling.threshold is not None:
        got = "objects" if labelling.task == "instance" else "colours or gray values"
        raise BadDataset("masks of class numbers for regions", got, "Leave --regions out.", root)
    background, *others = labelling.values
    for one in stated:
        if one.written not in one.values or not set(one.values) <= set(others):
            got = f"{one.name} of {', '.join(map(str, one.values))}, written as {one.written}"
            known = ", ".join(map(str, others))
            raise BadDataset(f"regions of the values {known}, with {background} as background", got, _HINT, root)
    names, written = [one.name for one in stated], [one.written for one in stated]
    if len(set(names)) < len(names) or len(set(written)) < len(written):
        got = ", ".join(f"{one.name} ({one.written})" for one in stated)
        raise BadDataset("another name and another written value for each region", got, _HINT, root)
    if missing := set(others) - {value for one in stated for value in one.values}:
        got = f"none with {', '.join(map(str, sorted(missing)))}"
        raise BadDataset("a region for each class", got, _HINT, root)
