"""Who takes part in the ensemble, and where their flattened probabilities lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.blend import blend
from scroll.config.schema import Settings
from scroll.data.sheets import Sheet
from scroll.inference.prediction_store import open_map
from scroll.runtime.run_folder import END_TO_END, STAGE2

ENSEMBLE = "ensemble"
EQUAL, MEMBERS_MEAN = "equal mean", "mean of members"  # what fitted weights, and stage two, have to beat


def predictor_names(settings: Settings) -> list[str]:
    """Every member that is fitted, in the order of the settings, then stage two, then the end-to-end network if asked for."""
    return [*settings.stage1.fitted, STAGE2, *([END_TO_END] if settings.end_to_end is not None else [])]


def blend_weights(settings: Settings, fitted: dict[str, float], name: str) -> dict[str, float]:
    """The predictors that a row of a table blends, and how much each counts: one for a predictor itself, several for a blend."""
    blends = {
        ENSEMBLE: fitted,
        EQUAL: dict.fromkeys(predictor_names(settings), 1.0),
        MEMBERS_MEAN: dict.fromkeys(settings.stage1.fitted, 1.0),
    }
    return blends.get(name, {name: 1.0})


def flat_map(folder: Path, name: str, hint: str) -> NDArray[np.float32]:
    """A predictor's probability on the sheet, (Y, X) at working resolution; of several layers, the highest.

    Raises:
        MissingInputError: it is not there; `hint` names the command that makes it.
    """
    channels = open_map(folder / ("ink.zarr" if name in (STAGE2, END_TO_END) else "flat.zarr"), hint)
    return np.asarray(channels[:], dtype=np.float32).max(axis=0)


@dataclass(frozen=True)
class AtLeast:
    """Where a (Y, X) map reaches a threshold, row strip by row strip as it is sliced."""

    prob: Any
    threshold: float

    def __getitem__(self, rows: slice) -> NDArray[np.bool_]:
        """Rows as (n, X) bool."""
        return np.asarray(self.prob[rows] >= self.threshold)


@dataclass(frozen=True)
class FullSize:
    """A (Y, X) map at working resolution seen at full resolution, interpolated row strip by row strip as it is sliced."""

    coarse: NDArray[np.float32]
    bin_yx: int
    shape: tuple[int, int]
    dtype: type = np.float32

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        """Rows by a slice, or rows and columns by two; an ellipsis before them is allowed."""
        parts = [part for part in (key if isinstance(key, tuple) else (key,)) if part is not Ellipsis]
        rows, columns = (*parts, slice(None), slice(None))[:2]
        above, below, share = self._neighbours(0, rows)
        left, right, share_x = self._neighbours(1, columns)
        if not above.size:
            return np.empty((0, left.size), dtype=np.float32)
        first, last = above.min(), below.max() + 1
        strip = self.coarse[first:last]
        wide = strip[:, left] * (1 - share_x) + strip[:, right] * share_x
        rows_up, rows_down = wide[above - first], wide[below - first]
        return np.asarray(rows_up * (1 - share[:, None]) + rows_down * share[:, None], dtype=np.float32)

    def _neighbours(self, axis: int, picked: slice) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The two coarse pixels around each full-resolution one, and the share of the second; a coarse pixel is its block's centre."""
        fine = np.arange(self.shape[axis])[picked]
        place = np.clip((fine + 0.5) / self.bin_yx - 0.5, 0, self.coarse.shape[axis] - 1)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, self.coarse.shape[axis] - 1)
        return below, above, (place - below).astype(np.float32)


def blended(settings: Settings, fragment: Sheet, folder: Path, weights: dict[str, float]) -> "FullSize":
    """The weighted mean of the predictors named in `weights`, seen at full resolution."""
    maps = [flat_map(folder / name, name, "run ensemble/predict.py again") for name in weights]
    return FullSize(blend(maps, list(weights.values())), settings.data.bin_yx, fragment.shape_yx)
