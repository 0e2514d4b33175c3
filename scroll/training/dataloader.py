"""Patches by number, in batches: what cannot be read is passed over and counted, what breaks is said in one line."""

import errno
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scroll.config.training import LoaderSettings, TrainingSettings
from scroll.errors import InputError, UnreadableError, WorkerDiedError
from scroll.runtime.children import family
from scroll.runtime.interrupts import hear_of_dead_workers_once
from scroll.runtime.processes import share_memory_with
from scroll.training.shared_memory import SHARED_FULL, shared_memory_is_small

Batch = dict[str, Tensor]
ATTEMPTS = 5
FAR = 10**9  # between the number of a patch and that of its substitute: farther than any training counts
SKIPPED = "skipped"  # name in the batch of how many patches each of its patches stands in for


@runtime_checkable
class Deferrable(Protocol):
    """Patches whose augmentation can be left to the device that trains."""

    def deferred(self) -> "Deferred | None":
        """The same patches, not augmented yet; None where they cannot be."""


@runtime_checkable
class Deferred(Protocol):
    """Patches that are not augmented yet: a batch of them is, on the device."""

    def __getitem__(self, n: int) -> Batch:
        """Patch n, not augmented yet."""

    def collate(self, items: Sequence[Batch]) -> Batch:
        """A batch of items."""

    def finish(self, batch: Batch, device: torch.device) -> Batch:
        """A batch on the device and augmented; one that is whole, as those of validation are, as it is."""


def with_augmentation_on(
    patches: "Dataset[Batch]", augment_on: Literal["auto", "cpu", "device"], device: torch.device
) -> "Dataset[Batch]":
    """The patches of a training as they are, or `Deferred` where their augmentation is left to the device.

    Where nobody asked for it ("auto" on a GPU), it is tried on the first patch, and what fails there stays in the loading processes.
    """
    is_left = augment_on == "device" or (augment_on == "auto" and device.type == "cuda")
    deferred = patches.deferred() if is_left and isinstance(patches, Deferrable) else None
    if deferred is None or (augment_on == "auto" and not _works(deferred, device)):
        return patches
    return deferred  # type: ignore[return-value]


def _works(deferred: "Deferred", device: torch.device) -> bool:
    try:
        deferred.finish(deferred.collate([deferred[0]]), device)
    except InputError:  # the patch cannot be read, which says nothing of the device; the training tells it in its turn
        return True
    except Exception as error:  # noqa: BLE001 - whatever it is, the loading processes can do it
        print(
            f"patches are augmented by the loading processes: {device.type} fails at it: {str(error).splitlines()[0]}"
        )
        return False
    return True


def augmented_on(patches: "Dataset[Batch]", device: torch.device) -> str:
    """Where patches are augmented: "loader", or the type of the device that they are left to."""
    return device.type if isinstance(patches, Deferred) else "loader"


def on_device(batch: Batch, patches: "Dataset[Batch]", device: torch.device) -> Batch:
    """A batch on the device, and augmented there where its `patches` are not yet."""
    parts = {name: part for name, part in batch.items() if name != SKIPPED}
    if isinstance(patches, Deferred):
        return patches.finish(parts, device)
    return {name: part.to(device, non_blocking=True) for name, part in parts.items()}


class SkipUnreadable(Dataset[Batch]):
    """The patches of a training; in the place of an unreadable one stands another, whose number follows from its own.

    Which patch is number n so stays a function of n alone, however many workers ask, and a resumed run sees the same.
    """

    def __init__(self, patches: "Dataset[Batch]") -> None:
        self.patches = patches

    def __getitem__(self, n: int) -> Batch:
        """Patch n, or the first of its substitutes that can be read; "skipped" says how many could not.

        Raises:
            InputError: not one of five could be read.
        """
        for attempt in range(ATTEMPTS):
            try:
                patch = self.patches[n + attempt * FAR]
            except (UnreadableError, EOFError, OSError) as error:
                message = " ".join(str(error).split())
                print(f"patch {n}: passed over: {message}", file=sys.stderr)
            else:
                return {**patch, SKIPPED: torch.tensor(attempt)}
        raise InputError(
            f"patch {n} and {ATTEMPTS - 1} others in its place could not be read; the last one said: {message}"
        )


