"""A cache that forgets what was used longest ago once it holds more than it may."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Any, Generic, TypeVar

from scroll.runtime.processes import sharers

Value = TypeVar("Value")


class LruCache(Generic[Value]):
    """Keep the values last used, as long as their costs add up to at most `limit`; the newest one always stays.

    The limit is that of all processes that load together (`scroll.runtime.processes.sharers`).

    `cost` tells what a value costs (its bytes, or 1); it must be a function that pickle can name. Another process
    starts with an empty cache. Safe to use from several threads.
    """

    def __init__(self, limit: int, cost: Callable[[Value], int]) -> None:
        self.limit = limit
        self.cost = cost
        self.spent = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value under `key`, made by `make()` where it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        return self.keep(key, make())

    def kept(self, keys: Iterable[Hashable]) -> list[Value | None]:
        """The value under each key, None where none is kept."""
        with self._lock:
            for key in (requested := list(keys)):
                if key in self._values:
                    self._values.move_to_end(key)
            return [self._values.get(key) for key in requested]

    def keep(self, key: Hashable, value: Value) -> Value:
        """Keep a value under a key that has none, for as long as there is room; returns it."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self.spent += self.cost(value)
            while self.spent > self.limit // sharers() and len(self._values) > 1:
                self.spent -= self.cost(self._values.popitem(last=False)[1])
        return value

    def peek(self, key: Hashable) -> Value | None:
        """The value under `key` if it is kept; it counts as no use of it."""
        with self._lock:
            return self._values.get(key)

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> Any:
        return LruCache, (self.limit, self.cost)
