"""A soup is the plain mean of the weights that would have been kept; it survives a kill to the bit; without it nothing changes."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_task import Points, small_network, squared_error, tiny_task, training
from torch import nn

from scroll.config.schema import Settings
from scroll.config.training import TrainingSettings
from scroll.errors import InputError
from scroll.training.loop import fit
from scroll.training.soup import Soup, batch_norms, soup_steps, statistics_taken_again

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def history_of(folder: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def states_after_each_step(folder: Path, steps: int, **changes: object) -> list[dict[str, torch.Tensor]]:
    """The averaged weights after every step, of a training that is broken off after each and goes on."""
    found = []
    for done in range(1, steps):
        with pytest.raises(InputError):
            fit(
                tiny_task(folder, is_linear=False, broken_from=done * 4),
                training(steps=steps, checkpoint_every=1, **changes),
            )
        average = torch.load(folder / "resume.pt", weights_only=True)["average"]
        found.append({name.removeprefix("module."): value for name, value in average.items() if name != "n_averaged"})
    fit(tiny_task(folder, is_linear=False), training(steps=steps, checkpoint_every=1, **changes))
    return [*found, weights_of(folder)]


@given(st.integers(1, 10**6), st.integers(1, 50))
def test_the_steps_of_a_soup_are_even_in_the_last_quarter_and_end_with_the_last(steps, count):
    count = min(count, max(1, steps // 4))
    found = soup_steps(steps, count)
    assert len({*found}) == count and found == sorted(found) and found[-1] == steps
    assert found[0] > steps - max(1, steps // 4)
    gaps = {later - before for before, later in pairwise(found)}
    assert not gaps or max(gaps) - min(gaps) <= 1


@given(st.integers(1, 7), st.integers(0, 2**31))
def test_a_soup_of_equal_weights_is_these_weights_to_the_bit(count, seed):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    soup = Soup(40, count)
    for step in range(1, 41):
        soup.take(step, model)
    for name, value in model.state_dict().items():
        assert torch.equal(soup.mean[name], value)


@given(st.integers(1, 6))
def test_a_soup_is_the_plain_mean(count):
    soup, taken = Soup(40, count), []
    for step in range(1, 41):
        model = nn.Linear(1, 1)
        soup.take(step, model)
        if step in soup_steps(40, count):
            taken.append(model.weight.detach())
    torch.testing.assert_close(soup.mean["weight"], torch.stack(taken).mean(0))


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_what_is_kept_is_the_mean_of_what_would_have_been_kept_at_these_steps(tmp_path, decay):
    """Whatever the averaging within the training: it makes what would be kept."""
    steps = 12
    plain = states_after_each_step(tmp_path / "plain", steps, ema_decay=decay)
    fit(tiny_task(tmp_path / "soup", is_linear=False), training(steps=steps, ema_decay=decay, soup=3))
    found = weights_of(tmp_path / "soup")
    for name in found:
        if not name.endswith(STATISTICS):
            expected = torch.stack([plain[step - 1][name] for step in (10, 11, 12)]).mean(0)
            torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=0)
            assert decay == 0.9 or not torch.equal(found[name], plain[-1][name])


def test_batch_norms_have_the_statistics_of_the_soup_itself(tmp_path):
    fit(tiny_task(tmp_path, is_linear=False), training(steps=12, soup=3))
    found = weights_of(tmp_path)
    model = small_network(is_linear=False)
    model.load_state_dict(found)
    points = torch.stack([Points()[n]["x"] for n in range(12 * 4)])
    inside = nn.functional.linear(points, model[0].weight, model[0].bias).detach().unflatten(0, (12, 4))  # by batch
    torch.testing.assert_close(found["1.running_mean"], inside.mean((0, 1)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["1.running_var"], inside.var(1).mean(0), atol=1e-5, rtol=1e-5)


def test_taking_statistics_again_leaves_everything_else_as_it_predicts():
    model = nn.Sequential(
        nn.Linear(3, 4),
        nn.BatchNorm1d(4, momentum=0.3),
        nn.Dropout(0.5),
        nn.BatchNorm1d(4, track_running_stats=False),
        nn.InstanceNorm1d(4),
    )
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert batch_norms(model) == [model[1]]
    with statistics_taken_again(model):
        assert [module.training for module in model] == [False, True, False, False, False]
    assert model[1].momentum == 0.3 and not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.mark.parametrize("steps_done", [3, 9, 10, 11])
def test_broken_off_before_or_within_the_soup_and_started_again_it_ends_in_the_same_bits(tmp_path, steps_done):
    how = training(steps=12, soup=3, checkpoint_every=1)
    fit(tiny_task(tmp_path / "undisturbed", is_linear=False), how)
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path / "broken", is_linear=False, broken_from=steps_done * 4), how)
    assert ("soup" in torch.load(tmp_path / "broken" / "resume.pt", weights_only=True)) == (steps_done >= 10)
    fit(tiny_task(tmp_path / "broken", is_linear=False), how)
    found, expected = weights_of(tmp_path / "broken"), weights_of(tmp_path / "undisturbed")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    for key in ("loss", "validation_loss", "soup_validation_loss"):
        assert history_of(tmp_path / "broken", key) == history_of(tmp_path / "undisturbed", key)


def test_killed_after_the_last_step_and_before_the_weights_are_written_it_ends_in_the_same_bits(tmp_path):
    how = training(steps=12, soup=3, checkpoint_every=1)
    fit(tiny_task(tmp_path / "undisturbed", is_linear=False), how)

    class BreaksAtTheSoup(Points):
        """Patch 0 can be read once, by the first step; the second time, for the soup's statistics, the training breaks off."""

        reads = 0

        def __getitem__(self, n):
            BreaksAtTheSoup.reads += n == 0
            if n == 0 and BreaksAtTheSoup.reads > 1:
                raise InputError("broken off")
            return super().__getitem__(n)

    with pytest.raises(InputError, match="broken off"):
        fit(replace(tiny_task(tmp_path / "broken", is_linear=False), train=BreaksAtTheSoup()), how)
    assert torch.load(tmp_path / "broken" / "resume.pt", weights_only=True)["step"] == 12
    fit(tiny_task(tmp_path / "broken", is_linear=False), how)
    found, expected = weights_of(tmp_path / "broken"), weights_of(tmp_path / "undisturbed")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert len(history_of(tmp_path / "broken", "soup_validation_loss")) == 1


