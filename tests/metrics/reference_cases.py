"""126 pairs of small volumes with the reference's answers, for the tests beside this file."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "surface_score"
SCORES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "scores.json").read_text())


@lru_cache(maxsize=1)
def _volumes() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "cases.npz") as archive:
        return {name: archive[name] for name in archive.files}


def pair_of(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and label of a case, (Z, Y, X)."""
    return _volumes()[f"{case}_pred"], _volumes()[f"{case}_label"]
