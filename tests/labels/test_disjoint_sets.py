"""Disjoint sets: equal to following the links from every item."""

from hypothesis import given
from hypothesis import strategies as st

from pixelwise.labels.disjoint_sets import first_linked

COUNT = 12
ITEMS = st.integers(0, COUNT - 1)


@given(st.lists(st.tuples(ITEMS, ITEMS), max_size=20))
def test_each_item_gets_the_smallest_that_can_be_reached(links: list[tuple[int, int]]) -> None:
    expected: list[int] = []
    for item in range(COUNT):
        reached, waiting = {item}, [item]
        while waiting:
            here = waiting.pop()
            further = {b if a == here else a for a, b in links if here in (a, b)} - reached
            reached |= further
            waiting += further
        expected.append(min(reached))
    assert first_linked(COUNT, links).tolist() == expected


def test_nothing_is_linked() -> None:
    assert first_linked(0, []).tolist() == []
    assert first_linked(3, []).tolist() == [0, 1, 2]
