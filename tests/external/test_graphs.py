"""Networks that come as a graph: exported from ours and read back, the same logits; what is none is one line, and runs nothing."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scroll.config.schema import MemberSettings
from scroll.data.members.card import Card, read_card
from scroll.errors import InputError
from stage1_3d.external.archives import import_graph, network
from stage1_3d.external.checkpoint import write_card
from stage1_3d.network import build_network

PATCH = (8, 32, 32)


def ours() -> nn.Module:
    torch.manual_seed(0)
    options = {"channels": [4, 4, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
    return build_network(MemberSettings(network="unet3d", options=options, patch_size=PATCH)).eval()


class TwoClasses(nn.Module):
    """Background and ink, of which the sigmoid of their difference is the softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ours()

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X) -> (B, 2, Z, Y, X)."""
        logits = self.network(windows)
        return torch.cat([0.25 * logits + 1, 1.25 * logits + 1], dim=1)


class OfLayers(nn.Module):
    """Layers as channels, as 2D networks of others take them: (B, Z, Y, X) -> (B, Y, X)."""

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """The mean of the layers."""
        return layers.mean(1)


def written(network_: nn.Module, example: torch.Tensor, path: Path) -> Path:
    if path.suffix == ".pt2":
        many = ({0: torch.export.Dim("batch")},) if len(example) > 1 else None
        torch.export.save(torch.export.export(network_, (example,), dynamic_shapes=many), path)
    else:
        pytest.importorskip("onnxscript")
        torch.onnx.export(network_, (example,), path, dynamo=True, external_data=False, verbose=False)
    return path


def member(source: Path, folder: Path, **message: object) -> tuple[Card, nn.Module]:
    folder.mkdir()
    card = Card.model_validate({"family": "graph", "window": (0, 0, 0)} | message)
    write_card(folder, import_graph(source, folder, card))
    card = read_card(folder)
    return card, network(folder, card, 0)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("make", [ours, TwoClasses])
def test_our_network_exported_and_read_back_says_the_same(tmp_path, suffix, make):
    windows = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 1, *PATCH)).astype(np.float32))
    source = written(make().eval(), windows[:2], tmp_path / f"net{suffix}")
    card, found = member(source, tmp_path / "m")
    assert card.window == PATCH
    with torch.inference_mode():
        assert torch.abs(found(windows[:2]) - ours()(windows[:2])).max() < 1e-5


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_graph_of_layers_as_channels_gives_a_map_a_window_at_a_time(tmp_path, suffix):
    windows = torch.rand(3, 1, *PATCH)
    source = written(OfLayers(), windows[:1, 0], tmp_path / f"net{suffix}")
    _, found = member(source, tmp_path / "m", returns="map")
    assert torch.allclose(found(windows), windows.mean(2), atol=1e-6)


def test_what_returns_something_else_than_it_says_is_reported(tmp_path):
    source = written(OfLayers(), torch.rand(1, *PATCH), tmp_path / "net.onnx")
    _, found = member(source, tmp_path / "m", returns="voxels")
    with pytest.raises(InputError, match=r"card\.json: gave \(1, 32, 32\).*--returns that is true"):
        found(torch.rand(1, 1, *PATCH))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.onnx", b"not a graph", "expected an ONNX graph: export it again"),
        ("net.pt2", b"not an archive", "expected an archive of torch.export"),
        ("net.pth", b"", "expected a file .onnx or .pt2"),
    ],
)
def test_what_is_no_graph_is_reported_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        member(tmp_path / name, tmp_path / "m", window=PATCH)
    assert "\n" not in str(refused.value) and name in str(refused.value)


def test_windows_must_be_given_where_the_graph_does_not_and_agree_where_it_does(tmp_path):
    free = {axis: torch.export.Dim(f"n{axis}") for axis in range(4)}
    any_size = torch.export.export(OfLayers(), (torch.rand(2, *PATCH),), dynamic_shapes=(free,))
    torch.export.save(any_size, tmp_path / "free.pt2")
    with pytest.raises(InputError, match="give --window Z Y X"):
        member(tmp_path / "free.pt2", tmp_path / "a")
    fixed = written(OfLayers(), torch.rand(2, *PATCH), tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"windows of \(8, 32, 32\), not of \(8, 64, 64\)"):
        member(fixed, tmp_path / "b", window=(8, 64, 64))


class Evil:
    """What runs code where a pickle is believed."""

    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('ran').touch()",))


def test_an_archive_whose_weights_are_a_pickle_of_code_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = written(ours(), torch.rand(2, 1, *PATCH), tmp_path / "net.pt2")
    held = io.BytesIO()
    torch.save({"x": Evil()}, held)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as new:
        for name in old.namelist():
            is_tensors = "/data/" in name and not name.endswith(".json")
            new.writestr(name, held.getvalue() if is_tensors else old.read(name))
    with pytest.raises(InputError, match=r"evil\.pt2"):
        member(tmp_path / "evil.pt2", tmp_path / "m", window=PATCH)
    assert not (tmp_path / "ran").exists()