def test_the_validation_loss_of_the_soup_is_in_the_history_beside_that_of_the_last_weights(tmp_path):
    fit(tiny_task(tmp_path), training(steps=12, soup=3, learning_rate=0.1))
    model = small_network(is_linear=True)
    model.load_state_dict(weights_of(tmp_path))
    points = [Points()[n] for n in range(6)]
    losses = [
        squared_error(model, {name: torch.stack([point[name] for point in points[i : i + 2]]) for name in "xy"}).item()
        for i in (0, 2, 4)
    ]
    assert history_of(tmp_path, "soup_validation_loss") == [pytest.approx(sum(losses) / 3, abs=2e-5)]
    assert len(history_of(tmp_path, "validation_loss")) == 3


def test_without_a_soup_keys_states_and_histories_are_those_of_before(tmp_path):
    plain = training()
    assert "soup" not in plain.deciding() and "soup" not in plain.model_dump()
    assert training(soup=3).deciding() == plain.deciding() | {"soup": 3}
    with pytest.raises(InputError):
        fit(tiny_task(tmp_path, broken_from=4 * 11), training(checkpoint_every=1))
    assert "soup" not in torch.load(tmp_path / "resume.pt", weights_only=True)
    fit(tiny_task(tmp_path), training())
    assert not history_of(tmp_path, "soup_validation_loss")


def test_both_stages_and_end_to_end_training_take_a_soup_of_their_own():
    settings = Settings.model_validate(
        {
            "run_dir": "run",
            "stage1": {"members": {"net": {"network": "unet3d", "training": {"soup": 3}}}},
            "stage2": {"training": {"soup": 4}},
            "end_to_end": {"member": "net", "training": {"soup": 5}},
        }
    )
    trainings = [settings.stage1.members["net"].training, settings.stage2.training, settings.end_to_end.training]
    assert [one.deciding()["soup"] for one in trainings] == [3, 4, 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soup": 4, "early_stopping": 2}, "soup is 4 and early_stopping is 2: .* set one of them to 0"),
        ({"soup": 4, "steps": 12}, "soup is 4: the last quarter of 12 steps has 3; give a smaller soup, or 16 steps"),
        ({"soup": True}, "expected a number"),
    ],
)
def test_a_soup_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        TrainingSettings.model_validate({"steps": 100} | changes)
