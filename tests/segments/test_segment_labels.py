"""In scroll space too: validation masks are held out of what is lifted, versions are picked, greys are lifted as shares."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scroll.config.schema import DataSettings
from scroll.data.segments import Segment, by_volume, find_segments
from scroll.volumes import open_volume
from stage1_3d.segments.dataset import LabelledVolume
from stage1_3d.segments.lifted_labels import lifted_label

DEPTH = (-2, 4)


def copied(data: DataSettings, root: Path, **changes: object) -> DataSettings:
    """The segments of one volume, elsewhere, so that their labels can be changed."""
    for source in (data.root / "train").iterdir():
        if source.name.startswith("1-"):
            shutil.copytree(source, root / "train" / source.name)
            (root / "train" / source.name / "volume_source.txt").unlink()
    volume = data.root / "volumes" / "1.zarr"
    return DataSettings.model_validate(
        {**data.model_dump(), "root": root, "cache_dir": root / "cache", "volume": str(volume), **changes}
    )


def segments_of(data: DataSettings) -> list[Segment]:
    return find_segments(data.root / "train", data)


def held_out_of(segment: Segment) -> np.ndarray:
    there = np.zeros(segment.shape_yx, bool)
    there[:, : segment.shape_yx[1] // 3] = True
    return there


def lifted(data: DataSettings) -> tuple[np.ndarray, np.ndarray]:
    """Target and ignore of the whole volume."""
    (traced,) = by_volume(segments_of(data))
    label = LabelledVolume(traced, lifted_label(traced, DEPTH)).label((0, 0, 0), traced.volume.shape)
    return label.target, label.ignore


def write_labels(data: DataSettings, greys: str, changed: bool = False) -> None:
    for segment in segments_of(data):
        path = segment.folder / "inklabels.png"
        ink, held_out = np.asarray(Image.open(path)) > 0, held_out_of(segment)
        shades = np.random.default_rng(3).integers(1, 120, ink.shape) if greys == "grey" else 0
        values = np.where(ink, 255 - shades, shades)
        values = np.where(held_out & changed, 255 - values, values)
        Image.fromarray(values.astype(np.uint8)).save(segment.folder / f"{segment.id}_inklabels_v2.png")
        Image.fromarray((255 * held_out).astype(np.uint8)).save(segment.folder / "validation_mask.png")


@pytest.mark.parametrize("greys", ["hard", "grey"])
def test_what_a_validation_mask_holds_out_is_not_lifted_and_changes_nothing(data, tmp_path, greys):
    found = []
    for changed in (False, True):
        how = copied(data, tmp_path / str(changed), grey_labels="soft" if greys == "grey" else "refuse")
        write_labels(how, greys, changed)
        found.append(lifted(how))
        for segment in segments_of(how):
            held_out = held_out_of(segment)
            assert segment.full_label.ignore[held_out].all()
            assert np.array_equal(~segment.held_out_label.ignore, held_out & segment.full_mask)
            whole = held_out[::2, ::2] & held_out[1::2, 1::2]  # working pixels that are held out all through
            assert not (segment.open_mask & whole).any() and segment.open_mask.any()
    (target, ignore), (also, also_ignore) = found
    assert np.array_equal(ignore, also_ignore) and np.array_equal(target[~ignore], also[~ignore])
    assert (~ignore).any() and target[~ignore].any()


def test_soft_labels_of_0_and_1_are_lifted_as_hard_ones_and_greys_as_shares(data, tmp_path):
    hard, soft, grey = (
        copied(data, tmp_path / name, grey_labels=how)
        for name, how in (("hard", "refuse"), ("soft", "soft"), ("grey", "soft"))
    )
    for how, greys in ((hard, "hard"), (soft, "hard"), (grey, "grey")):
        write_labels(how, greys)
    (target, ignore), (also, also_ignore), (shades, grey_ignore) = (lifted(how) for how in (hard, soft, grey))
    assert also.dtype == np.float32 and np.array_equal(also, target) and np.array_equal(ignore, also_ignore)
    assert np.array_equal(ignore, grey_ignore)  # the bands go by what counts as ink
    known = ~ignore
    assert np.array_equal(shades[known] >= 0.5, target[known])
    assert len(np.unique(shades[known])) > 50


def test_a_label_of_an_older_version_is_read_where_it_is_asked_for_and_the_data_is_known_by_it(data, tmp_path):
    newest = copied(data, tmp_path)
    write_labels(newest, "hard", changed=True)
    older = newest.model_copy(update={"label_versions": newest.label_versions.model_copy(update={"inklabels": 0})})
    for new, old in zip(segments_of(newest), segments_of(older), strict=True):
        held_out = held_out_of(new) & new.full_mask
        assert np.array_equal(new.held_out_label.target[held_out], ~old.held_out_label.target[held_out])
        assert new.key != old.key
    assert open_volume(newest.volume).shape == segments_of(newest)[0].volume.shape
