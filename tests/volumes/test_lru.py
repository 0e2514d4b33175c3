"""The cache keeps what was used last, within its limit, and nothing else."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from scroll.volumes.lru import LruCache


@given(limit=st.integers(0, 20), asked=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 8)), max_size=60))
def test_it_holds_the_last_used_within_the_limit_and_always_the_newest(limit, asked):
    cache = LruCache(limit, len)
    sizes = dict(reversed(asked))
    kept: list[int] = []  # keys, the one used longest ago first: the slow, clear model
    for key, _ in asked:
        made = []
        value = cache.get(key, lambda key=key, made=made: made.append(key) or "x" * sizes[key])
        assert value == "x" * sizes[key]
        assert bool(made) == (key not in kept)
        kept = [*(other for other in kept if other != key), key]
        while sum(sizes[other] for other in kept) > limit and len(kept) > 1:
            kept.pop(0)
        assert cache.spent == sum(sizes[other] for other in kept)
        assert len(cache) == len(kept)


def test_another_process_begins_with_an_empty_one():
    cache = LruCache(10, len)
    cache.get("a", lambda: "xyz")
    twin = pickle.loads(pickle.dumps(cache))
    assert (len(twin), twin.limit, twin.get("a", lambda: "other")) == (0, 10, "other")
