"""In scroll space: what is proposed is lifted beside the label, from the very pixel that each voxel has its label from."""

import numpy as np
import pytest
from PIL import Image

from scroll.config.schema import DataSettings, Settings
from scroll.data.folds import Fold
from scroll.data.segments import by_volume
from stage1_3d.segments.data import SegmentData
from stage1_3d.segments.dataset import LabelledVolume
from stage1_3d.segments.lifted_labels import lifted_label, lifted_proposals
from tests.segments.test_segment_labels import DEPTH, copied, segments_of


def stripes(shape: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.arange(shape[1]) // 7 % 2 == 0, shape)


def write_marks(data: DataSettings, which: slice = slice(None)) -> None:
    for segment in segments_of(data)[which]:
        pixels = np.where(stripes(segment.shape_yx), 255, 0).astype(np.uint8)
        Image.fromarray(pixels).save(segment.folder / f"{segment.id}_proposed_mask.png")


def lifted_of(data: DataSettings):
    (traced,) = by_volume(segments_of(data))
    volume = LabelledVolume(traced, lifted_label(traced, DEPTH), lifted_proposals(traced, DEPTH))
    return volume.label((0, 0, 0), traced.volume.shape)


@pytest.mark.parametrize("greys", ["refuse", "soft"])
def test_a_voxel_is_proposed_where_the_pixel_that_it_has_its_label_from_is(data, tmp_path, greys):
    """The oracle: the label lifted with every proposed pixel, and then every other one, unknown."""
    whole = copied(data, tmp_path / "whole", grey_labels=greys)
    write_marks(whole, slice(1))  # of the others all is a person's
    found = lifted_of(whole)
    parts = []
    for is_proposed in (True, False):
        part = copied(data, tmp_path / str(is_proposed), grey_labels=greys)
        for number, segment in enumerate(segments_of(part)):
            marked = stripes(segment.shape_yx) if number == 0 else np.zeros(segment.shape_yx, bool)
            pixels = np.where(marked if is_proposed else ~marked, 255, 0).astype(np.uint8)
            Image.fromarray(pixels).save(segment.folder / "supervision_mask.png")
        (traced,) = by_volume(segments_of(part))
        parts.append(LabelledVolume(traced, lifted_label(traced, DEPTH)).label((0, 0, 0), traced.volume.shape))
    assert np.array_equal(found.proposed, ~parts[0].ignore) and found.proposed.any()
    assert np.array_equal(~found.ignore & ~found.proposed, ~parts[1].ignore)
    assert np.array_equal(found.human.ignore, parts[1].ignore)
    known = ~parts[1].ignore
    assert np.array_equal(found.human.target[known], parts[1].target[known])


def run_of(data: DataSettings, **loss: float) -> Settings:
    member = {"network": "cnn3d", "patch_size": (16, 16, 16), "supervision": "band", "ink_depth": DEPTH, "loss": loss}
    return Settings.model_validate({"run_dir": "none", "data": data, "stage1": {"members": {"a": member}}})


def test_training_boxes_say_what_is_proposed_and_at_weight_0_know_nothing_of_it(data, tmp_path):
    how = copied(data, tmp_path)
    fold, plain = Fold(0, {}, {}), SegmentData(run_of(how)).patches("a", Fold(0, {}, {}), 1, True)
    assert all("proposed" not in plain[n] for n in range(3))
    write_marks(how, slice(1))
    patches = SegmentData(run_of(how)).patches("a", fold, 1, True)
    items = [patches[n] for n in range(12)]
    assert all(item["proposed"].shape == item["target"].shape for item in items)
    assert any(item["proposed"].any() for item in items) and not any(
        (item["proposed"] & item["ignore"]).any() for item in items
    )
    alone = SegmentData(run_of(how, proposed_weight=0)).patches("a", fold, 1, True)
    for n, item in enumerate(items):
        other = alone[n]
        assert "proposed" not in other
        assert np.array_equal(other["ignore"], item["ignore"] | item["proposed"])


def test_boxes_of_validation_see_people_where_anybody_labelled_a_held_out_row(data, tmp_path):
    how = copied(data, tmp_path)
    write_marks(how)
    segments = segments_of(how)
    rows = {segment.id: (0, segment.rows) for segment in segments}
    patches = SegmentData(run_of(how)).patches("a", Fold(0, rows, rows), 1, False)
    assert all("proposed" not in patches[n] for n in range(6)) and any((~patches[n]["ignore"]).any() for n in range(6))
    for segment in segments:
        Image.fromarray(np.full(segment.shape_yx, 255, np.uint8)).save(
            segment.folder / f"{segment.id}_proposed_mask.png"
        )
    patches = SegmentData(run_of(how)).patches("a", Fold(0, rows, rows), 1, False)
    items = [patches[n] for n in range(6)]
    assert all((item["proposed"] == ~item["ignore"]).all() for item in items) and any(
        item["proposed"].any() for item in items
    )
