"""Optimisers by name, early stopping, memory layout, compiling, the breakdown of a step and the curves do what they say."""

import errno
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import Points, small_network, squared_error, tiny_task, training

import scroll.runtime.files
from scroll.errors import InputError
from scroll.training.compile import can_compile, in_layout
from scroll.training.loggers import numbers_of, open_curves
from scroll.training.loop import Task, fit
from scroll.training.optimizers import MuonAndAdamW, decay_groups, make_optimiser
from scroll.training.profiler import forward_flop


def history(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


class Cubes(Points):
    """Tiny volumes, so that a convolution can be trained on them."""

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        torch_rng = torch.Generator().manual_seed(n)
        x = torch.randn(1, 4, 4, 4, generator=torch_rng)
        return {"x": x, "y": x.mean()}


def conv_task(folder: Path, width: int = 4) -> Task:
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Conv3d(1, width, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv3d(width, 1, 3),
        torch.nn.Flatten(1),
        torch.nn.Linear(8, 1),
    )
    return Task("conv", folder, "key", 3, model, squared_error, Cubes(), Cubes(count=4), {}, {})


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "muon"])
def test_every_optimiser_learns_the_line(tmp_path, optimiser):
    rate = {"adamw": 0.1, "sgd": 0.02, "muon": 0.1}[optimiser]
    settings = training(steps=400, optimiser=optimiser, learning_rate=rate, weight_decay=0, momentum=0.9)
    fit(tiny_task(tmp_path), settings)
    torch.testing.assert_close(weights_of(tmp_path)["weight"], torch.tensor([[1.0, -2.0, 0.5]]), atol=0.05, rtol=0)
    torch.testing.assert_close(weights_of(tmp_path)["bias"], torch.tensor([0.1]), atol=0.05, rtol=0)


