"""Disjoint sets: what is linked, directly or through others, belongs together."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def first_linked(
    count: int, links: Int64[np.ndarray, "links 2"] | Sequence[tuple[int, int]]
) -> Int64[np.ndarray, " items"]:
    """Return for each of `count` items the smallest item that it is linked with, directly or through others.

    Parameters
    ----------
    count : int
        Items are the numbers from 0.
    links : (links, 2) int64 array, or sequence of pairs

    Examples
    --------
    >>> first_linked(5, [(3, 1), (3, 4)]).tolist()
    [0, 1, 2, 1, 1]
    """
    pairs = np.asarray(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component].astype(np.int64)
