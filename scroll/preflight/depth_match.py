"""Which way, how deep and at which scale a stack must lie for its depth profile to look like that of the training data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scroll.preflight.depth_profile import FREQUENCIES, PER_OCTAVE, DepthProfile, FloatArray, Windows
from scroll.runtime.compiled import njit

SCALE_STEPS = np.arange(-11, 12)  # of 1 / PER_OCTAVE octave: in-plane scales from 0.39 to 2.6
REACH_LAYERS = 14  # offsets looked at; the next wrap is some 20 layers away and looks much the same
SHEET_LAYERS = (
    4.0  # rows count as a Gaussian of this sd about the sheet's centre: neighbours lie differently everywhere
)
FAR_SHARE = 0.03  # ... and at least this
LEAST_SHARE = 0.6  # of the rows' weight that must lie inside the stack
GAINS = np.arange(
    -1.2, 1.3, 0.3
)  # log power of the papyrus texture over the training's, with a price on departing from it
GAIN_PRICE = 0.05
POWER_SD, BRIGHTNESS_SD = 0.3, 0.1  # what two stacks of the same papyrus differ by at least
INDEPENDENT_WINDOWS = 3.0  # windows overlap, and neighbours are alike
CLIP_SD = 6.0
MOST_WANDER, WANDER_PRICE = 7, 0.05  # layers that the sheet of a window may lie off the mean; price per layer squared
NOISE_SD, NOISE_CLIP_SD, NOISE_SHARE = 0.3, 3.0, 0.3
NOISE_MOST = 2.0  # a noise that fits at no scale is another scanner's and tells nothing
_USED = np.flatnonzero((FREQUENCIES >= 0.04) & (FREQUENCIES <= 0.4))  # below: the window's own shape; above: resampling


@dataclass(frozen=True)
class Match:
    """The costs (flip, offset, scale) of all hypotheses, infinite where too little of the sheet would be inside the stack.

    A cost is a mean square in standard deviations: about 1 where a stack looks like the training data.
    """

    costs: FloatArray
    steps: NDArray[np.int_]  # of scale, what the third axis stands for

    @property
    def offsets(self) -> NDArray[np.int_]:
        """Layers that the second axis stands for."""
        return np.arange(-REACH_LAYERS, REACH_LAYERS + 1)

    @property
    def best(self) -> tuple[int, int, int]:
        """Where the least cost stands."""
        flip, offset, scale = np.unravel_index(int(np.argmin(self.costs)), self.costs.shape)
        return int(flip), int(offset), int(scale)

    @property
    def offset_layers(self) -> float:
        """How much deeper than in training the sheet is, layers counted in the direction of the training."""
        flip, offset, scale = self.best
        return float(self.offsets[0] + offset + _vertex(self.costs[flip, :, scale], offset))

    @property
    def scale(self) -> float:
        """Pixels per millimetre of the sheet, over those of the training."""
        flip, offset, scale = self.best
        step = self.steps[scale] + _vertex(self.costs[flip, offset], scale)
        return float(2 ** (step / PER_OCTAVE))


def _vertex(costs: FloatArray, at: int) -> float:
    """Where the parabola through a least cost and its two neighbours is lowest, -0.5 to 0.5 steps from it."""
    if not 0 < at < len(costs) - 1:
        return 0.0
    before, least, after = costs[at - 1 : at + 2]
    bend = before - 2 * least + after
    return float(0.5 * (before - after) / bend) if np.isfinite(bend) and bend > 0 else 0.0


def match(windows: Windows, reference: DepthProfile, steps: NDArray[np.int_] = SCALE_STEPS) -> Match:
    """Compare a stack with the training data under every hypothesis of direction, offset and in-plane scale.

    The texture expected at a frequency is the training's papyrus texture there, stretched by the scale, plus the noise
    of the stack itself: a noisier scan is no other scale. How the noise itself is stretched counts for little.
    A sheet is seldom flat: under either direction the windows are first put in line with one another.
    """
    costs = []
    for either in (windows, windows.reversed()):
        rough = Match(_costs(either.mean(), reference, steps)[None], steps)
        _, offset, scale = rough.best
        shifts = window_shifts(either, reference, int(steps[scale]), int(rough.offsets[offset]))
        costs.append(_costs(either.mean(shifts - shifts.mean()), reference, steps))
    return Match(np.stack(costs), steps)


def window_shifts(windows: Windows, reference: DepthProfile, step: int = 0, offset: int = 0) -> FloatArray:
    """Layers by which the sheet of each window (W,) is deeper than in training, near `offset`, at a scale of `step`."""
    bands, expected, spread = _expected(windows.noise, reference, step)
    power = windows.log_power[..., bands]
    nearby = np.arange(-MOST_WANDER, MOST_WANDER + 1)
    shifts = []
    for brightness, own in zip(windows.brightness, power, strict=True):
        costs = _depth_costs(brightness, own, reference, expected, spread, offset + nearby) + WANDER_PRICE * nearby**2
        least = int(np.argmin(costs))
        shifts.append(offset + nearby[least] + _vertex(costs, least) if np.isfinite(costs[least]) else offset)
    return np.array(shifts, dtype=float)


def _costs(profile: DepthProfile, reference: DepthProfile, steps: NDArray[np.int_]) -> FloatArray:
    """Cost of every (offset, scale) of a stack taken to lie in the direction of the training."""
    offsets = np.arange(-REACH_LAYERS, REACH_LAYERS + 1)
    costs = np.empty((len(offsets), len(steps)))
    for at, step in enumerate(steps):
        bands, expected, spread = _expected(profile.noise, reference, int(step))
        noise = NOISE_SHARE * _noise_cost(profile.noise, reference.noise, int(step))
        power = profile.log_power[..., bands]
        costs[:, at] = noise + _depth_costs(profile.brightness, power, reference, expected, spread, offsets)
    return costs


def _expected(noise: FloatArray, reference: DepthProfile, step: int) -> tuple[NDArray[np.int_], FloatArray, FloatArray]:
    """Bands of the stack, and for them log power (gain, Z, 2, band) and its spread (Z, 2, band) at a scale of `step`."""
    bands = _USED[_USED + step >= 0]
    trained = np.minimum(bands + step, len(FREQUENCIES) - 1)
    papyrus = np.maximum(np.exp(reference.log_power) - reference.noise, 0)[..., trained] * _stretch(bands, step)
    papyrus = np.where(bands + step < len(FREQUENCIES), papyrus, 0.0)  # finer than the training's pixels: nothing known
    expected = np.log(papyrus * np.exp(GAINS)[:, None, None, None] + noise[bands])
    papyrus_share = 1 - noise[bands] / np.exp(expected[len(GAINS) // 2])
    wander = reference.power_spread[:, None, trained] * papyrus_share
    return bands, expected, np.sqrt(POWER_SD**2 + wander**2 / INDEPENDENT_WINDOWS)


def _stretch(bands: NDArray[np.int_], step: int) -> FloatArray:
    """Power per pixel of a stack of another scale over that of the training; coarser pixels are means over finer ones."""
    scale = 2.0 ** (step / PER_OCTAVE)
    blur = np.sinc(FREQUENCIES[bands]) / np.sinc(FREQUENCIES[bands] * scale) if step < 0 else np.ones(len(bands))
    return blur**2 * scale**2


def _noise_cost(noise: FloatArray, trained_noise: FloatArray, step: int) -> float:
    """Mean square difference in shape between the noise of the stack and that of the training at a scale of `step`."""
    bands = _USED[(_USED + step >= 0) & (_USED + step < len(FREQUENCIES))]
    over = np.log(noise[bands]) - np.log(trained_noise[bands + step] * _stretch(bands, step))
    squares = np.minimum(((over - np.median(over)) / NOISE_SD) ** 2, NOISE_CLIP_SD**2)
    return min(float(squares.sum() + len(_USED) - len(bands)) / len(_USED), NOISE_MOST)


def _depth_costs(
    brightness: FloatArray,
    power: FloatArray,
    reference: DepthProfile,
    expected: FloatArray,
    spread: FloatArray,
    offsets: NDArray[np.int_],
) -> FloatArray:
    """Cost of each offset (N,), by those layers of the training (T,) that are in the stack; infinite where these are too few."""
    trained, depth = len(reference.brightness), len(brightness)
    rows = np.arange(trained) - trained // 2
    weights = np.exp(-0.5 * (rows / SHEET_LAYERS) ** 2) + FAR_SHARE
    found = rows + offsets[:, None] + depth // 2  # (N, T), where the training's layers would be in the stack
    weights = np.where((found >= 0) & (found < depth), weights / weights.sum(), 0.0)
    found, share = np.clip(found, 0, depth - 1), weights.sum(axis=1)
    bands = [np.ascontiguousarray(part.reshape(*part.shape[:-2], -1)) for part in (power, expected, spread)]
    texture = (_texture_costs(*bands, found, weights) + GAIN_PRICE * GAINS**2).min(axis=1)
    sd = np.hypot(BRIGHTNESS_SD, reference.brightness_spread / np.sqrt(INDEPENDENT_WINDOWS))
    light = np.minimum(((brightness[found] - reference.brightness) / sd) ** 2, CLIP_SD**2)
    costs = texture + (light * weights).sum(axis=1) + 2 * (1 - share)
    return np.where(share < LEAST_SHARE, np.inf, costs)


@njit(cache=True)
def _texture_costs(
    power: FloatArray, expected: FloatArray, spread: FloatArray, found: NDArray[np.int_], weights: FloatArray
) -> FloatArray:
    """(N, G) mean squares in standard deviations of power (Z, B) from what is expected, (G, T, B) with its spread (T, B), at the layers
    `found` (N, T), weighted by (N, T)."""
    bands = power.shape[1]
    costs = np.zeros((len(found), len(expected)))
    for n in range(len(found)):
        for t in range(found.shape[1]):
            if weights[n, t] > 0:
                for gain in range(len(expected)):
                    squares = 0.0
                    for band in range(bands):
                        off = (power[found[n, t], band] - expected[gain, t, band]) / spread[t, band]
                        squares += min(off * off, CLIP_SD**2)
                    costs[n, gain] += weights[n, t] * squares / bands
    return costs
