"""Stage two's networks: any number of channels in, full-size logits out, and never a word to the network."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scroll.config.schema import Stage2Settings
from scroll.errors import InputError, MissingInputError
from scroll.runtime import torchvision_schemas
from stage2_2d.network import SMP_DECODERS, SegformerOptions, about_network, build_network, check_stage2
from stage2_2d.stack import log_odds

TINY = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 10, 16], "decoder_hidden_size": 8}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever connects or looks up a host fails the test."""
    called = []

    def refuse(*args: object, **_: object) -> None:
        called.append(args)
        raise OSError("the network was asked for")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not called


def segformer(**options: object) -> Stage2Settings:
    return Stage2Settings(options=TINY | options, patch_size=(64, 96))


@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("strides", [(4, 2, 2, 2), (2, 2, 2, 2)])
def test_segformer_gives_full_size_logits_for_any_channels(channels: int, strides: tuple[int, ...]) -> None:
    network = build_network(segformer(strides=strides), channels)
    logits = network(torch.randn(2, channels, 64, 96))
    assert logits.shape == (2, 1, 64, 96)
    (logits * torch.randn_like(logits)).sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None]


@pytest.mark.parametrize("decoder", SMP_DECODERS)
def test_every_smp_decoder_of_the_list_gives_full_size_logits(decoder: str) -> None:
    network = build_network(Stage2Settings(network=f"smp.{decoder}", patch_size=(64, 96)), 2).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 2, 64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("decoder", SMP_DECODERS)
