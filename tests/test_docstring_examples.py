"""The examples in the docstrings are true."""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("scroll", "stage1_3d", "stage2_2d", "ensemble", "scripts")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
WITH_EXAMPLES = [path for path in FILES if re.search(r"^ +>>> ", (ROOT / path).read_text(), re.MULTILINE)]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_the_examples_in_the_docstrings_are_true(path: Path) -> None:
    found = doctest.testmod(importlib.import_module(".".join(path.with_suffix("").parts)), extraglobs={"np": np})
    assert found.attempted and not found.failed
