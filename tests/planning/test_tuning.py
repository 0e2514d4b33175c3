"""Choices of batch and workers: by hand, on machines known by formula, and within bounds whatever is measured."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scroll.config.schema import TrainingSettings
from scroll.planning.overlay import table, tuned_text
from scroll.planning.tuning import (
    BATCH,
    WAIT_IS_LOW,
    WORKERS,
    Bounds,
    Setting,
    Trial,
    choose_batch,
    choose_prefetch,
    choose_workers,
    foreseen_shortage,
    trial_steps,
    tune,
)

COUNTS = (0, 1, 2, 4, 6)


def trials_of(rates, failed=()):
    return [
        Trial(WORKERS, Setting(2, workers=count), "died" if count in failed else "", 1.0, rate, 0.5)
        for count, rate in zip(COUNTS, rates, strict=False)
    ]


class Machine:
    """Seconds to cut and to learn a patch and to begin a step, GiB before the first patch and for each, RAM in all and a worker."""

    def __init__(self, load_s=0.1, learn_s=0.1, begin_s=0.0, base_gib=1.0, each_gib=1.0, ram_gib=100.0, worker_gib=1.0):
        self.load_s, self.learn_s, self.begin_s = load_s, learn_s, begin_s
        self.base_gib, self.each_gib, self.ram_gib, self.worker_gib = base_gib, each_gib, ram_gib, worker_gib
        self.tried: list[Setting] = []

    def __call__(self, phase: str, setting: Setting) -> Trial:
        self.tried.append(setting)
        learn = self.begin_s * setting.accumulate_steps + self.learn_s * setting.patches
        load = self.load_s * setting.patches
        step = learn + load if setting.workers == 0 else max(learn, load / setting.workers)
        workers = setting.workers * self.worker_gib
        return Trial(
            phase, setting, "", step, setting.patches / step, 1 - learn / step,
            self.base_gib + self.each_gib * setting.batch, None, workers, self.ram_gib - workers,
        )  # fmt: skip


machines = st.builds(
    Machine,
    *(st.floats(1e-3, 20.0) for _ in range(3)),
    base_gib=st.floats(0.1, 10.0),
    each_gib=st.floats(0.1, 10.0),
    ram_gib=st.floats(1.0, 60.0),
    worker_gib=st.floats(0.1, 10.0),
)
requested = st.builds(Setting, st.integers(1, 9), st.integers(1, 4), st.integers(0, 12), st.sampled_from([2, 4]))
all_bounds = st.builds(
    Bounds,
    max_batch=st.integers(1, 16),
    cores=st.integers(1, 8),
    limit_gib=st.floats(0.5, 80.0),
    least_free_gib=st.floats(0.0, 30.0),
)


@pytest.mark.parametrize(
    ("rates", "failed", "workers"),
    [
        ((10, 12, 20, 20.5, 20.1), (), 2),  # 20 is within 3 % of 20.5
        ((10, 12, 20, 20.7, 20.1), (), 4),  # and not of 20.7
        ((10, 9, 8, 7, 6), (), 0),
        ((10, 12, 20, 40, 50), (6,), 4),
        ((10, 12, 20, 40, 50), (2, 4, 6), 1),
        ((10, 12), (), 1),
    ],
)
def test_the_fewest_workers_within_noise_of_the_best_are_chosen(rates, failed, workers):
    trials = trials_of(rates, failed)
    assert choose_workers(trials, trials[0], 0.03).setting.workers == workers


@pytest.mark.parametrize(
    ("learned", "requested", "batch"),
    [
        ({2: 100, 4: 101, 8: 102}, 4, 4),  # all alike: as requested
        ({2: 100, 4: 101, 8: 102}, 16, 2),  # all alike, what is requested not among them: the smallest
        ({2: 100, 4: 140, 8: 142}, 2, 4),
        ({2: 100, 4: 140, 8: 200}, 2, 8),
        ({2: 100, 4: 90}, 4, 2),
    ],
)
def test_the_requested_batch_is_left_only_for_one_that_learns_faster(learned, requested, batch):
    # half of each step is spent waiting, which must not count
    trials = [Trial(BATCH, Setting(size), "", 1.0, rate / 2, 0.5) for size, rate in learned.items()]
    chosen = choose_batch(trials, Setting(requested), 0.03)
    assert chosen is not None and chosen.setting.batch == batch


def test_a_card_that_starves_gets_more_workers_although_the_first_hardly_helps():
    machine = Machine(load_s=18.0, learn_s=0.5, each_gib=0.1)
    found = tune(Setting(1), Bounds(max_batch=1, cores=8), machine)
    tried = [trial.setting.workers for trial in found.trials if trial.phase == WORKERS]
    assert tried == [0, 1, 2, 4, 6] and found.chosen is not None and found.chosen.setting.workers == 6


def test_what_loads_at_once_needs_no_worker_and_no_prefetching():
    found = tune(Setting(2), Bounds(cores=8), Machine(load_s=0.001, learn_s=0.1))
    assert found.chosen is not None and found.chosen.setting == Setting(2)
    assert [trial.setting.workers for trial in found.trials if trial.phase != BATCH] == [0]


def test_memory_that_ends_at_eight_leaves_four_and_one_that_ends_at_two_leaves_one():
    machine = Machine(begin_s=1.0, each_gib=1.0, base_gib=0.5)
    for limit, tried, left in ((5.0, [2, 4, 8], 4), (1.6, [2, 1], 1), (1.0, [2, 1, 1], None)):
        found = tune(Setting(2), Bounds(cores=4, limit_gib=limit), machine)
        assert [trial.setting.batch for trial in found.trials if trial.phase == BATCH] == tried
        assert (found.chosen and found.chosen.setting.batch) == left


def test_workers_that_ram_would_not_hold_are_not_even_tried():
    machine = Machine(load_s=10.0, learn_s=0.1, ram_gib=20.0, worker_gib=7.0)
    found = tune(Setting(1), Bounds(max_batch=1, cores=8, least_free_gib=2.0), machine)
    assert max(setting.workers for setting in machine.tried) == 2  # four would take 28 GiB
    assert found.trials[3].failure == "" and "not tried: 4 workers of 7.00 GiB" in found.trials[4].failure
    assert found.chosen is not None and found.chosen.setting.workers == 2
    assert foreseen_shortage(found.trials[:4], workers=2, least_free_gib=2.0) == ""


def test_where_ram_holds_no_worker_it_is_trained_without():
    found = tune(Setting(2), Bounds(cores=4, least_free_gib=2.0), Machine(ram_gib=8.0, worker_gib=7.0))
    assert found.chosen is not None and found.chosen.setting == Setting(1, 2, workers=0)


@given(machines, requested, all_bounds)
def test_what_is_chosen_trained_within_the_bounds(machine, requested, bounds):
    found = tune(requested, bounds, machine)
    works = [trial for trial in found.trials if not trial.failure]
    assert (found.chosen is None) == (not works)
    if found.chosen is None:
        return
    chosen = found.chosen
    assert chosen in found.trials and not chosen.failure
    assert chosen.peak_gib <= bounds.limit_gib and chosen.free_gib >= bounds.least_free_gib
    assert chosen.setting.batch <= bounds.max_batch and chosen.setting.workers <= max(1, bounds.cores)
    assert 0 <= chosen.setting.patches - requested.patches < chosen.setting.batch


@given(machines, st.integers(1, 8))
def test_stopping_early_costs_no_more_than_noise_and_the_waiting_that_is_left(machine, cores):
    machine.ram_gib, bounds = 1000.0, Bounds(max_batch=2, cores=cores)
    found = tune(Setting(2), bounds, machine)
    sweep = [machine(WORKERS, Setting(2, workers=count)) for count in COUNTS if count <= cores]
    best = max(trial.patches_a_s for trial in sweep)
    assert found.chosen is not None
    assert found.chosen.patches_a_s >= best * (1 - bounds.noise) * (1 - WAIT_IS_LOW) * (1 - 1e-9)


rates = st.lists(st.floats(0.1, 1000.0), min_size=1, max_size=5)


@given(rates, st.data())
def test_a_faster_trial_never_makes_the_choice_slower(speeds, data):
    trials = trials_of(speeds)
    failed = data.draw(st.sets(st.sampled_from(COUNTS[: len(trials)]), max_size=len(trials) - 1))
    trials = [replace(trial, failure="died" if trial.setting.workers in failed else "") for trial in trials]
    before = choose_workers(trials, trials[0], 0.03)
    n = data.draw(st.integers(0, len(trials) - 1))
    faster = replace(trials[n], patches_a_s=trials[n].patches_a_s * data.draw(st.floats(1.0, 10.0)))
    after = choose_workers([*trials[:n], faster, *trials[n + 1 :]], trials[0], 0.03)
    assert not after.failure
    # one with fewer workers may win for being within noise; none else can cost anything
    allowed = 0.97 if faster.setting.workers < before.setting.workers else 1.0
    assert after.patches_a_s >= before.patches_a_s * allowed * (1 - 1e-9)


@given(rates, st.floats(0.1, 1000.0))
def test_prefetching_is_changed_only_for_what_is_faster_by_more_than_noise(speeds, rate):
    before = Trial(WORKERS, Setting(2, workers=2), "", 1.0, rate, 0.5)
    chosen = choose_prefetch(trials_of(speeds, failed=(1,)), before, 0.03)
    assert chosen is before or (chosen.patches_a_s > rate * 1.03 and not chosen.failure)


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 12), st.integers(1, 4))
def test_every_worker_brings_as_many_of_the_counted_batches(steps, accumulate, workers, prefetch):
    warm, counted = trial_steps(Setting(2, accumulate, workers, prefetch), steps)
    assert counted >= steps and warm * accumulate >= workers * prefetch
    assert workers == 0 or (counted * accumulate % workers == 0 and counted - steps < workers)


@given(machines, requested, all_bounds)
def test_every_overlay_holds_legal_settings_and_every_table_all_trials(machine, requested, bounds):
    found = tune(requested, bounds, machine)
    assert len(table(found.trials).splitlines()) == 2 + len(found.trials)
    overlay = yaml.safe_load(tuned_text({"unet": found}, "a.yaml", "a CPU", 20))
    if found.chosen is None:
        assert overlay == {}
        return
    training = TrainingSettings.model_validate(overlay["stage1"]["members"]["unet"]["training"])
    chosen = found.chosen.setting
    assert (training.train_batch_size, training.accumulate_steps) == (chosen.batch, chosen.accumulate_steps)
    assert (training.loader.workers, training.loader.prefetch_factor) == (chosen.workers, chosen.prefetch)
