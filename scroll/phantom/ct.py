"""The scanner: density to grey values, with the blur, edges, noise, rings and cupping of a synchrotron scan."""

import numpy as np
from numpy.typing import NDArray

from scroll.data.augment.smooth_fields import FloatArray, Seed, smooth_noise, stream
from scroll.phantom.settings import CtSettings
from scroll.runtime.compiled import njit

AIR_GREY8, PAPER_GREY8 = 68.0, 140.0  # real cubes, stretched: air 41-96, paper 122-175
BLOCK = 256  # columns blurred together: a block of lines stays in the cache


def scan(density: FloatArray, settings: CtSettings, seed: Seed) -> FloatArray:
    """The scan of a (Z, Y, X) density, same shape, air about 0 and papyrus about 1. Overwrites `density`."""
    blur(density, settings.blur_vox)
    edge = density.copy()
    blur(edge, settings.edge_vox)
    density *= np.float32(1 + settings.edge_gain)
    edge *= np.float32(settings.edge_gain)
    density -= edge
    del edge
    _shade(density, settings, seed)
    add_noise(density, settings, seed)
    return density


def add_noise(image: FloatArray, settings: CtSettings, seed: Seed) -> None:
    """Add noise of `noise_sd` to a (Z, Y, X) image, in place: a fine band-passed part and a coarse one."""
    fine_vox, halo_vox, halo_share = settings.noise_fine_vox, settings.noise_halo_vox, settings.noise_halo_share
    noise = stream(seed, "noise-fine").standard_normal(image.shape, dtype=np.float32)
    blur(noise, fine_vox)
    halo = noise.copy()
    blur(halo, float(np.sqrt(halo_vox**2 - fine_vox**2)))
    halo *= np.float32(halo_share)
    noise -= halo
    del halo
    terms = ((1.0, 2 * fine_vox**2), (-2 * halo_share, fine_vox**2 + halo_vox**2), (halo_share**2, 2 * halo_vox**2))
    variance = sum(weight * (2 * np.pi * width2) ** -1.5 for weight, width2 in terms)  # of blurred white noise
    noise *= np.float32(settings.noise_sd * np.sqrt((1 - settings.noise_coarse_share) / variance))
    image += noise
    del noise
    coarse = smooth_noise(stream(seed, "noise-coarse"), image.shape, (settings.noise_coarse_knots_vox,) * 3)
    coarse *= np.float32(settings.noise_sd * np.sqrt(settings.noise_coarse_share))
    image += coarse


def _shade(image: FloatArray, settings: CtSettings, seed: Seed) -> None:
    """Rings about an axis outside the volume and a weak cupping, in place."""
    rng = stream(seed, "rings")
    _, height, width = image.shape
    angle = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(1.0, 2.0) * max(height, width)
    y = np.arange(height)[:, None] - height / 2 - reach * np.sin(angle)
    x = np.arange(width)[None, :] - width / 2 - reach * np.cos(angle)
    radius = np.hypot(y, x)
    profile = smooth_noise(rng, (int(radius.max()) + 2,), (3.0,))
    rings = np.interp(radius, np.arange(profile.size), profile) * settings.ring_amplitude
    centred = (radius - radius.min()) / max(1.0, float(np.ptp(radius)))
    image *= (1 + settings.cupping * (centred - 0.5)).astype(np.float32)
    image += rings.astype(np.float32)


def grey16(image: FloatArray) -> NDArray[np.uint16]:
    """Scan to 16-bit grey as in the ink competition: air about 16,900, papyrus about 34,700. Overwrites `image`."""
    image *= np.float32((PAPER_GREY8 - AIR_GREY8) * 257 * 0.96)
    image += np.float32(AIR_GREY8 * 257 * 0.97)
    return np.clip(image, 0, 65535, out=image).astype(np.uint16)


def grey8(image: FloatArray) -> NDArray[np.uint8]:
    """Scan to 8-bit grey as in the surface competition: air about 68, papyrus about 140. Overwrites `image`."""
    image *= np.float32(PAPER_GREY8 - AIR_GREY8)
    image += np.float32(AIR_GREY8 + 0.5)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)


def gaussian(sigma_vox: float) -> FloatArray:
    """Gaussian weights of sum 1 out to 3.5 sigma, odd in number."""
    radius = max(1, int(np.ceil(3.5 * sigma_vox)))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_vox) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def blur(volume: FloatArray, sigma_vox: float) -> None:
    """Gaussian blur of a C-contiguous (Z, Y, X) volume in place, mirrored at the borders.

    Raises:
        ValueError: the volume is not C-contiguous float32.
    """
    if volume.dtype != np.float32 or not volume.flags.c_contiguous or volume.ndim != 3:
        raise ValueError(f"need a C-contiguous float32 (Z, Y, X) volume, got {volume.dtype} {volume.shape}")
    weights = gaussian(sigma_vox)
    depth, height, width = volume.shape
    _blur_lines(volume.reshape(1, depth, height * width), weights)
    _blur_lines(volume, weights)
    _blur_rows(volume.reshape(-1, width), weights)


@njit(cache=True)
def mirror(index: int, length: int) -> int:
    """The index inside 0..length-1 that a mirrored border shows at `index`."""
    period = 2 * length
    index = (index % period + period) % period
    return index if index < length else period - 1 - index


@njit(cache=True)
def _blur_lines(volume: FloatArray, weights: FloatArray) -> None:
    """Along the middle axis of (outer, length, inner), a block of inner columns at a time."""
    outer, length, inner = volume.shape
    radius = weights.size // 2
    padded = np.empty((length + 2 * radius, BLOCK), np.float32)
    total = np.empty(BLOCK, np.float32)
    for o in range(outer):
        for start in range(0, inner, BLOCK):
            wide = min(BLOCK, inner - start)
            for i in range(-radius, length + radius):
                padded[i + radius, :wide] = volume[o, mirror(i, length), start : start + wide]
            for i in range(length):
                total[:] = 0
                for k in range(weights.size):
                    weight = weights[k]
                    line = padded[i + k]
                    for j in range(BLOCK):
                        total[j] += weight * line[j]
                volume[o, i, start : start + wide] = total[:wide]


@njit(cache=True)
def _blur_rows(rows: FloatArray, weights: FloatArray) -> None:
    """Along the last axis of (rows, length)."""
    count, length = rows.shape
    radius = weights.size // 2
    padded = np.empty(length + 2 * radius, np.float32)
    total = np.empty(length, np.float32)
    for r in range(count):
        padded[radius : radius + length] = rows[r]
        for i in range(radius):
            padded[i] = rows[r, mirror(i - radius, length)]
            padded[radius + length + i] = rows[r, mirror(length + i, length)]
        total[:] = 0
        for k in range(weights.size):
            weight = weights[k]
            shifted = padded[k : k + length]
            for j in range(length):
                total[j] += weight * shifted[j]
        rows[r] = total
