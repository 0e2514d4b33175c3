"""Grey values that are sent as they are stored are, scaled where the networks are, what they would have been here."""

import numpy as np
import pytest
import torch

from scroll.data.intensity import AsStored, Intensity
from scroll.errors import UnreadableError
from scroll.inference.grey_values import read_and_sent, scaled, sent

RNG = np.random.default_rng(4)
WAYS = [
    Intensity(how="none"),
    Intensity(how="divide", spread=255.0),
    Intensity(how="clip_divide", low=0, high=200, spread=200.0),
    Intensity(how="zscore", middle=101.123456789, spread=33.3333333333),
    Intensity(how="clip_zscore", low=20.5, high=210.25, middle=99.9, spread=7.77),
    Intensity.by_z_score((87.654321, 0.123456789)),
    Intensity.by_z_score((31000.5, 4321.1)),
]
STORED = {
    "uint8": RNG.integers(0, 256, (2, 3, 17, 19)).astype(np.uint8),
    "int8": RNG.integers(-128, 128, (2, 3, 17, 19)).astype(np.int8),
    "uint16": RNG.integers(0, 65536, (2, 3, 17, 19)).astype(np.uint16),
    "int16": RNG.integers(-32768, 32768, (2, 3, 17, 19)).astype(np.int16),
    "big-endian": RNG.integers(0, 65536, (2, 3, 17, 19)).astype(">u2"),
    "float32": RNG.standard_normal((2, 3, 17, 19), dtype=np.float32) * 50 + 100,
}


@pytest.mark.parametrize("keeps_zero", [False, True])
@pytest.mark.parametrize("how", WAYS, ids=lambda way: f"{way.how}-{way.spread:.0f}")
@pytest.mark.parametrize("kind", STORED)
def test_bits_are_those_of_the_scaling_here(how, kind, keeps_zero):
    way, values = how.model_copy(update={"keeps_zero": keeps_zero}), STORED[kind].copy()
    values[0, :, ::3] = 0
    expected = way.scaled(values)
    stored = AsStored(way).scaled(values)
    assert stored.dtype.itemsize == values.dtype.itemsize or kind == "float32"
    found = sent(stored, way)
    assert found.dtype == torch.float32 and found.numpy().tobytes() == expected.tobytes()
    assert read_and_sent(values[:, ::-1], way, "the cube").numpy().tobytes() == way.scaled(values[:, ::-1]).tobytes()


def test_what_was_read_is_not_changed():
    raw = torch.arange(200, dtype=torch.uint8)
    scaled(raw, WAYS[4])
    assert torch.equal(raw, torch.arange(200, dtype=torch.uint8))


def test_one_value_that_is_no_number_is_reported_with_its_place():
    values = STORED["float32"].copy()
    values[1, 2, 3, 4] = np.nan
    with pytest.raises(UnreadableError, match="the cube near 7; repair the volume"):
        read_and_sent(values, WAYS[3], "the cube near 7")