@pytest.mark.parametrize("optimiser", ["sgd", "muon"])
def test_every_optimiser_goes_on_with_the_same_bits(tmp_path, optimiser):
    settings = training(optimiser=optimiser)
    fit(tiny_task(tmp_path / "whole", is_linear=False), settings)
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path / "broken", is_linear=False, broken_from=8 * 4), settings)
    fit(tiny_task(tmp_path / "broken", is_linear=False), settings)
    whole, broken = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_muon_on_a_kernel_is_torchs_muon_on_its_matrix(layout):
    torch.manual_seed(0)
    kernel = torch.nn.Conv3d(3, 5, 2)
    matrix = torch.nn.Parameter(kernel.weight.detach().flatten(1).clone())
    kernel = kernel.to(memory_format=layout)
    ours = MuonAndAdamW(decay_groups(kernel, 0.1), 0.02, 0.9)
    theirs = torch.optim.Muon([matrix], lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        gradient = torch.randn(5, 24, generator=torch.Generator().manual_seed(step))
        kernel.weight.grad = gradient.view_as(kernel.weight).clone(memory_format=layout)
        kernel.bias.grad = torch.ones(5)
        matrix.grad = gradient
        ours.step()
        theirs.step()
        torch.testing.assert_close(kernel.weight.detach().flatten(1), matrix.detach(), atol=1e-6, rtol=0)
    assert float(kernel.bias.detach().abs().max()) > 0 and len(ours.param_groups) == 2


def test_muon_leaves_tables_heads_and_biases_to_adamw():
    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.position = torch.nn.Parameter(torch.zeros(1, 8, 4))
            self.kernel = torch.nn.Conv3d(4, 6, 3)
            self.head = torch.nn.Conv3d(6, 1, 1)

    model = Small()
    muon, rest = make_optimiser(model, training(optimiser="muon")).param_groups
    assert muon["params"] == [model.kernel.weight] and muon["weight_decay"] == 0.01
    assert {id(p) for p in rest["params"]} == {
        id(p) for p in (model.position, model.kernel.bias, model.head.weight, model.head.bias)
    }


def test_nesterov_momentum_is_as_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    optimiser = make_optimiser(model, training(optimiser="sgd", learning_rate=1.0, momentum=0.5, weight_decay=0))
    for _ in range(2):
        model.weight.grad = torch.ones(1, 1)
        optimiser.step()
    # buffer 1 then 1.5; step 1 + 0.5 * buffer: 1.5, then 1.75
    assert float(model.weight.detach()) == pytest.approx(-3.25)


def test_it_stops_early_when_validations_no_longer_fall_and_says_so(tmp_path, capsys):
    settings = training(steps=400, learning_rate=1e-9, warmup_steps=0, validate_every=2, early_stopping=3, ema_decay=0)
    still = tiny_task(tmp_path)
    still.model.requires_grad_(True)
    for parameter in still.model.parameters():
        torch.nn.init.zeros_(parameter)
    fit(still, settings)
    steps = [line["step"] for line in history(tmp_path) if "validation_loss" in line]
    assert steps == [2, 4, 6, 8] and json.loads((tmp_path / "receipt.json").read_text())["steps"] == 8
    assert "3 validations without a lower loss; stopped at step 8" in capsys.readouterr().out


def test_a_run_that_still_improves_is_not_stopped(tmp_path):
    fit(tiny_task(tmp_path), training(steps=30, learning_rate=0.05, validate_every=5, early_stopping=2))
    assert history(tmp_path)[-1]["step"] == 30


def test_channels_last_computes_the_same(tmp_path):
    for name, is_last in (("plain", False), ("last", True)):
        fit(conv_task(tmp_path / name), training(channels_last=is_last))
    plain, last = weights_of(tmp_path / "plain"), weights_of(tmp_path / "last")
    assert all(torch.allclose(plain[name], last[name], atol=1e-5) for name in plain)
    layout = {"memory_format": torch.channels_last_3d}
    image, kernel = in_layout(torch.zeros(2, 3, 4, 5, 6), True), in_layout(torch.nn.Conv3d(2, 3, 2), True).weight
    assert image.is_contiguous(**layout) and kernel.is_contiguous(**layout)
    assert in_layout(torch.zeros(2, 3, 4, 5, dtype=torch.bool), True).is_contiguous()


def test_a_network_that_cannot_be_compiled_is_trained_without_and_it_is_said(capsys):
    def fails(model: torch.nn.Module) -> None:
        raise RuntimeError("no compiler\nfor this")

    assert not can_compile(small_network(is_linear=True), fails, "stage 1, a")
    assert not can_compile(small_network(is_linear=True), lambda model: None, "stage 1, b")
    message = capsys.readouterr().out
    assert "stage 1, a: torch.compile does not work here (no compiler for this); training without it" in message
    assert "stage 1, b: torch.compile does not work here (it found nothing to compile)" in message


@pytest.mark.slow
def test_a_compiled_training_learns_the_same_and_is_compiled_though_it_is_the_ninth(tmp_path, capsys):
    fit(conv_task(tmp_path / "plain"), training(steps=3))
    for n in range(9):
        fit(conv_task(tmp_path / str(n), width=n + 2), training(steps=3, compile=True))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"], n
    assert "does not work" not in capsys.readouterr().out
    plain, compiled = weights_of(tmp_path / "plain"), weights_of(tmp_path / "2")
    assert plain.keys() == compiled.keys()
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-4) for name in plain)


@pytest.mark.slow
def test_a_step_that_mostly_waits_is_broken_down_and_said_aloud_once(tmp_path, capsys):
    fit(tiny_task(tmp_path, wait_s=0.02), training(steps=60))
    reports = {line["step"]: line["breakdown"] for line in history(tmp_path) if "breakdown" in line}
    assert set(reports) == {40, 60}
    for parts in reports.values():
        named = sum(parts[f"{name}_s"] for name in ("wait", "forward", "loss", "backward", "optimiser"))
        assert named == pytest.approx(parts["step_s"], abs=1e-4)
        assert parts["wait_s"] >= 4 * 0.02 and parts["wait_share"] > 0.2
    message = capsys.readouterr().out
    assert message.count("is spent waiting for patches; raise training.loader.workers (now 0)") == 1


