"""What cannot be read is passed over and counted; a process that dies and a patch that cannot be made are one line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import Points, squared_error, tiny_task, training

from scroll.errors import InputError, UnreadableError
from scroll.training.dataloader import FAR, SKIPPED, SkipUnreadable, naming_dead_workers, training_batches
from scroll.training.loop import Task, fit

REPOSITORY = Path(__file__).resolve().parents[2]


class Deadly(Points):
    """Its loading process is killed at point 21, as by a machine that runs out of memory."""

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        if n == 21:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(n)


class Refusing(Points):
    """Point 9 is a mistake of the user's, not of the data's."""

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        if n == 9:
            raise InputError("folds: this split leaks; make folds.buffer_px larger")
        return super().__getitem__(n)


def with_points(folder: Path, points: Points) -> Task:
    plain = tiny_task(folder)
    object.__setattr__(plain, "train", points)
    return plain


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_in_the_place_of_an_unreadable_patch_stands_one_whose_number_follows_from_its_own():
    sound, points = SkipUnreadable(Points(corrupt=(4, 4 + FAR))), Points()
    assert torch.equal(sound[4]["x"], points[4 + 2 * FAR]["x"]) and int(sound[4][SKIPPED]) == 2
    assert torch.equal(sound[3]["x"], points[3]["x"]) and int(sound[3][SKIPPED]) == 0


def test_where_nothing_can_be_read_it_is_said_in_one_line():
    everything = tuple(7 + k * FAR for k in range(10))
    with pytest.raises(InputError, match=r"patch 7 and 4 others .*copy it again$") as caught:
        SkipUnreadable(Points(corrupt=everything))[7]
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_patch_is_skipped_counted_and_changes_nothing_else(tmp_path, workers):
    loader = {"workers": workers}
    fit(tiny_task(tmp_path, corrupt=(13, 30)), training(loader=loader, skip_share=0.5))
    counted = {line["step"]: line["skipped"] for line in lines(tmp_path) if "skipped" in line}
    assert counted == {4: 1, 8: 1}  # four patches a step
    fit(tiny_task(tmp_path / "again", corrupt=(13, 30)), training(skip_share=0.5))
    ours, again = (load_file(folder / "weights.safetensors") for folder in (tmp_path, tmp_path / "again"))
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_more_corrupt_patches_than_allowed_stop_the_run_and_the_last_checkpoint_is_whole(tmp_path):
    with pytest.raises(
        InputError, match=r"tiny: 3 patches could not be read by step 8, more than skip_share 0\.05"
    ) as message:
        fit(tiny_task(tmp_path, corrupt=(13, 14, 30)), training(skip_share=0.05))
    assert "\n" not in str(message.value)
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 5


def test_with_no_share_allowed_the_first_corrupt_patch_stops_the_run(tmp_path):
    with pytest.raises(InputError, match="1 patches could not be read by step 4"):
        fit(tiny_task(tmp_path, corrupt=(13,)), training(skip_share=0))


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_a_loading_process_that_dies_is_one_line_and_the_last_checkpoint_is_whole(tmp_path, start_method):
    loader = {"workers": 1, "start_method": start_method}
    task = with_points(tmp_path, Deadly())
    with pytest.raises(
        InputError, match=r"a loading process died .*lower training\.loader\.workers \(now 1\)"
    ) as message:
        fit(task, training(loader=loader, checkpoint_every=2))
    assert "\n" not in str(message.value)
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert state["step"] >= 2 and all(torch.isfinite(t).all() for t in state["model"].values())
    subprocess.run([sys.executable, "-c", ""], check=True)  # another child's end is no second notice of that death


class Torn(ConnectionResetError):
    """A connection to a process whose end the system tells of while this is looked at."""

    def __str__(self) -> str:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return "reset by peer"


def test_the_notice_of_a_death_that_is_known_already_is_no_other_error():
    def notice(number: int, frame: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    loading = training(loader={"workers": 1}).loader
    before = signal.signal(signal.SIGCHLD, notice)
    try:
        with pytest.raises(InputError, match="a loading process died"), naming_dead_workers(loading):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            os.kill(os.getpid(), signal.SIGCHLD)
            raise Torn(104, "reset by peer")
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_a_program_that_ends_while_patches_are_still_being_loaded_does_end(start_method):
    program = f"""
