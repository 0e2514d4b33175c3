"""Stage one's side of a kind of data: a folder with data.py (`TrainingData`) and doctor.py (`Doctor`), and a line here."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from scroll.config.schema import DataSettings, Settings

if TYPE_CHECKING:
    from scroll.data.folds import Fold
    from scroll.data.patch_dataset import PatchDataset

KINDS = {
    "fragments": ("stage1_3d.fragments", "FragmentData"),
    "segments": ("stage1_3d.segments", "SegmentData"),
    "cubes": ("stage1_3d.cubes", "CubeData"),
}


class TrainingData(Protocol):
    """What stage one trains on, and what it leaves when it is trained."""

    settings: Settings

    @property
    def items(self) -> Sequence[Any]:
        """What folds are made of: fragments, segments or cubes, sorted by id."""

    def patches(self, name: str, fold: "Fold", seed: int, is_training: bool) -> "PatchDataset":
        """Training patches of a member without end, or the fixed ones that a fold is validated on."""

    def keys(self, name: str) -> dict[str, str]:
        """Hash of the data that a member is trained on, by item or volume."""

    def predict_out_of_fold(self, names: Sequence[str], folds: "Sequence[Fold]") -> None:
        """Predict with these members what each fold held out, into <run>/stage1/<member>/oof/, and flatten it."""


def training_data(settings: Settings) -> TrainingData:
    """What stage one trains on.

    Raises:
        InputError: an item is not as expected; said before anything is trained.
    """
    folder, name = KINDS[settings.data.kind]
    data: TrainingData = getattr(import_module(f"{folder}.data"), name)(settings)
    return data


class Doctor(Protocol):
    """What is looked at before hours are spent; a check raises InputError, and nothing heavy is loaded."""

    def items_of(self, settings: Settings) -> list[Any]:
        """The training items."""

    def described(self, item: Any) -> str:
        """One line about an item, as far as it can be read."""

    def check(self, item: Any) -> None:
        """Everything that can be wrong with one item; the first thing is raised."""

    def checks_of_all(self, settings: Settings, items: list[Any]) -> Iterator[tuple[str, Callable[[], object]]]:
        """What is looked at in all of them together, by name."""


def doctor_of(data: DataSettings) -> Doctor:
    """What the doctor looks at in this kind of data."""
    doctor: Any = import_module(f"{KINDS[data.kind][0]}.doctor")
    found: Doctor = doctor
    return found
