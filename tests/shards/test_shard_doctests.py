"""The examples in the docstrings of whole-volume work are true."""

import doctest
from types import ModuleType

import numpy as np
import pytest

import scripts.bench_scale
import scroll.grey_scale
import scroll.shards.grid
import scroll.shards.plan
import scroll.shards.wanted
import scroll.shards.work

MODULES = [
    scroll.grey_scale, scroll.shards.grid, scroll.shards.plan, scroll.shards.wanted, scroll.shards.work, scripts.bench_scale,
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_hold(module: ModuleType) -> None:
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted and not found.failed
