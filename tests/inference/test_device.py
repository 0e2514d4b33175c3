"""On which device networks run: CUDA before all, a Mac's own GPU only where it is asked for."""

from collections.abc import Callable

import pytest
import torch

from scroll.errors import InputError
from scroll.inference import fold_ensemble
from scroll.inference.fold_ensemble import device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets torch find these GPUs, and the user say this."""

    def of(cuda: bool = False, mps: bool = False, wish: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.delenv("SCROLL_DEVICE", raising=False)
        if wish is not None:
            monkeypatch.setenv("SCROLL_DEVICE", wish)
        fold_ensemble._say_once.cache_clear()

    return of


def test_a_mac_computes_on_its_cpu_and_says_once_how_to_try_its_gpu(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(mps=True)
    assert [device().type for _ in range(3)] == ["cpu"] * 3
    assert capsys.readouterr().out == "device: the CPU (SCROLL_DEVICE=mps tries this Mac's GPU)\n"


def test_a_macs_gpu_is_taken_where_it_is_asked_for(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(mps=True, wish="mps")
    assert device().type == "mps" and capsys.readouterr().out == "device: this Mac's GPU (mps)\n"


def test_elsewhere_nothing_is_said_and_cuda_comes_first(
    machine: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    machine()
    assert device().type == "cpu"
    machine(cuda=True, mps=True)
    assert device().type == "cuda" and not capsys.readouterr().out


@pytest.mark.parametrize("wish", ["mps", "gpu"])
def test_a_device_that_is_not_there_is_refused(machine: Callable[..., None], wish: str) -> None:
    machine(wish=wish)
    with pytest.raises(InputError, match=f"SCROLL_DEVICE={wish}: only mps"):
        device()
