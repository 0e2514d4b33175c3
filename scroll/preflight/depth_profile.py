"""What a flattened stack looks like layer by layer: brightness, and texture by wavelength and direction of the fibres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2

from scroll.errors import InputError
from scroll.volumes.binning import block_mean

FloatArray = NDArray[np.floating[Any]]
EDGE_PX = 128  # windows are squares of this edge, in pixels of the stack
PER_OCTAVE = 8  # steps of frequency in a doubling: a step is 9 % of in-plane scale
FREQUENCIES = 1.5 / EDGE_PX * 2 ** (np.arange(43) / PER_OCTAVE)  # (K,) cycles per pixel, 0.012 to 0.45
MIDDLE = slice(14, 30)  # 0.04 to 0.15 cycles per pixel, where papyrus has most over noise
BLOCK_PX = 16  # windows begin at multiples of this
LEAST_PAPYRUS = 0.5  # of a window, where none with 0.9 is to be had
QUIET_SHARE = 0.15  # of all layers of all windows, those with the least texture show the scanner's noise


@dataclass(frozen=True)
class DepthProfile:
    """What each of Z layers looks like on the mean of some windows; free of the stack's grey scale.

    `brightness` (Z,) runs from about 0, the darkest layers, to 1, the brightest. `log_power` (Z, 2, K) is the log of
    the power spectral density at `FREQUENCIES`, of changes along y and along x, over the squared range of brightness.
    `noise` (K,) is that of the layers with the least texture, not in logs. The spreads, (Z,) and (Z, K), are standard
    deviations between windows.
    """

    brightness: FloatArray
    log_power: FloatArray
    noise: FloatArray
    brightness_spread: FloatArray
    power_spread: FloatArray


@dataclass(frozen=True)
class Windows:
    """The same of each of W windows: `brightness` (W, Z), `log_power` (W, Z, 2, K), and of all together `noise` (K,)."""

    brightness: FloatArray
    log_power: FloatArray
    noise: FloatArray

    def reversed(self) -> "Windows":
        """The same stack with its layers in the opposite order."""
        return Windows(self.brightness[:, ::-1], self.log_power[:, ::-1], self.noise)

    def mean(self, shifts: FloatArray | None = None) -> DepthProfile:
        """The mean over the windows once that which is `shifts` (W,) layers too deep in each is put in place."""
        brightness, power = self.brightness, self.log_power
        if shifts is not None:
            brightness, power = _moved(brightness, shifts), _moved(power, shifts)
        return DepthProfile(
            brightness=brightness.mean(axis=0),
            log_power=power.mean(axis=0),
            noise=self.noise,
            brightness_spread=brightness.std(axis=0),
            power_spread=power.std(axis=0).mean(axis=1),
        )


def look(stack: Any, mask: NDArray[np.bool_], windows: int = 24, where: str = "stack") -> Windows:
    """Look at a stack, (Z, Y, X) array or `Volume`, from windows of papyrus, the same ones every time; reads only those.

    Raises:
        InputError: no window of papyrus fits in, a voxel is not finite, or all layers are alike.
    """
    corners = draw_windows(mask, windows)
    if not corners:
        raise InputError(f"{where}: no {EDGE_PX} x {EDGE_PX} pixels of papyrus in {mask.shape} to look at")
    brightness, power = [], []
    for y, x in corners:
        block = np.asarray(stack[:, y : y + EDGE_PX, x : x + EDGE_PX], dtype=np.float32)
        if not np.isfinite(block).all():
            raise InputError(f"{where}: NaN or infinity in the CT near y {y}, x {x}; repair the volume")
        brightness.append(block.mean(axis=(1, 2), dtype=np.float64))
        power.append(log_spectra(block))
    return windows_of(np.stack(brightness), np.stack(power), where)


def draw_windows(mask: NDArray[np.bool_], count: int) -> list[tuple[int, int]]:
    """Corners (y, x) of at most `count` windows inside the papyrus (Y, X), spread evenly over it."""
    share = np.asarray(block_mean(mask.astype(np.float32), (BLOCK_PX, BLOCK_PX)))
    share = share[: mask.shape[0] // BLOCK_PX, : mask.shape[1] // BLOCK_PX]  # whole blocks only
    wide = EDGE_PX // BLOCK_PX
    if min(share.shape) < wide:
        return []
    inside = np.lib.stride_tricks.sliding_window_view(share, (wide, wide)).mean(axis=(2, 3))
    least = max(LEAST_PAPYRUS, min(0.9, float(inside.max())))
    places = np.argwhere(inside >= least)
    strip = places[:, 0] // max(1, round(np.sqrt(len(places) / count)))
    along = np.where(strip % 2, -places[:, 1], places[:, 1])  # to and fro, strip by strip
    places = places[np.lexsort((places[:, 0], along, strip))]
    picked: Any = np.unique(((np.arange(count) + 0.5) * len(places) / count).astype(int)) if len(places) else []
    return [(int(y), int(x)) for y, x in places[picked] * BLOCK_PX]


def log_spectra(block: FloatArray) -> FloatArray:
    """Log power of a window (Z, EDGE_PX, EDGE_PX) at `FREQUENCIES`, (Z, 2, K): changes along y, then along x."""
    line = np.hanning(EDGE_PX + 2)[1:-1]
    taper = (line[:, None] * line).astype(np.float32)
    level = (block * taper).sum(axis=(1, 2), keepdims=True) / taper.sum()
    power = np.abs(rfft2((block - level) * taper)) ** 2  # (Z, EDGE_PX, EDGE_PX / 2 + 1)
    bands = power.reshape(len(block), -1) @ _BANDS.reshape(-1, power[0].size).T
    return np.log(bands.reshape(len(block), 2, -1).astype(np.float64) + 1e-12)


def _bands() -> FloatArray:
    """Weights (2, K, EDGE_PX, EDGE_PX / 2 + 1), each of sum 1: triangles about a frequency within 30 degrees of an axis."""
    fy, fx = np.fft.fftfreq(EDGE_PX)[:, None], np.fft.rfftfreq(EDGE_PX)[None]
    twice = np.where((fx == 0) | (fx == 0.5), 1.0, 2.0)  # the other half of the plane is not stored
    radius = np.hypot(fy, fx)
    bands = []
    for along in (np.abs(fy) > 1.7 * np.abs(fx), np.abs(fx) > 1.7 * np.abs(fy)):
        for frequency in FREQUENCIES:
            width = max(frequency * (2 ** (0.5 / PER_OCTAVE) - 2 ** (-0.5 / PER_OCTAVE)), 1.2 / EDGE_PX)
            weights = np.clip(1 - np.abs(radius - frequency) / width, 0, None) * along * twice
            bands.append(weights / weights.sum())
    return np.stack(bands).reshape(2, len(FREQUENCIES), *radius.shape).astype(np.float32)


_BANDS = _bands()


def windows_of(brightness: FloatArray, power: FloatArray, where: str = "stack") -> Windows:
    """Windows from their mean grey values (W, Z) and log power (W, Z, 2, K), both freed of the grey scale.

    Raises:
        InputError: all layers are equally bright, or have no texture at all.
    """
    dark, bright = np.percentile(brightness, (5, 95))
    if not bright - dark > 1e-6 * max(abs(bright), 1e-30) or power.max() < -20:
        raise InputError(f"{where}: all layers are equally bright; there is no sheet to be seen")
    power = power - 2 * np.log(bright - dark)
    texture = power[..., MIDDLE].mean(axis=(2, 3))  # (W, Z)
    quiet = texture <= np.quantile(texture, QUIET_SHARE)
    return Windows((brightness - dark) / (bright - dark), power, np.exp(power[quiet]).mean(axis=(0, 1)))


def mean_profile(profiles: Sequence[DepthProfile], shifts: Sequence[float]) -> DepthProfile:
    """Mean of profiles of equally many layers, the sheet of each lying `shifts` layers too deep; edges are held."""

    def mean(name: str) -> FloatArray:
        return _moved(np.stack([getattr(profile, name) for profile in profiles]), np.asarray(shifts)).mean(axis=0)

    between = _moved(np.stack([profile.brightness for profile in profiles]), np.asarray(shifts)).std(axis=0)
    return DepthProfile(
        brightness=mean("brightness"),
        log_power=mean("log_power"),
        noise=np.exp(np.mean([np.log(profile.noise) for profile in profiles], axis=0)),
        brightness_spread=np.hypot(mean("brightness_spread"), between),
        power_spread=mean("power_spread"),
    )


def _moved(values: FloatArray, shifts: FloatArray) -> FloatArray:
    """Each of (W, Z, any...) moved up by its number of layers, in parts of layers too; the edges are held."""
    return _at(values, np.arange(values.shape[1]) + shifts[:, None])


def _at(values: FloatArray, rows: FloatArray) -> FloatArray:
    """Values (W, Z, any...) interpolated at `rows`, (W, rows) or the same for all; the edges are held."""
    last = values.shape[1] - 1
    place = np.clip(np.broadcast_to(rows, (len(values), rows.shape[-1])), 0, last)
    below = np.minimum(place.astype(int), max(last - 1, 0))
    part = (place - below).reshape(*place.shape, *([1] * (values.ndim - 2)))
    which = np.arange(len(values))[:, None]
    return values[which, below] * (1 - part) + values[which, np.minimum(below + 1, last)] * part