def training_batches(
    patches: "Dataset[Batch]", numbers: list[list[int]], settings: TrainingSettings
) -> Iterator[Batch]:
    """Batches of the patches so numbered, in order; each holds "skipped" (B,) beside what the patches hold.

    Raises:
        InputError: a patch could not be made; one line, whichever process that was in.
    """
    loading = settings.loader
    has_workers = loading.workers > 0
    loader = DataLoader(
        SkipUnreadable(patches),
        batch_sampler=numbers,
        pin_memory=loading.pin_memory and torch.cuda.is_available(),
        num_workers=loading.workers,
        prefetch_factor=loading.prefetch_factor if has_workers else None,
        persistent_workers=has_workers and loading.persistent_workers,
        multiprocessing_context=family(loading.start_method, (__name__, type(patches).__module__))
        if has_workers
        else None,
        worker_init_fn=partial(_begin, loading.workers) if has_workers else None,
        collate_fn=patches.collate if isinstance(patches, Deferred) else None,
    )
    try:
        yield from loader
    except InputError as error:  # from a worker it comes wrapped in that process's whole traceback
        raise InputError(str(error).rsplit("Error: ", 1)[-1].strip()) from None


def skipped_in(
    batches: Sequence[Batch], settings: TrainingSettings, history: Sequence[Mapping[str, Any]], label: str, step: int
) -> int:
    """How many patches of a step's batches stand in for unreadable ones; taken out of the batches. `history`: the steps before.

    Raises:
        InputError: there were more of those in this run than `skip_share` allows.
    """
    now = sum(int(batch.pop(SKIPPED).sum()) for batch in batches)
    total = now + sum(line.get("skipped", 0) for line in history) if now else 0
    allowed = settings.skip_share * settings.steps * settings.accumulate_steps * settings.train_batch_size
    if total > max(allowed, 1.0 if settings.skip_share else 0.0):
        raise InputError(
            f"{label}: {total} patches could not be read by step {step}, more than skip_share "
            f"{settings.skip_share} of the whole run; repair the data named above, or raise training.skip_share"
        )
    return now


def _begin(workers: int, _: int) -> None:
    """What a loading process does first."""
    share_memory_with(workers)


@contextmanager
def naming_dead_workers(loading: LoaderSettings) -> Iterator[None]:
    """Turn the death of a loading process into one line.

    torch notices it by a signal, and so raises wherever the training stands: it has to be caught around all of it.

    Raises:
        WorkerDiedError: a loading process died.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        try:
            death = _death(error, loading)
            if death is not None:
                hear_of_dead_workers_once()
        except RuntimeError as notice:  # torch's, that came while what the same end had torn was looked at
            hear_of_dead_workers_once()
            death = _death(notice, loading)
        if death is None:
            raise
        raise death from None


def _death(error: Exception, loading: LoaderSettings) -> WorkerDiedError | None:
    """In one line that a loading process died, where that is what the error says."""
    message = str(error)
    if loading.workers and SHARED_FULL.search(message):
        return WorkerDiedError(shared_memory_is_small(loading))
    # what its end tears apart first is chance: torch's own notice, or a connection to it
    is_torn = isinstance(error, ConnectionError | EOFError) or (isinstance(error, OSError) and error.filename is None)
    is_explained = isinstance(error, InputError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if is_explained or ("DataLoader worker" not in message and not (loading.workers and is_torn)):
        return None
    return WorkerDiedError(
        f"a loading process died ({' '.join(message.split())[:120]}), most often for want of memory: lower "
        f"training.loader.workers (now {loading.workers}) or patch_size; the same command goes on from the last checkpoint"
    )


def validation_batches(patches: "Dataset[Batch]", settings: TrainingSettings) -> Iterator[Batch]:
    """The fixed patches that a training is validated on, in order; in the place of an unreadable one stands another here too."""
    numbers = torch.arange(len(patches)).split(settings.validation_batch_size)  # type: ignore[arg-type]
    yield from DataLoader(SkipUnreadable(patches), batch_sampler=[part.tolist() for part in numbers])
