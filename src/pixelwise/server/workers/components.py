"""Object tables of class masks: the connected components of each class."""

from dataclasses import replace

import numpy as np
from jaxtyping import Integer, Num

from pixelwise.labels.label_image import components
from pixelwise.labels.region_properties import ObjectTable, measure_objects


def component_tables(
    mask: Integer[np.ndarray, "height width"],
    image: Num[np.ndarray, "channels height width"] | None = None,
) -> list[ObjectTable]:
    """Return the connected components (8 neighbours) of each class but the background 0; ids go on over the classes.

    Examples
    --------
    >>> tables = component_tables(np.array([[1, 0, 1], [0, 0, 2]]))
    >>> [(row.id, row.class_index, row.area) for table in tables for row in table]
    [(1, 1, 1), (2, 1, 1), (3, 2, 1)]
    """
    tables: list[ObjectTable] = []
    before = 0
    for index in np.unique(mask).tolist():
        if index == 0:
            continue
        table = measure_objects(components(mask == index), image, index)
        tables.append(replace(table, ids=table.ids + before))
        before += len(table)
    return tables
