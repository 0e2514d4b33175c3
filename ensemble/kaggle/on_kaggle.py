"""What the notebook of a bundle does once our wheel is installed: look, predict on every GPU, validate, say what came out."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ensemble.review.validation import fragment_shapes, validate
from ensemble.time_budget.plan import HOUR_S
from scroll.config.reader import load_settings
from scroll.data.kinds import kind_of
from scroll.errors import InputError, MissingInputError
from scroll.runtime.children import command_environment
from scroll.runtime.files import read_mapping
from scroll.runtime.processes import usable_cores
from scroll.runtime.run_folder import RunFolder

GIB = 2**30
NEEDED = (
    "torch", "torchvision", "transformers", "monai", "zarr", "segmentation-models-pytorch", "dynamic-network-architectures",
    "connected-components-3d", "numba", "scikit-image", "tifffile", "imagecodecs", "safetensors", "pydantic",
)  # fmt: skip


@dataclass
class Job:
    """One submission.

    Attributes:
        run: folder with the settings and weights of the run; only read.
        data: the competition's folder; only read.
        scratch: folder for working copies and predictions.
        submission: file to write, .csv or .zip.
        deadline: when to be done, on the clock of `time.monotonic`.
        overrides: settings laid over the run's, "a.b=c" each.
        least_hours: that a call gets even after the deadline; it packs what is there.
    """

    run: Path
    data: Path
    scratch: Path
    submission: Path
    deadline: float
    overrides: Sequence[str] = field(default_factory=list)
    least_hours: float = 0.01

    @property
    def is_of_cubes(self) -> bool:
        """Whether it is for the surface competition."""
        return not kind_of(load_settings(self.run / "settings.yaml").data).has_sheets

    @property
    def places(self) -> list[str]:
        """Settings that say where the run, its members of others and its working copies are here."""
        members = load_settings(self.run / "settings.yaml").stage1.members
        others = {name: RunFolder(self.run).of_others(name) for name, one in members.items() if one.member is not None}
        others = {
            name: folder for name, folder in others.items() if folder.exists()
        }  # a run that is no bundle has its own
        places = [f"stage1.members.{name}.member={folder}" for name, folder in others.items()]
        return [f"run_dir={self.run}", f"data.cache_dir={self.scratch / 'cache'}", *places]

    def packages(self) -> dict[str, str]:
        """Version by name of all that a prediction by this run needs.

        Raises:
            MissingInputError: some are not installed.
        """
        found = installed(NEEDED)
        from ensemble.kaggle.others import optional_packages  # not before it is sure that these can be imported
        from ensemble.kinds import steps_of

        settings = load_settings(self.run / "settings.yaml", [*self.places, *self.overrides])
        return found | installed(optional_packages(settings, steps_of(settings.data).asked(settings)[0]))

    @property
    def hours_left(self) -> float:
        """Until the deadline."""
        return (self.deadline - time.monotonic()) / HOUR_S

    def look(self) -> None:
        """Say what there is: packages, things to predict, GPUs, disk, time.

        Raises:
            MissingInputError: a package, or what is to be predicted, is not there.
        """
        print(", ".join(f"{name} {number}" for name, number in self.packages().items()))
        what = "cubes" if self.is_of_cubes else "fragments"
        self.scratch.mkdir(parents=True, exist_ok=True)
        status = os.statvfs(self.scratch)
        free_gib = status.f_bavail * status.f_frsize / GIB
        print(
            f"{len(self.names)} {what} in {self.data}; {len(gpus())} GPUs; {free_gib:.0f} GiB free in {self.scratch}; "
            f"{self.hours_left:.1f} hours left"
        )

    @cached_property
    def names(self) -> list[str]:
        """Ids of what is to be predicted."""
        if self.is_of_cubes:
            from ensemble.surface.submission import shapes_of_test_cubes

            return list(shapes_of_test_cubes(self.data))
        return list(fragment_shapes(self.data / "test"))

    def predict(self) -> None:
        """Predict on all GPUs at once, a process each; then pack what they predicted into the submission.

        What a process did not finish the last one does: it goes on where the others stopped.

        Raises:
            InputError: the last one failed; its last line says why.
        """
        processes = max(1, min(len(gpus()), len(self.names)))
        started: list[Process] = []
        try:
            if processes > 1:
                started = [
                    self._started(gpu, f"gpu {gpu}: ", "--part", f"{gpu + 1}/{processes}") for gpu in range(processes)
                ]
                for gpu, part in enumerate(started):
                    if part.wait():
                        print(f"gpu {gpu}: stopped with exit code {part.returncode}; the rest is predicted once more")
            last = self._started(None, "", "--submission", str(self.submission))
            started.append(last)
            if last.wait():
                raise InputError(
                    f"{self.submission}: not written; {last.output[-1] if last.output else 'nothing was said'}"
                )
        finally:  # a cell that is interrupted leaves nothing at work
            for process in started:
                process.stop()

    def validate(self) -> None:
        """Look at the submission as the grader will.

        Raises:
            InputError: it has faults; they are printed.
        """
        lines, masks = validate(self.submission, self.data)
        print(*lines, sep="\n", end="\n" if lines else "")
        faults = [line for line in lines if not line.startswith("warning")]
        if faults:
            raise InputError(f"{self.submission}: {len(faults)} faults, the first: {faults[0]}")
        print(f"{self.submission}: valid, {masks} masks, {self.submission.stat().st_size / 2**20:.2f} MiB")

    def summary(self) -> None:
        """Say how much was found on each fragment, or through how many views the cubes were looked at."""
        if self.is_of_cubes:
            notes = sorted((self.scratch / "predict" / "masks").glob("*.json"))
            views = Counter(json.dumps(read_mapping(note, views={str: int})["views"]) for note in notes)
            for how, count in views.most_common():
                print(f"{count} cubes: {', '.join(f'{name} x{times}' for name, times in json.loads(how).items())}")
            empty = len(self.names) - len(notes)
            print(f"{empty} cubes empty for want of time" if empty else "every cube was predicted in time")
        else:
            from ensemble.ink.submission import read_submission

            shapes = fragment_shapes(self.data / "test")
            for name, mask in read_submission(self.submission, shapes).items():
                print(f"fragment {name}: {mask.shape[0]} x {mask.shape[1]} pixels, {mask.mean():.2%} ink")
        print(f"{max(self.hours_left, 0):.2f} hours to spare")

    def _started(self, gpu: int | None, prefix: str, *arguments: str) -> "Process":
        command = [sys.executable, "-m", "ensemble.predict", str(self.run / "settings.yaml"), *arguments]
        command += ["--input", str(self.data if self.is_of_cubes else self.data / "test")]
        command += [
            "--output",
            str(self.scratch / "predict"),
            "--hours",
            f"{max(self.hours_left, self.least_hours):.9f}",
        ]
        command += ["--late-is-empty", "--tidy"] if self.is_of_cubes else []
        settings = [*self.places, *self.overrides]
        command += [part for setting in settings for part in ("--set", setting)]
        environment = command_environment()
        if gpu is not None:  # processes that share cores wait for each other, unless each has its own
            threads = max(1, usable_cores() // len(gpus()))
            environment = {"OMP_NUM_THREADS": str(threads), **environment, "CUDA_VISIBLE_DEVICES": gpus()[gpu]}
        return Process(command, environment, prefix)


class Process:
    """A command whose lines are printed as they come, each after a prefix; in a notebook a child's own output is not seen."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], prefix: str) -> None:
        self.output: list[str] = []
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, args=(prefix,), daemon=True)
        self._reader.start()

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    def wait(self) -> int:
        """Until it ends and all it said is printed; its exit code."""
        code = self._process.wait()
        self._reader.join()
        return code

    def stop(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _read(self, prefix: str) -> None:
        for line in self._process.stdout or ():
            if line.strip():
                self.output.append(line.strip())
                print(f"{prefix}{line.rstrip()}", flush=True)


def gpus() -> list[str]:
    """Names of the GPUs that may be used, as CUDA_VISIBLE_DEVICES takes them; asked without starting CUDA here."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return []
    return done.stdout.split() if done.returncode == 0 else []


def installed(needed: Iterable[str]) -> dict[str, str]:
    """Version by name of these packages.

    Raises:
        MissingInputError: some are not installed.
    """
    found, missing = {}, []
    for name in needed:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise MissingInputError(
            f"{', '.join(missing)}: not installed here, and not in the bundle; make it again with --download, or --wheels FOLDER"
        )
    return found
