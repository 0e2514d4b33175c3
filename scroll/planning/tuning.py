"""Which batch, workers and prefetching suit a machine, decided from measured trials; a trial is whatever `measure` makes of a setting.

Three phases, each from the last good setting of the one before: the batch with one worker, the workers, then prefetching.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, lcm

WAIT_IS_LOW = 0.05  # share of a step; below it more workers have nothing to win
NOISE = 0.03  # two trials of one setting differ by as much
WARM_STEPS = 3  # that allocate and fill caches
BATCH, WORKERS, PREFETCH = "batch", "workers", "prefetch"


@dataclass(frozen=True)
class Setting:
    """What is tried: `accumulate_steps` batches of `batch` patches make an optimiser step; `prefetch` is batches a worker."""

    batch: int
    accumulate_steps: int = 1
    workers: int = 0
    prefetch: int = 2
    is_persistent: bool = True

    @property
    def patches(self) -> int:
        """That an optimiser step learns from."""
        return self.batch * self.accumulate_steps


@dataclass(frozen=True)
class Trial:
    """What a setting took.

    Attributes:
        failure: why it cannot be used; empty where it can.
        step_s: median of the optimiser steps, waiting included.
        patches_a_s: over all counted steps: patches come in bursts of one from each worker, which a median would not see.
        wait_share: of the counted steps, spent waiting for patches.
        peak_gib: reserved on the GPU; on a CPU what the training process holds.
        allocated_gib: on the GPU; none on a CPU.
        workers_gib: RAM of all loading processes at their peak.
        free_gib: RAM that was free when least was.
    """

    phase: str
    setting: Setting
    failure: str = ""
    step_s: float = inf
    patches_a_s: float = 0.0
    wait_share: float = 0.0
    peak_gib: float = 0.0
    allocated_gib: float | None = None
    workers_gib: float = 0.0
    free_gib: float = inf

    @property
    def learned_a_s(self) -> float:
        """Patches a second if none had to be waited for."""
        return self.patches_a_s / max(1 - self.wait_share, 1e-6)


@dataclass(frozen=True)
class Bounds:
    """What trials stay within.

    Attributes:
        workers: counts that are tried, as far as there are cores.
        limit_gib: of a trial's `peak_gib`.
        least_free_gib: RAM that stays free.
        noise: share by which a trial must be faster to count as faster.
    """

    max_batch: int = 8
    workers: tuple[int, ...] = (0, 1, 2, 4, 6)
    prefetch: tuple[int, ...] = (2, 4)
    cores: int = 1
    limit_gib: float = inf
    least_free_gib: float = 0.0
    noise: float = NOISE

    def judged(self, trial: Trial) -> Trial:
        """The trial, failed where it left the bounds."""
        if trial.failure:
            return trial
        if trial.peak_gib > self.limit_gib:
            return replace(trial, failure=f"{trial.peak_gib:.2f} GiB, above the limit of {self.limit_gib:.2f}")
        if trial.free_gib < self.least_free_gib:
            message = f"only {trial.free_gib:.2f} GiB of RAM left free, of {self.least_free_gib:.2f} that should be"
            return replace(trial, failure=message)
        return trial


Measure = Callable[[str, Setting], Trial]


@dataclass(frozen=True)
class Tuned:
    """All trials in their order, the chosen one (none: nothing trains within the bounds), and a line of reason for each phase."""

    requested: Setting
    trials: tuple[Trial, ...]
    chosen: Trial | None
    why: tuple[str, ...]


def tune(requested: Setting, bounds: Bounds, measure: Measure) -> Tuned:
    """Go through the three phases; `measure(phase, setting)` returns a trial, a failed one where the setting does not work."""

    def within_bounds(phase: str, setting: Setting) -> Trial:
        return bounds.judged(measure(phase, setting))

    trials = try_batches(requested, bounds, within_bounds)
    chosen = choose_batch(trials, requested, bounds.noise)
    if chosen is None:
        return Tuned(requested, tuple(trials), None, (f"not even batch {trials[-1].setting.batch} trains here",))
    why = [_why_batch(trials, chosen, requested)]
    for run, choose, reason in (
        (try_workers, choose_workers, _why_workers),
        (try_prefetch, choose_prefetch, _why_prefetch),
    ):
        more = run(chosen, bounds, within_bounds)
        trials += more
        chosen = choose(more, chosen, bounds.noise)
        why.append(reason(more, chosen))
    return Tuned(requested, tuple(trials), chosen, tuple(why))


def batches(requested: int, most: int) -> list[int]:
    """The batches that are tried, while they fit: doublings from 2, or from what is requested where they would pass it over.

    >>> batches(requested=4, most=8), batches(requested=1, most=4), batches(requested=3, most=8), batches(requested=12, most=8)
    ([2, 4, 8], [1, 2, 4], [3, 6], [2, 4, 8])
    """
    is_doubling = requested & (requested - 1) == 0
    first = min(2, requested) if is_doubling or requested > most else requested
    found = [min(first, most)]
    while found[-1] * 2 <= most:
        found.append(found[-1] * 2)
    return found


def with_batch(requested: Setting, batch: int) -> Setting:
    """The same patches an optimiser step in batches of this size, as nearly as whole batches make them up.

    >>> with_batch(Setting(4, 3), 2).accumulate_steps, with_batch(Setting(2), 8).accumulate_steps
    (6, 1)
    """
    return replace(requested, batch=batch, accumulate_steps=ceil(requested.patches / batch))


def try_batches(requested: Setting, bounds: Bounds, measure: Measure) -> list[Trial]:
    """Larger and larger batches with one worker until one fails; where the first does, smaller ones, at last without the worker."""
    alone = replace(requested, workers=1)
    trials: list[Trial] = []
    for batch in batches(requested.batch, bounds.max_batch):
        trials.append(measure(BATCH, with_batch(alone, batch)))
        if trials[-1].failure:
            break
    while all(trial.failure for trial in trials) and trials[-1].setting.batch > 1:
        trials.append(measure(BATCH, with_batch(alone, trials[-1].setting.batch // 2)))
    if all(trial.failure for trial in trials):
        trials.append(measure(BATCH, replace(trials[-1].setting, workers=0)))
    return trials


def try_workers(chosen: Trial, bounds: Bounds, measure: Measure) -> list[Trial]:
    """More and more workers until little is waited for, one more does not help, or one fails.

    The step from none to one is no reason to stop: one worker loads beside the learning, but no faster than none, and where
    loading takes most of the time that hardly shows, while each further worker helps much.
    """
    trials: list[Trial] = []
    for workers in sorted({count for count in bounds.workers if count <= bounds.cores}) or [0]:
        setting = replace(chosen.setting, workers=workers)
        shortage = foreseen_shortage([chosen, *trials], workers, bounds.least_free_gib)
        trials.append(Trial(WORKERS, setting, shortage) if shortage else measure(WORKERS, setting))
        trial = trials[-1]
        before = [one.patches_a_s for one in trials[:-1] if one.setting.workers]
        is_no_help = bool(before) and trial.patches_a_s <= max(before) * (1 + bounds.noise)
        if trial.failure or trial.wait_share < WAIT_IS_LOW or is_no_help:
            break
    return trials


def foreseen_shortage(trials: Sequence[Trial], workers: int, least_free_gib: float) -> str:
    """Why so many workers would take too much RAM, by what those of the last good trial took; empty where they would not.

    The system ends processes when RAM runs out, this one too, so that it is not tried.
    """
    seen = [trial for trial in trials if not trial.failure and trial.setting.workers]
    if not seen or workers <= seen[-1].setting.workers:
        return ""
    each = seen[-1].workers_gib / seen[-1].setting.workers
    left = seen[-1].free_gib - (workers - seen[-1].setting.workers) * each
    if left >= least_free_gib:
        return ""
    return f"not tried: {workers} workers of {each:.2f} GiB each would leave {max(left, 0.0):.2f} GiB of RAM free"


def try_prefetch(chosen: Trial, bounds: Bounds, measure: Measure) -> list[Trial]:
    """Other prefetching, then workers that are not kept; nothing without workers, or where no more is waited for than noise."""
    if not chosen.setting.workers or chosen.wait_share <= bounds.noise:
        return []
    trials: list[Trial] = []
    for prefetch in bounds.prefetch:
        if prefetch != chosen.setting.prefetch:
            trials.append(measure(PREFETCH, replace(chosen.setting, prefetch=prefetch)))
    best = choose_prefetch(trials, chosen, bounds.noise).setting
    trials.append(measure(PREFETCH, replace(best, is_persistent=not best.is_persistent)))
    return trials


def choose_batch(trials: Sequence[Trial], requested: Setting, noise: float) -> Trial | None:
    """What is requested where it learns as fast as the best, waiting left out, else the smallest batch that does; none where all failed."""
    return _first_as_fast(
        trials,
        lambda trial: trial.learned_a_s,
        lambda trial: (trial.setting.batch != requested.batch, trial.setting.batch),
        noise,
    )


def choose_workers(trials: Sequence[Trial], before: Trial, noise: float) -> Trial:
    """The fewest workers that are as fast as the best; the setting before where all failed."""
    found = _first_as_fast(trials, lambda trial: trial.patches_a_s, lambda trial: trial.setting.workers, noise)
    return before if found is None else found


def choose_prefetch(trials: Sequence[Trial], before: Trial, noise: float) -> Trial:
    """The setting before, unless another is faster by more than noise."""
    for trial in trials:
        if not trial.failure and trial.patches_a_s > before.patches_a_s * (1 + noise):
            before = trial
    return before


def _first_as_fast(
    trials: Sequence[Trial],
    speed: Callable[[Trial], float],
    order: Callable[[Trial], tuple[bool, int] | int],
    noise: float,
) -> Trial | None:
    good = [trial for trial in trials if not trial.failure]
    least = (1 - noise) * max((speed(trial) for trial in good), default=0.0)
    return min((trial for trial in good if speed(trial) >= least), key=order, default=None)


def trial_steps(setting: Setting, steps: int) -> tuple[int, int]:
    """Steps that are not counted, then those that are: at least `steps`, and as many batches from each worker as from any other.

    Those before use up what the workers had prefetched while the first step was slow: it would pass for their speed.

    >>> trial_steps(Setting(2), 20), trial_steps(Setting(2, workers=6), 20), trial_steps(Setting(2, 2, workers=4), 20)
    ((3, 20), (15, 24), (7, 20))
    """
    if not setting.workers:
        return WARM_STEPS, steps
    round_of_all = lcm(setting.workers, setting.accumulate_steps) // setting.accumulate_steps
    kept = ceil(setting.workers * setting.prefetch / setting.accumulate_steps)
    return WARM_STEPS + kept, ceil(steps / round_of_all) * round_of_all


def _why_batch(trials: Sequence[Trial], chosen: Trial, requested: Setting) -> str:
    setting = chosen.setting
    message = f"batch {setting.batch} x {setting.accumulate_steps}: learns {chosen.learned_a_s:.3g} patches/s, waiting left out"
    if trials[-1].failure:
        message += f"; batch {trials[-1].setting.batch} failed"
    if setting.patches != requested.patches:
        message += f"; a step now learns from {setting.patches} patches, not {requested.patches}: think of training.steps and learning_rate"
    return message


def _why_workers(trials: Sequence[Trial], chosen: Trial) -> str:
    tried = ", ".join(f"{one.setting.workers}: {one.failure or f'{one.patches_a_s:.3g}'}" for one in trials)
    return f"workers {chosen.setting.workers}: the fewest as fast as the best (patches/s with {tried}), {chosen.wait_share:.0%} waiting"


def _why_prefetch(trials: Sequence[Trial], chosen: Trial) -> str:
    if not chosen.setting.workers:
        return "prefetching: there are no workers to do it"
    message = f"prefetch {chosen.setting.prefetch}, workers {'kept' if chosen.setting.is_persistent else 'not kept'}: "
    if not trials:
        return message + f"with {chosen.wait_share:.0%} waiting nothing is to be won"
    return message + ("no other was faster by more than noise" if chosen not in trials else "faster by more than noise")