from scroll.training.dataloader import training_batches
from tiny_task import Points, training
held = training_batches(Points(), [[n] for n in range(100)], training(loader={{"workers": 1, "start_method": "{start_method}"}}))
next(held)
"""
    places = os.pathsep.join(str(Path(__file__).parents[n]) for n in (1, 2))
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": places}, capture_output=True, timeout=100
    )
    assert done.returncode == 0 and not done.stderr


class Whereabouts(Points):
    """Beside a point, the process that made it, that one's parent, and how many threads this has."""

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        parent = os.getppid()
        where = {"process": os.getpid(), "parent": parent, "threads": len([*Path(f"/proc/{parent}/task").iterdir()])}
        return {**super().__getitem__(n), **{name: torch.tensor(value) for name, value in where.items()}}


@pytest.mark.skipif(
    sys.platform != "linux", reason="where else a process is forked from one that has imported torch is not said"
)
def test_loading_processes_of_all_trainings_are_forked_from_one_of_a_single_thread_and_give_what_this_one_gives():
    numbers, servers = [[4 * k + n for n in range(4)] for k in range(6)], set()
    for _ in range(2):
        batches = list(training_batches(Whereabouts(), numbers, training(loader={"workers": 2})))
        assert len({int(n) for batch in batches for n in batch["process"]}) == 2
        assert all((batch["threads"] == 1).all() for batch in batches)
        servers |= {int(n) for batch in batches for n in batch["parent"]}
        here = training_batches(Points(), numbers, training())
        assert all(torch.equal(a[name], b[name]) for a, b in zip(batches, here, strict=True) for name in b)
    assert len(servers) == 1 and servers != {os.getpid()}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_of_the_users_is_not_skipped_and_reads_the_same_from_a_loading_process(workers):
    settings = training(loader={"workers": workers})
    batches = training_batches(Refusing(), [[8, 9]], settings)
    with pytest.raises(InputError) as caught:
        next(batches)
    assert str(caught.value) == "folds: this split leaks; make folds.buffer_px larger"


def test_an_unreadable_patch_to_validate_on_does_not_end_the_run_either(tmp_path):
    task = tiny_task(tmp_path)
    object.__setattr__(task, "validation", Points(count=6, corrupt=(2,)))
    fit(task, training())
    assert sum("validation_loss" in line for line in lines(tmp_path)) == 3


def test_the_loss_sees_the_patches_and_nothing_of_the_counting(tmp_path):
    seen = []

    def loss_of(model, batch):
        seen.append(set(batch))
        return squared_error(model, batch)

    task = tiny_task(tmp_path)
    object.__setattr__(task, "loss_of", loss_of)
    fit(task, training(steps=2))
    assert seen and all(names == {"x", "y"} for names in seen)


DEEP_DOWN = """
import sys
import torch
from torch.utils.data import DataLoader, TensorDataset
from scroll.runtime.children import family

if __name__ == "__main__":
    patches = TensorDataset(torch.arange(8.0))
    loader = DataLoader(patches, batch_size=2, num_workers=1, multiprocessing_context=family(sys.argv[1]))
    print(torch.cat([batch for (batch,) in loader]).tolist())
"""


@pytest.mark.parametrize("method", ["spawn", "auto"])
def test_a_temporary_folder_deep_down_keeps_nobody_waiting(tmp_path: Path, method: str) -> None:
    """The names of sockets, by which tensors are handed over, have 107 bytes at most."""
    deep, program = tmp_path / ("deep" * 25), tmp_path / "job.py"
    deep.mkdir()
    program.write_text(DEEP_DOWN)
    environment = {**os.environ, "TMPDIR": str(deep), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(program), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.strip() == str([float(n) for n in range(8)]), done.stderr
    assert list(deep.iterdir()) == []
