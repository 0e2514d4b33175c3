"""What tuning found: a table of all trials, and an overlay in a plan's format, laid over the configuration with `--set @file`."""

from collections.abc import Mapping, Sequence

import yaml

from scroll.planning.tuning import Setting, Trial, Tuned

COLUMNS = (
    "phase", "batch", "accumulate", "workers", "prefetch", "persistent", "step_s", "patches/s", "waiting", "peak_gib",
    "allocated_gib", "workers_gib", "said",
)  # fmt: skip


def table(trials: Sequence[Trial], chosen: Trial | None = None) -> str:
    """The trials as Markdown, the chosen one marked."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_cells(trial, trial is chosen) for trial in trials)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(trial: Trial, is_chosen: bool) -> tuple[str, ...]:
    setting = trial.setting
    measured = ("-",) * 3
    if not trial.failure:
        measured = (f"{trial.step_s:.4g}", f"{trial.patches_a_s:.4g}", f"{trial.wait_share:.0%}")
    return (
        trial.phase, str(setting.batch), str(setting.accumulate_steps), str(setting.workers), str(setting.prefetch),
        "yes" if setting.is_persistent else "no", *measured, f"{trial.peak_gib:.2f}",
        "-" if trial.allocated_gib is None else f"{trial.allocated_gib:.2f}", f"{trial.workers_gib:.2f}",
        trial.failure or ("chosen" if is_chosen else ""),
    )  # fmt: skip


def tuned_text(found: Mapping[str, Tuned], config: str, device: str, steps: int) -> str:
    """YAML of the chosen settings of every member, below the reasons and the trials; a member that does not train is left as it is."""
    lines = [
        f"# Measured for {config} by scripts/tune.py on {device}, {steps} steps a trial.",
        "# Lay it over the configuration: make stage1 CONFIG=... PLAN=this file, or --set @this file; change what you know better.",
    ]
    lines += ["stage1:", "  members:"] if any(one.chosen for one in found.values()) else ["{}"]
    for name, tuned in found.items():
        said = [f"      # {line}" for line in [*tuned.why, *table(tuned.trials, tuned.chosen).splitlines()]]
        if tuned.chosen is None:
            lines += [f"    # {name}: left as it is", *said]
            continue
        settings = yaml.safe_dump(changed(tuned.chosen.setting), sort_keys=False, default_flow_style=None)
        lines += [f"    {name}:", *said, *(f"      {line}" for line in settings.rstrip().splitlines())]
    return "\n".join(lines) + "\n"


def changed(setting: Setting) -> dict[str, object]:
    """A setting as it stands below `stage1.members.<name>`."""
    loader = {
        "workers": setting.workers,
        "prefetch_factor": setting.prefetch,
        "persistent_workers": setting.is_persistent,
    }
    training = {"train_batch_size": setting.batch, "accumulate_steps": setting.accumulate_steps, "loader": loader}
    return {"training": training}