def test_of_every_smp_decoder_what_is_not_frozen_has_a_gradient(decoder: str) -> None:
    """Training by several processes waits for each of them."""
    network = build_network(Stage2Settings(network=f"smp.{decoder}"), 2)
    assert network.training and all(module.training for module in network.modules())
    network(torch.randn(2, 2, 64, 64)).mean().backward()
    assert not [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    frozen = {name.split(".")[2] for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == ({"layer3", "layer4"} if decoder == "pspnet" else set())


@pytest.mark.parametrize(
    ("network", "encoder"), [("smp.unet", "resnet18"), ("smp.upernet", "resnet18"), ("smp.segformer", "mit_b0")]
)
def test_of_an_smp_decoder_every_parameter_learns(network: str, encoder: str) -> None:
    built = build_network(Stage2Settings(network=network, options={"encoder": encoder}), 3)
    logits = built(torch.randn(2, 3, 64, 64))
    (logits * torch.randn_like(logits)).sum().backward()
    assert not [name for name, p in built.named_parameters() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in built.parameters())


MILLIONS = {"b0": 3.8, "b1": 13.7, "b2": 27.5, "b3": 47.3, "b4": 64.1, "b5": 84.7}  # Xie et al. 2021, with 150 classes


@pytest.mark.parametrize("variant", MILLIONS)
def test_a_variant_has_as_many_parameters_as_in_the_paper(variant: str) -> None:
    stage2 = Stage2Settings(options={"variant": variant}, skip=False)
    with torch.device("meta"):
        network = build_network(stage2, 3)
    more_classes = 149 * (1 + network.segformer.decode_head.classifier.in_channels)
    assert round((sum(p.numel() for p in network.parameters()) + more_classes) / 1e6, 1) == MILLIONS[variant]


def test_with_the_weights_a_variant_is_stored_in_its_numbers() -> None:
    named = Stage2Settings(options={"variant": "b1"})
    spelt = Stage2Settings(options={"hidden_sizes": [64, 128, 320, 512]})  # b1 is the default's depths, and wider
    assert about_network(named, 3) == about_network(spelt, 3) != about_network(Stage2Settings(), 3)


def test_an_unknown_encoder_is_reported_in_one_line() -> None:
    with pytest.raises(InputError, match="resnet19") as error:
        build_network(Stage2Settings(network="smp.unet", options={"encoder": "resnet19"}), 1)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def saved_segformer(folder: Path, **changes: object) -> torch.nn.Module:
    network = build_network(segformer(**changes), 3).network.segformer
    network.save_pretrained(folder)
    return network


def test_pretrained_weights_come_from_a_local_folder(tmp_path: Path) -> None:
    saved = saved_segformer(tmp_path / "b0").state_dict()
    loaded = build_network(segformer(pretrained_dir=tmp_path / "b0"), 5).network.segformer.state_dict()
    new = [
        name for name in saved if saved[name].shape != loaded[name].shape or not torch.equal(saved[name], loaded[name])
    ]
    assert new and all("stages.0.patch_embeddings.proj" in name for name in new), (
        new
    )  # 5 channels for 3: that alone starts new


def test_a_pretrained_folder_that_is_not_there_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"config\.json: not there; copy a SegFormer"):
        build_network(segformer(pretrained_dir=tmp_path / "nothing"), 3)
    with pytest.raises(MissingInputError, match=r"nvidia/mit-b0/config\.json: not there"):
        build_network(segformer(pretrained_dir="nvidia/mit-b0"), 3)


def test_a_pretrained_folder_without_its_weights_is_reported_in_one_line(tmp_path: Path) -> None:
    saved_segformer(tmp_path / "b0")
    (tmp_path / "b0" / "model.safetensors").unlink()
    with pytest.raises(MissingInputError, match=r"model\.safetensors: not there"):
        build_network(segformer(pretrained_dir=tmp_path / "b0"), 3)


def test_a_pretrained_network_of_another_size_is_refused_not_dropped_in_silence(tmp_path: Path) -> None:
    saved_segformer(tmp_path / "b9", hidden_sizes=[8, 16, 24, 32])
    with pytest.raises(InputError, match=r"hidden_sizes is \[8, 16, 24, 32\], the settings say \[8, 8, 10, 16\]"):
        build_network(segformer(pretrained_dir=tmp_path / "b9"), 3)


def test_an_smp_encoder_takes_a_local_file(tmp_path: Path) -> None:
    stage2 = Stage2Settings(network="smp.unet", patch_size=(64, 64))
    encoder = build_network(stage2, 3).network.encoder.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in encoder.items()}, tmp_path / "encoder.safetensors")
    options = {"pretrained_file": tmp_path / "encoder.safetensors"}
    loaded = build_network(stage2.model_copy(update={"options": options}), 3).network.encoder.state_dict()
    assert all(torch.equal(encoder[name], loaded[name]) for name in encoder)
    save_file({"stranger": torch.zeros(1)}, tmp_path / "encoder.safetensors")
    with pytest.raises(InputError, match="nothing of it fits"):
        build_network(stage2.model_copy(update={"options": options}), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "segfomer"}, "did you mean 'segformer'"),
        ({"network": "smp.unett"}, r"did you mean 'smp\.unet'"),
        ({"network": "smp"}, "unknown"),
        ({"augment": {"depth_cut_paste": 0.1}}, r"stage2\.augment\.depth_cut_paste is 0\.1, but only layers"),
        ({"patch_size": (100, 96)}, r"multiples of 32; nearest: \(96, 96\)"),
        ({"options": {"depth": [1, 1, 1, 1]}}, r"stage2\.options\.depth.*depths"),
        ({"options": {"variant": "b6"}}, r"stage2\.options\.variant.*'b5'"),
        ({"options": {"variant": ["b1"]}}, r"stage2\.options\.variant"),
        ({"options": {"variant": "b3", "depths": [2, 2, 2, 2]}}, "stage2.options: variant b3 sets depths.*remove"),
        ({"network": "smp.unet", "options": {"encoders": "resnet34"}}, r"stage2\.options\.encoders.*encoder"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        check_stage2(Stage2Settings.model_validate(changes))
    assert "\n" not in str(error.value)


def test_where_weights_came_from_does_not_change_which_network_they_fit(tmp_path: Path) -> None:
    plain, pretrained = (about_network(segformer(**more), 3) for more in ({}, {"pretrained_dir": tmp_path}))
    assert plain == pretrained != about_network(segformer(), 4)
    assert set(plain["options"]) == set(SegformerOptions.model_fields) - {"variant", "pretrained_dir", "dropout"}


class TestTorchvision:
    def test_importing_works(self) -> None:
        torchvision_schemas.import_torchvision()
        from torchvision.transforms import InterpolationMode

        assert InterpolationMode.BILINEAR.value == "bilinear"

    def test_another_error_is_not_swallowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            monkeypatch.delitem(sys.modules, name)
        (tmp_path / "torchvision").mkdir()
        only_once = (
            "from pathlib import Path\nmet = Path(__file__).with_name('met')\nif not met.exists():\n    met.touch()\n"
        )
        (tmp_path / "torchvision" / "__init__.py").write_text(
            f"{only_once}    raise RuntimeError('CUDA driver is too old')"
        )
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(RuntimeError, match="too old"):
            torchvision_schemas.import_torchvision()


def test_with_its_skip_stage_two_starts_from_the_mean_of_its_members() -> None:
    torch.manual_seed(0)
    stage2 = segformer()
    network = build_network(stage2, 2).eval()
    for parameter in network.network.parameters():
        torch.nn.init.zeros_(parameter)
    prob = torch.rand(1, 2, 64, 64) * 0.9 + 0.05
    stack = torch.from_numpy(log_odds(prob.numpy()))
    with torch.no_grad():
        logits = network(stack)
    assert torch.allclose(logits, torch.logit(prob).clamp(-6, 6).mean(1, keepdim=True), atol=1e-4)
    assert not hasattr(build_network(stage2.model_copy(update={"skip": False}), 2), "skip")
