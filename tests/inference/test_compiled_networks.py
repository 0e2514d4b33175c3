"""torch.compile of networks that predict: the same scores, one size of batch, and the plain network wherever it is not so."""

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scroll.config.schema import WindowSettings
from scroll.inference.compiled_networks import Compiled, compiled_if_alike
from scroll.inference.fold_ensemble import mean_of
from scroll.inference.sliding_window import Sweep, predict

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile wants a C++ compiler")


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.GELU(), nn.Conv3d(4, 1, 1)).eval()


class Turncoat(nn.Module):
    """Says something else once it is compiled."""

    def forward(self, windows: Tensor) -> Tensor:
        return windows * 2 if torch.compiler.is_compiling() else windows


class Uncompilable(nn.Module):
    """Nothing in it can be compiled."""

    @torch.compiler.disable
    def forward(self, windows: Tensor) -> Tensor:
        return windows + 1


@needs_compiler
def test_compiled_networks_predict_the_same_whatever_is_left_for_the_last_batch(capsys):
    volume = np.random.default_rng(0).standard_normal((4, 20, 30), dtype=np.float32)
    maps = {}
    for is_on in (False, True):
        chosen = WindowSettings(overlap=0.5, batch_size=4, compile=is_on)
        sweep, rows = Sweep(volume.shape, (4, 8, 8), chosen, (0, 20)), []
        forward = mean_of([network(), network()], "fp32", chosen)

        def read(corner: tuple[int, ...]) -> np.ndarray:
            return volume[:, corner[1] : corner[1] + 8, corner[2] : corner[2] + 8][None]

        predict(sweep, read, forward, lambda row, values, rows=rows: rows.append(values))
        maps[is_on] = np.concatenate(rows, axis=-2)
    assert np.abs(maps[True] - maps[False]).max() < 1e-5
    assert not capsys.readouterr().out  # nothing was left alone


@needs_compiler
def test_a_network_is_compiled_for_one_size_of_batch():
    (one,), sizes = compiled_if_alike([network()], 3), []
    with torch.inference_mode():
        for count in (1, 3, 2):
            windows = torch.randn(count, 1, 4, 8, 8)
            scores = one(windows)
            sizes.append(scores.shape)
            assert torch.allclose(scores, one.network(windows), atol=1e-5)
    assert isinstance(one._chosen, Compiled) and sizes == [(n, 1, 4, 8, 8) for n in (1, 3, 2)]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        pytest.param(Turncoat(), "Turncoat: compiled it says something else (by ", marks=needs_compiler),
        (Uncompilable(), "Uncompilable: torch.compile does not work here ("),
    ],
)
def test_a_network_that_cannot_be_trusted_compiled_predicts_as_it_is_and_says_so_once(odd, reason, capsys):
    (one,), windows = compiled_if_alike([odd], 2), torch.full((2, 1, 4, 4, 4), 5.0)
    with torch.inference_mode():
        found = [one(windows) for _ in range(2)]
    assert all(torch.equal(scores, odd(windows)) for scores in found)
    message = capsys.readouterr().out
    assert reason in message and message.count("predicting without it") == 1
