"""The most recently used of something that is costly to make."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

Item = TypeVar("Item")


class Recent:
    """Keeps the most recently used items; safe between threads.

    Examples
    --------
    >>> recent = Recent(1)
    >>> recent.get("a", lambda: 1), recent.get("a", lambda: 2), recent.get("b", lambda: 3), recent.get("a", lambda: 4)
    (1, 1, 3, 4)
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._items: OrderedDict[Any, Any] = OrderedDict()
        self._locks: dict[Any, Lock] = {}

    def get(self, key: Any, make: Callable[[], Item]) -> Item:
        """Return the item of a key; it is made once, also if several threads ask for it."""
        with self._lock:
            own = self._locks.setdefault(key, Lock())
        with own:
            with self._lock:
                if key in self._items:
                    self._items.move_to_end(key)
                    return self._items[key]
            item = make()
            with self._lock:
                self._items[key] = item
                while len(self._items) > self._limit:
                    old, _ = self._items.popitem(last=False)
                    self._locks.pop(old, None)
            return item
