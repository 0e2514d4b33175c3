"""Corruption of the members' probabilities on a sheet, as bad scans and bad tracing do it, for stage two to mend."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from scroll.config.schema import CorruptionSettings

Stack = NDArray[np.float32]
NOTHING = -2.0  # scaled log-odds of a member that sees nothing
MOST_BLOTS, BLOT_VOX = 4, (4.0, 14.0)
FAR_VOX = (4, 7)  # from a sheet to one that it touches
SPECK_SHARE = 0.01
WANDER_VOX = 12.0  # over which a traced sheet strays


def corrupted(
    rng: np.random.Generator, stack: Stack, members: int, settings: CorruptionSettings
) -> tuple[Stack, NDArray[np.float32]]:
    """A corrupted copy of a stack (sources, layers, Y, X), members first, and how far it was shifted, (Y, X) in layers.

    Shifting moves every source, as a sheet traced beside the ridge would see them; the rest changes the members alone, so
    that the CT still tells what is there. A shift of +1 shows at each layer what lay one layer further along the normal.
    """
    stack = stack.copy()
    shift = _wander(rng, stack.shape[2:], settings.shift_vox)
    if settings.shift_vox:
        stack = _shifted(stack, shift)
    if rng.random() < settings.bridges:
        _draw_out(rng, stack[:members])
    if rng.random() < settings.specks:
        _scatter(rng, stack[:members])
    if rng.random() < settings.holes:
        stack[:members, :, _blots(rng, stack.shape[2:])] = NOTHING
    return stack, shift


def _wander(rng: np.random.Generator, shape: tuple[int, ...], sd_vox: float) -> NDArray[np.float32]:
    field = gaussian_filter(rng.standard_normal(shape), WANDER_VOX, mode="wrap")
    field /= max(1e-6, float(field.std()))
    return (sd_vox * (0.7 * field + 0.7 * rng.standard_normal())).astype(np.float32)


def _shifted(stack: Stack, shift: NDArray[np.float32]) -> Stack:
    layers, rows, columns = np.indices(stack.shape[1:], dtype=np.float32)
    places = np.stack([layers + shift, rows, columns])
    return np.stack([map_coordinates(source, places, order=1, mode="nearest") for source in stack])


def _blots(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A few round blots with ragged edges, (Y, X)."""
    rows, columns = np.indices(shape)
    ragged = gaussian_filter(rng.standard_normal(shape), 2.0) * 8
    found = np.zeros(shape, bool)
    for _ in range(int(rng.integers(1, MOST_BLOTS + 1))):
        away = np.hypot(rows - rng.uniform(0, shape[0]), columns - rng.uniform(0, shape[1]))
        found |= away + ragged < rng.uniform(*BLOT_VOX)
    return found


def _draw_out(rng: np.random.Generator, members: Any) -> None:
    """In blots, the ridge reaches as high over some layers to one side: two sheets that touch look so to a member."""
    far = int(rng.integers(FAR_VOX[0], FAR_VOX[1] + 1)) * int(rng.choice([-1, 1]))
    blots = _blots(rng, members.shape[2:])
    drawn = members[:, :, blots]
    for step in range(1, abs(far) + 1):
        moved = np.full_like(drawn, NOTHING)
        by = step if far > 0 else -step
        source = slice(max(0, -by), drawn.shape[1] - max(0, by))
        goal = slice(max(0, by), drawn.shape[1] - max(0, -by))
        moved[:, goal] = members[:, :, blots][:, source]
        drawn = np.maximum(drawn, moved)
    members[:, :, blots] = drawn


def _scatter(rng: np.random.Generator, members: Any) -> None:
    """Specks of probability anywhere in the stack."""
    noise = gaussian_filter(rng.standard_normal(members.shape[1:]), 1.2)
    specks = noise > np.quantile(noise, 1 - SPECK_SHARE)
    members[:, specks] = rng.uniform(0, -NOTHING)
