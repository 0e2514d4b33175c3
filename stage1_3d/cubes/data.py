"""Stage one on cubes of the surface competition: what it trains on, and what it predicts when it is trained."""

from collections.abc import Iterator, Sequence

from scroll.config.schema import Settings
from scroll.data.cubes import Cube, prepare, training_cubes
from scroll.data.folds import Fold, fold_numbers
from scroll.data.members.card import Card
from scroll.data.members.new_items import out_of_fold
from scroll.data.members.others import of_others
from stage1_3d.cubes.dataset import CubePatches
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.cubes.trace import flatten_cubes


class CubeData:
    """The training cubes of a run; `items` are what folds are made of, here whole cubes.

    Raises:
        InputError: the folds make no sense, or any cube is damaged or its label does not belong to it, said before the first
            one is trained on.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        cubes = training_cubes(settings.data)
        fold_numbers(cubes, settings.folds)  # refused in a second, not after an hour of copying
        self.items: list[Cube] = prepare(cubes)

    def patches(self, name: str, fold: Fold, seed: int, is_training: bool) -> CubePatches:
        """Training patches without end, or the fixed ones that a fold is validated on."""
        return CubePatches(self.items, fold, self.settings.stage1.members[name], seed, is_training)

    def keys(self, name: str) -> dict[str, str]:
        """Hash of the data that a member is trained on, by cube; the same for every member."""
        return {cube.id: cube.key for cube in self.items}

    def predict_out_of_fold(self, names: Sequence[str], folds: Sequence[Fold]) -> None:
        """Predict every cube by the fold that held it out, with every member, into <member>/oof/<cube>/; then trace its sheets.

        Members of others predict, by their folds that did not see it, what is new to them; sheets are traced in cubes that are new to all.
        """
        for name in names:
            other = of_others(self.settings).get(name)
            for numbers, cubes in self._by_others(other.card) if other else self._by_fold(folds):
                predict_cubes(self.settings, name, cubes, numbers, self.settings.folder.oof(name))
        settings, cubes = out_of_fold(self.settings, self.items)
        folders = {name: settings.folder.oof(name) for name in names if name in settings.stage1.fitted}
        flatten_cubes(settings, cubes, folders, settings.folder.sheets)

    def _by_fold(self, folds: Sequence[Fold]) -> Iterator[tuple[list[int], list[Cube]]]:
        for fold in folds:
            yield [fold.number], [cube for cube in self.items if cube.id in fold.held_out]

    def _by_others(self, card: Card) -> Iterator[tuple[list[int], list[Cube]]]:
        """Cubes that are new to the same folds together, so that these are loaded once."""
        together: dict[tuple[int, ...], list[Cube]] = {}
        for cube in self.items:
            if unseen := card.unseen(cube.id, cube.volume_name):
                together.setdefault(tuple(unseen), []).append(cube)
        return ((list(folds), cubes) for folds, cubes in together.items())
