"""The examples in the docstrings of whole-volume work are true."""

import doctest
from types import ModuleType

import numpy as np
import pytest

import scripts.bench_scale
import scroll.data.intensity
import scroll.shards.grid
import scroll.shards.plan
import scroll.shards.requested
import scroll.shards.work

MODULES = [
    scroll.data.intensity, scroll.shards.grid, scroll.shards.plan, scroll.shards.requested, scroll.shards.work, scripts.bench_scale,
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_hold(module: ModuleType) -> None:
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted and not found.failed
