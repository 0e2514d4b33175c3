"""Stage one on flattened fragments: what it trains on, and what it predicts when it is trained."""

import warnings
from collections.abc import Sequence
from functools import cached_property

from scroll.config.schema import DataSettings, Settings
from scroll.data.depth_windows import check_depth_offsets
from scroll.data.folds import Fold
from scroll.data.fragments import Fragment, training_fragments
from scroll.data.members.others import of_others
from scroll.data.shares import shares_of
from stage1_3d.fragments.dataset import InkPatches
from stage1_3d.predict import flatten_ct, predict_out_of_fold


class FragmentData:
    """The training fragments of a run.

    Raises:
        InputError: any of them lacks layers or a label, said before the first one is trained on.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        jitter = {name: member.augment.depth_jitter for name, member in settings.stage1.members.items()}
        jitter |= dict.fromkeys(of_others(settings), 0)
        by_margin = {margin: training_fragments(settings.data, margin) for margin in {*jitter.values()}}
        self._fragments = {name: by_margin[margin] for name, margin in jitter.items()}
        for fragment in by_margin[max(by_margin)]:
            _ = fragment.layers, fragment.label
        check_depth_offsets(settings, by_margin[max(by_margin)])
        _warn_of_uneven(settings.data, by_margin[max(by_margin)])

    @cached_property
    def items(self) -> list[Fragment]:
        """What folds are made of."""
        return training_fragments(self.settings.data)

    def patches(self, name: str, fold: Fold, seed: int, is_training: bool) -> InkPatches:
        """Training patches without end, or the fixed ones that a fold is validated on."""
        fragments, member = self._fragments[name], self.settings.stage1.members[name]
        return InkPatches(fragments, fold, member, seed, is_training, shares_of(fragments, self.settings.sampling))

    def keys(self, name: str) -> dict[str, str]:
        """Hash of the data that a member is trained on, by fragment."""
        return {fragment.id: fragment.key for fragment in self._fragments[name]}

    def predict_out_of_fold(self, names: Sequence[str], folds: Sequence[Fold]) -> None:
        """Predict what each fold held out with every member, and flatten it, and the CT if asked for."""
        for name in names:
            for fragment in self._fragments[name]:
                predict_out_of_fold(self.settings, name, fragment, folds)
        for fragment in self.items:
            flatten_ct(self.settings, fragment, self.settings.folder.oof("ct", fragment.id))


def _warn_of_uneven(data: DataSettings, fragments: Sequence[Fragment]) -> None:
    """Say once that voxels are binned to what no published network was trained on; phantoms stand for no scan.

    Warns:
        UserWarning: they are.
    """
    if data.bin_yx > 1 and fragments and not (data.root / "phantom.json").exists():
        depth_um, plane_um = fragments[0].pixel_um, fragments[0].seen_um
        warnings.warn(
            f"data.bin_yx is {data.bin_yx}: voxels become {depth_um:g} x {plane_um:g} x {plane_um:g} um (z, y, x); published networks were "
            "trained on cubes, which data.pool makes",
            stacklevel=3,
        )