def test_the_clock_tells_a_slow_network_from_slow_patches(tmp_path, clock):
    class Slow(torch.nn.Linear):
        def forward(self, x):
            clock.sleep(0.03)
            return super().forward(x)

    task = replace(tiny_task(tmp_path, wait_s=0.01), model=Slow(3, 1))
    fit(task, training(steps=40))  # each a batch of four
    parts = next(line["breakdown"] for line in history(tmp_path) if "breakdown" in line)
    named = {name: parts[f"{name}_s"] for name in ("wait", "forward", "loss", "backward", "optimiser")}
    assert named == pytest.approx({"wait": 0.04, "forward": 0.03, "loss": 0, "backward": 0, "optimiser": 0}, abs=1e-9)
    assert parts["step_s"] == pytest.approx(0.07) and parts["wait_share"] == pytest.approx(4 / 7, abs=1e-4)


def test_operations_are_counted_by_hand_alike():
    model = torch.nn.Conv3d(2, 3, 1, bias=False)
    # a product and a sum for each of 2 inputs, 3 outputs and 64 voxels
    assert forward_flop(model, (torch.zeros(1, 2, 4, 4, 4),)) == 2 * 2 * 3 * 64
    assert forward_flop(torch.nn.Identity(), (torch.zeros(1),)) is None


def test_settings_that_change_no_weight_change_no_key():
    plain = training()
    for change in ({"skip_share": 0.5}, {"validate_every": 7}, {"loader": {"workers": 3}}, {"checkpoint_every": 9}):
        assert training(**change).deciding() == plain.deciding()
    assert training(steps=13).deciding() != plain.deciding()
    early = {"early_stopping": 2}
    assert training(**early, validate_every=7).deciding() != training(**early).deciding()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), purge_orphaned_data=True).Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.mark.parametrize("rhythm", [{}, {"validate_every": 5}])
def test_tensorboard_shows_the_history_each_step_once_even_after_a_resumed_run(tmp_path, rhythm):
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path, broken_from=8 * 4), training(**rhythm))
    fit(tiny_task(tmp_path), training(**rhythm))
    shown = scalars(tmp_path)
    for name in ("loss", "gradient_norm", "lr", "validation_loss"):
        true = [(line["step"], line[name]) for line in history(tmp_path) if name in line]
        assert [step for step, _ in shown[name]] == [step for step, _ in true], name
        assert [value for _, value in shown[name]] == pytest.approx([value for _, value in true], rel=1e-5)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_takes_the_same_numbers_and_touches_no_network(tmp_path, name, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for step in (1, 2):  # killed and run again
        for one in open_curves(tmp_path, "a", "key", step, [name]):
            one.add(step, numbers_of({"step": step, "loss": 0.5}))
            one.close()
    left = {part.name.split("-")[0] for part in tmp_path.rglob("*")}
    assert ({"offline"} if name == "wandb" else {"mlflow.db"}) <= left
    if name == "mlflow":
        client = import_module("mlflow").MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        (found,) = client.search_runs([client.get_experiment_by_name("scroll-ensemble").experiment_id])
        assert [point.step for point in client.get_metric_history(found.info.run_id, "loss")] == [1, 2]


def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_one_before_stays_whole(tmp_path, monkeypatch):
    written = []

    def full(self: Path, content: bytes) -> int:
        written.append(self)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        with self.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"resume\.pt.*disk") as message:
        fit(tiny_task(tmp_path), training(checkpoint_every=2))
    assert "\n" not in str(message.value)
    monkeypatch.undo()
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 2
    assert not list(tmp_path.glob("*.part"))
    fit(tiny_task(tmp_path), training(checkpoint_every=2))
    assert (tmp_path / "weights.safetensors").exists() and scroll.runtime.files
