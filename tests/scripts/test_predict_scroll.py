"""The command to whole scrolls refuses what would end in nothing, or in zeros, without a word."""

import os
import shutil
import sys

import numpy as np
import pytest
import torch

from ensemble.commands import predict_scroll, scroll_status
from scroll.errors import InputError
from scroll.shards.ledger import Ledger, Outcome
from scroll.shards.local_engine import LocalEngine
from scroll.shards.plan import Plan, write_plan
from scroll.volumes.sharded.output import OutputFormat, open_output

PLAN = Plan("key", OutputFormat((32, 32, 32), 32, 16, None), ((0, 0, 0),), 0)


def arguments(monkeypatch: pytest.MonkeyPatch, *options: str):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["predict_scroll.py", "a.yaml", "--input", "a", "--output", "b", *options])
    return predict_scroll.read_arguments()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "0"], "expected 1 or more"),
        (["--workers", "-1"], "expected 1 or more"),
        (["--num-parts", "3"], "expected both or neither"),
        (["--part-id", "1"], "expected both or neither"),
        (["--ray-address", "auto"], "only --engine ray joins a cluster"),
    ],
)
def test_what_would_do_nothing_or_a_part_only_is_refused(monkeypatch, options, message):
    with pytest.raises(InputError, match=message):
        predict_scroll.check_arguments(arguments(monkeypatch, *options))


@pytest.mark.parametrize(
    "environment",
    [{"RANK": "1"}, {"RANK": "x", "WORLD_SIZE": "2"}, {"SLURM_PROCID": "0"}, {"RANK": "-1", "WORLD_SIZE": "2"}],
)
def test_a_process_that_knows_only_half_of_its_place_is_refused(monkeypatch, environment):
    given = arguments(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="expected two numbers: unset both"):
        predict_scroll.part_of_environment(given)


def test_the_shell_of_an_allocation_is_none_of_its_tasks(monkeypatch):
    given = arguments(monkeypatch)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert predict_scroll.part_of_environment(given) == (0, 1)


@pytest.mark.parametrize(
    ("options", "environment", "parts", "expected"),
    [
        ([], {"LOCAL_RANK": "1"}, 8, LocalEngine(1, ("1",))),
        ([], {"SLURM_LOCALID": "5", "CUDA_VISIBLE_DEVICES": "4,7"}, 8, LocalEngine(1, ("7",))),
        ([], {"SLURM_LOCALID": "0"}, 1, LocalEngine(2, ("0", "1"))),  # a batch script of one task has all cards
        (["--num-parts", "3", "--part-id", "1"], {"LOCAL_RANK": "1"}, 3, LocalEngine(2, ("0", "1"))),
        (["--workers", "4"], {}, 1, LocalEngine(4, ("0", "1"))),
    ],
)
def test_processes_beside_each_other_take_a_card_each(monkeypatch, options, environment, parts, expected):
    def wakes_the_driver() -> bool:
        raise AssertionError("the driver reads CUDA_VISIBLE_DEVICES once, and here it is not written yet")

    given = arguments(monkeypatch, *options)
    for name in ("LOCAL_RANK", "SLURM_LOCALID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # so that what is written there is undone
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", wakes_the_driver)
    assert predict_scroll.engine_of(given, parts) == expected
    if len(expected.devices) == 1:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected.devices[0]


def test_a_ledger_whose_output_is_gone_is_refused_and_with_it_back_the_job_goes_on(tmp_path, monkeypatch, capsys):
    path, folder = tmp_path / "prob.zarr", tmp_path / "prob.zarr.ledger"
    output = predict_scroll.output_of(PLAN, str(path), folder)
    output.write((0, 0, 0), np.full((32, 32, 32), 7, np.uint8))
    Ledger(folder, PLAN.key).record(Outcome(PLAN.shards[0], "one"))
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="says that shards of it are written"):
        predict_scroll.output_of(PLAN, str(path), folder)
    assert not path.exists()
    write_plan(folder / "plan.json", PLAN)
    monkeypatch.setattr(sys, "argv", ["scroll_status.py", str(path)])
    assert scroll_status.main() == 1 and "its output is gone" in capsys.readouterr().out
    (tmp_path / "elsewhere").rename(path)
    assert scroll_status.main() == 0 and capsys.readouterr().out.startswith("complete")
    assert open_output(path) == predict_scroll.output_of(PLAN, str(path), folder)
    shutil.rmtree(path)
    shutil.rmtree(folder)
    assert not predict_scroll.output_of(PLAN, str(path), folder).read((0, 0, 0), (32, 32, 32)).any()
