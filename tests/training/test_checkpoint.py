"""Weights and states on disk: they come back as they went, fit only their own network, and run no code."""

import io
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from scroll.errors import InputError, MissingInputError
from scroll.training.checkpoint import load_state, load_weights, save_state, save_weights

ABOUT = {"network": "unet3d", "options": {"channels": [8, 16]}, "patch_size": [16, 96, 96]}


class Malice:
    """Unpickled by whoever trusts it, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def network(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def saved(folder: Path) -> Path:
    save_weights(network(), folder / "weights.safetensors", ABOUT)
    return folder / "weights.safetensors"


def refusal(path: Path, model: nn.Module, about: dict = ABOUT) -> str:
    with pytest.raises(InputError) as caught:
        load_weights(model, path, about, "run 'make stage1' first")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_weights_and_buffers_come_back_bit_by_bit(tmp_path):
    model = network(seed=1)
    model(torch.randn(5, 3))
    save_weights(model, tmp_path / "w.safetensors", ABOUT)
    other = network(seed=2)
    load_weights(other, tmp_path / "w.safetensors", ABOUT, "")
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_tied_weights_are_saved(tmp_path):
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    saved_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_weights(model, tmp_path / "w.safetensors", {})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_weights(model, tmp_path / "w.safetensors", {}, "")
    assert {"a.weight", "b.weight"} < set(saved_state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved_state[name]), name
    assert model["a"].weight is model["b"].weight


def test_a_tuple_in_the_description_is_as_good_as_a_list(tmp_path):
    saved_model, other = network(seed=1), network(seed=2)
    save_weights(saved_model, tmp_path / "w.safetensors", {"patch": (1, 2)})
    for patch in ((1, 2), [1, 2]):
        load_weights(other, tmp_path / "w.safetensors", {"patch": patch}, "")
        assert torch.equal(other[0].weight, saved_model[0].weight)
        nn.init.zeros_(other[0].weight)
    for patch in ((2, 1), [1, 2, 3]):
        assert "patch is [1, 2]" in refusal(tmp_path / "w.safetensors", other, {"patch": patch})


def test_weights_of_another_network_are_refused_naming_what_differs(tmp_path):
    message = refusal(saved(tmp_path), network(), ABOUT | {"network": "unetr"})
    assert "network is 'unet3d', the settings say 'unetr'" in message and "make stage1" in message


def test_weights_of_another_shape_are_refused_naming_a_tensor(tmp_path):
    message = refusal(saved(tmp_path), network(width=5))
    assert "'0.bias'" in message and ("(4,)" in message or "(5,)" in message)


def test_a_refusal_leaves_the_network_as_it_was(tmp_path):
    path, model = saved(tmp_path), network(width=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    refusal(path, model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("keep", [0, 4, 100, 0.9])
def test_weights_cut_off_anywhere_are_one_line(tmp_path, keep):
    path = saved(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert "damaged weights" in refusal(path, network())


def test_missing_weights_say_how_to_make_them(tmp_path):
    with pytest.raises(MissingInputError, match="no weights there; run 'make stage1' first"):
        load_weights(network(), tmp_path / "w.safetensors", ABOUT, "run 'make stage1' first")


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_code_in_a_file_is_never_run(tmp_path, writer):
    path, trap = tmp_path / "resume.pt", tmp_path / "trap"
    malice = {"key": "k", "model": Malice(trap)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(malice))
    else:
        torch.save(malice, path)
    with pytest.raises(InputError, match=r"resume\.pt: damaged training state"):
        load_state(path)
    assert "damaged weights" in refusal(path, network())
    assert not trap.exists()
    read = pickle.loads if writer == "pickle" else lambda content: torch.load(io.BytesIO(content), weights_only=False)
    read(path.read_bytes())  # the trap does work on whoever trusts it
    assert trap.exists()


def test_a_state_comes_back_as_it_went(tmp_path):
    state = {"key": "k", "step": 7, "model": network().state_dict(), "history": [{"loss": 0.5}], "scaler": {}}
    save_state(tmp_path / "resume.pt", state)
    back = load_state(tmp_path / "resume.pt")
    assert torch.equal(back["model"].pop("0.weight"), state["model"]["0.weight"])
    assert back["step"] == 7 and back["history"] == [{"loss": 0.5}]


@pytest.mark.parametrize("content", [[1, 2], {"no": "key"}, torch.zeros(3)])
def test_a_file_of_torch_that_is_no_state_is_one_line(tmp_path, content):
    torch.save(content, tmp_path / "resume.pt")
    with pytest.raises(InputError, match="no training state of ours"):
        load_state(tmp_path / "resume.pt")


def test_no_flipped_bit_of_a_state_is_used(tmp_path):
    path, draw = tmp_path / "resume.pt", random.Random(0)
    state = {"key": "k", "step": 7, "model": network().state_dict(), "history": [{"loss": 0.5}]}
    save_state(path, state)
    content = path.read_bytes()
    for _ in range(100):
        bad = bytearray(content)
        bad[draw.randrange(len(bad) - 30)] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"resume\.pt: damaged training state"):
            load_state(path)


def test_a_state_of_before_there_were_checksums_is_read(tmp_path):
    torch.save({"key": "k", "step": 7}, tmp_path / "resume.pt")
    assert load_state(tmp_path / "resume.pt")["step"] == 7
