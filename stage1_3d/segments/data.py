"""Stage one in scroll space: boxes about traced sheets to train on, volumes about them to predict, then flattened."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from scroll.config.schema import Settings
from scroll.data.folds import Fold, check_buffer
from scroll.data.kinds import training_items
from scroll.data.members.others import of_others
from scroll.data.segments import Segment, by_volume
from scroll.data.shares import shares_of
from stage1_3d.external.maps import predict_map
from stage1_3d.external.member import all_folds
from stage1_3d.segments.dataset import LabelledVolume, SegmentPatches
from stage1_3d.segments.flatten import CT, flatten_segment
from stage1_3d.segments.lifted_labels import lifted_label, lifted_proposals
from stage1_3d.segments.predict import predict_volume_new, predict_volume_out_of_fold


class SegmentData:
    """The training segments of a run, in their volumes.

    Raises:
        InputError: any of them lacks a volume, a sound surface or a label, or the buffer between bands of rows is narrower than a
            patch at the level of their volumes; said before the first one is trained on.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.items: list[Segment] = training_items(settings.data)
        for segment in self.items:
            _ = segment.surface, segment.label
        if self.items:
            check_buffer(settings, max(segment.volume.place.edge for segment in self.items))
        self.volumes = by_volume(self.items)

    def patches(self, name: str, fold: Fold, seed: int, is_training: bool) -> SegmentPatches:
        """Training patches without end, or the fixed ones that a fold is validated on."""
        member = self.settings.stage1.members[name]
        has_proposals = any(segment.full_label.proposed is not None for segment in self.items)
        labelled = []
        for volume in self.volumes:
            proposed = lifted_proposals(volume, member.ink_depth) if has_proposals else None
            labelled.append(LabelledVolume(volume, lifted_label(volume, member.ink_depth), proposed))
        return SegmentPatches(labelled, fold, member, seed, is_training, shares_of(self.items, self.settings.sampling))

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {volume.name: volume.key for volume in self.volumes}

    def keys(self, name: str) -> dict[str, str]:
        """Hash of the data that a member is trained on, by volume; the same for every member."""
        return self._keys

    def predict_out_of_fold(self, names: Sequence[str], folds: Sequence[Fold]) -> None:
        """Predict the volumes about what each fold held out with every member, and flatten that, and the CT if asked for."""
        maps = {name: other for name, other in of_others(self.settings).items() if other.gives_map}
        in_voxels = [name for name in names if name not in maps]
        for volume in self.volumes:
            parts = {name: predict_volume_out_of_fold(self.settings, name, volume, folds) for name in in_voxels}
            for segment in volume.segments:
                own = {name: parts[name][segment.id] for name in in_voxels if parts[name][segment.id]}
                folders = {name: self.settings.folder.oof(name, segment.id) for name in (*own, CT)}
                flatten_segment(self.settings, volume, segment, own, folders)
                for name, other in maps.items():
                    unseen = other.card.unseen(segment.id, segment.volume_name)
                    if name in names and unseen:
                        predict_map(self.settings, name, segment, unseen, self.settings.folder.oof(name, segment.id))


def predict_new_segments(settings: Settings, segments: Sequence[Segment], output: Path) -> None:
    """Predict the volumes of segments that no fold was trained on, and flatten every source into <output>/<segment>/<source>/."""
    maps = [name for name, other in of_others(settings).items() if other.gives_map]
    for volume in by_volume(segments):
        parts = {
            name: predict_volume_new(settings, name, volume, output / "volumes" / volume.name / name)
            for name in settings.stage1.members
            if name not in maps
        }
        for segment in volume.segments:
            own = {name: parts[name][segment.id] for name in parts}
            folders = {name: output / segment.id / name for name in (*own, CT)}
            flatten_segment(settings, volume, segment, own, folders)
            for name in maps:
                predict_map(settings, name, segment, all_folds(settings, name), output / segment.id / name)
