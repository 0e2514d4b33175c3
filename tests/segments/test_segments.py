"""A segment is a sheet with a canvas of one pixel a voxel, in a volume that it names itself."""

import shutil

import numpy as np
import pytest

from scroll.config.schema import FoldSettings
from scroll.data.folds import make_folds
from scroll.data.segments import Segment, TracedVolume, by_volume, find_segments
from scroll.errors import InputError, MissingInputError
from scroll.volumes import open_volume
from scroll.volumes.masks import read_mask_png


def test_the_segments_of_a_folder_are_put_together_by_volume(data):
    segments = find_segments(data.root / "train", data)
    volumes = by_volume(segments)
    assert [volume.name for volume in volumes] == ["1", "2"]
    for volume in volumes:
        assert {segment.id.split("-")[0] for segment in volume.segments} == {volume.name}
        assert volume.volume.shape == open_volume(data.root / "volumes" / f"{volume.name}.zarr").shape
        assert volume.volume.voxel_um == pytest.approx(7.91)


def test_the_canvas_has_one_pixel_a_voxel_and_the_working_one_fewer(data):
    for segment in find_segments(data.root / "train", data):
        rows, columns = segment.surface.shape
        assert segment.shape_yx == (rows * 4, columns * 4)
        assert segment.full_label.target.shape == segment.shape_yx
        assert segment.mask.shape == segment.label.target.shape == (rows * 2, columns * 2)
        assert not (segment.full_label.target & ~segment.full_label.ignore & ~segment.full_mask).any()


def test_the_ct_on_the_ink_is_brighter_than_on_bare_papyrus(data):
    inked, bare = [], []
    for segment in find_segments(data.root / "train", data):
        picture, label = segment.picture(), segment.full_label
        inked.append(picture[label.target & ~label.ignore])
        bare.append(picture[~label.target & ~label.ignore])
    assert np.concatenate(inked).mean() > np.concatenate(bare).mean() + 10  # grey values of 255, easy ink


def test_a_segment_without_a_volume_says_where_to_write_it(data, tmp_path):
    source = next((data.root / "train").iterdir())
    shutil.copytree(source, tmp_path / "seg" / "a")
    (tmp_path / "seg" / "a" / "volume_source.txt").unlink()
    (segment,) = find_segments(tmp_path / "seg", data)
    with pytest.raises(MissingInputError, match=r"volume_source\.txt.*data\.volume"):
        _ = segment.volume
    volume = data.root / "volumes" / "1.zarr"
    (segment,) = find_segments(tmp_path / "seg", data.model_copy(update={"volume": str(volume)}))
    assert segment.volume.shape == open_volume(volume).shape


def test_a_label_of_another_size_is_refused_with_both_sizes(data, tmp_path):
    source = next((data.root / "train").iterdir())
    shutil.copytree(source, tmp_path / "seg" / "a")
    (tmp_path / "seg" / "a" / "volume_source.txt").unlink()
    ink = read_mask_png(source / "inklabels.png")
    from PIL import Image

    Image.fromarray(ink[:-3].astype(np.uint8) * 255).save(tmp_path / "seg" / "a" / "inklabels.png")
    (segment,) = find_segments(
        tmp_path / "seg", data.model_copy(update={"volume": str(data.root / "volumes" / "1.zarr")})
    )
    with pytest.raises(InputError, match=rf"{ink.shape[0] - 3}.*{ink.shape[0]}"):
        _ = segment.full_label


def test_a_supervision_mask_makes_the_rest_unknown(data, tmp_path):
    source = next((data.root / "train").iterdir())
    shutil.copytree(source, tmp_path / "seg" / "a")
    given = data.model_copy(update={"volume": str(data.root / "volumes" / "1.zarr")})
    (tmp_path / "seg" / "a" / "volume_source.txt").unlink()
    (segment,) = find_segments(tmp_path / "seg", given)
    from PIL import Image

    mask = np.zeros(segment.shape_yx, np.uint8)
    mask[:20] = 255
    Image.fromarray(mask).save(tmp_path / "seg" / "a" / "a_supervision_mask.png")
    (segment,) = find_segments(tmp_path / "seg", given)
    assert segment.full_label.ignore[20:].all()
    assert (segment.full_label.ignore[:20] == ~segment.full_mask[:20]).all()


def test_flipped_normals_are_the_other_way_round(data):
    ahead = find_segments(data.root / "train", data)[0]
    behind = find_segments(data.root / "train", data.model_copy(update={"normal_sign": -1}))[0]
    np.testing.assert_array_equal(ahead.surface.normals[:], -behind.surface.normals[:])
    rows = slice(10, 40)
    ours, theirs = (one.surface.tile(rows, rows).normals for one in (ahead, behind))
    np.testing.assert_array_equal(ours, -theirs)
    assert np.abs(ours).max() > 0.5
    assert ahead.key != behind.key


def test_folds_by_volume_hold_out_whole_volumes(data):
    segments = find_segments(data.root / "train", data)
    folds = make_folds(segments, FoldSettings(by="volume", count=2))
    assert [{i.split("-")[0] for i in fold.held_out} for fold in folds] == [{"1"}, {"2"}]
    assert all(fold.held_out[s.id] == (0, s.mask.shape[0]) for fold in folds for s in segments if s.id in fold.held_out)
    with pytest.raises(InputError, match="2 training volumes"):
        make_folds(segments, FoldSettings(by="volume", count=3))


def test_a_coarser_level_sees_the_same_place(data):
    fine = by_volume(find_segments(data.root / "train", data))[0]
    coarse = by_volume(find_segments(data.root / "train", data.model_copy(update={"level": 1})))[0]
    assert coarse.volume.shape == tuple(n // 2 for n in fine.volume.shape)
    a, b = fine.segments[0], coarse.segments[0]
    assert a.pixel_um == pytest.approx(b.pixel_um) and a.shape_yx == b.shape_yx
    both = a.full_mask & b.full_mask
    assert np.corrcoef(a.picture()[both], b.picture()[both])[0, 1] > 0.9


def test_a_patch_at_the_rim_repeats_the_edge(data):
    volume: TracedVolume = by_volume(find_segments(data.root / "train", data))[0]
    patch = volume.patch((100, 100, 100), (32, 32, 32))
    assert patch.shape == (32, 32, 32) and np.isfinite(patch).all()
    np.testing.assert_array_equal(patch[12:], np.broadcast_to(patch[11:12], (20, 32, 32)))


def copied(data, tmp_path, source: str):
    """A segment of the phantom on its own, with what `volume_source.txt` says."""
    shutil.copytree(next((data.root / "train").iterdir()), tmp_path / "seg" / "a")
    (tmp_path / "seg" / "a" / "volume_source.txt").write_text(source)
    (segment,) = find_segments(tmp_path / "seg", data)
    return segment


def test_an_empty_volume_source_is_reported_and_not_taken_for_the_segment_itself(data, tmp_path):
    with pytest.raises(MissingInputError, match=r"volume_source\.txt: empty"):
        _ = copied(data, tmp_path, "\n").source


def test_a_volume_source_with_signs_that_no_path_has_is_named(tmp_path, data):
    (tmp_path / "volume_source.txt").write_bytes(b"../a\0.zarr\n")
    with pytest.raises(InputError, match=r"volume_source\.txt: .*signs that no path has"):
        _ = Segment("a", tmp_path, data).source


def test_one_volume_is_one_however_it_is_spelled(data, tmp_path, monkeypatch):
    (tmp_path / "link.zarr").symlink_to(data.root / "volumes" / "1.zarr")
    monkeypatch.chdir(tmp_path)
    in_file = copied(data, tmp_path, str(data.root / "volumes" / "1.zarr") + "/\n")
    shutil.copytree(in_file.folder, tmp_path / "seg" / "b")
    (tmp_path / "seg" / "b" / "volume_source.txt").unlink()
    both = find_segments(tmp_path / "seg", data.model_copy(update={"volume": "link.zarr"}))
    assert [volume.name for volume in by_volume(both)] == ["1"]  # else a fold by volume trains on what it holds out


def test_another_file_under_the_same_name_is_another_volume(data, tmp_path):
    np.save(tmp_path / "cube.npy", np.ones((40, 40, 40), np.uint8))
    segment = copied(data, tmp_path, "../../cube.npy")
    before = segment.key
    np.save(tmp_path / "cube.npy", np.ones((40, 40, 41), np.uint8))
    assert segment.key != before


def test_a_level_of_what_has_no_levels_is_refused_in_words(data, tmp_path):
    np.save(tmp_path / "cube.npy", np.ones((40, 40, 40), np.uint8))
    copied(data, tmp_path, "../../cube.npy")
    (segment,) = find_segments(tmp_path / "seg", data.model_copy(update={"level": 1}))
    with pytest.raises(InputError, match=r"cube\.npy: no zarr, so it has no level 1"):
        _ = segment.volume


def test_the_grey_scale_is_that_of_cubes_about_valid_points(data):
    volume = by_volume(find_segments(data.root / "train", data))[0]
    rng, found = np.random.default_rng(0), []
    for n in range(200):
        surface = volume.segments[n % len(volume.segments)].surface
        rows, columns = np.nonzero(surface.valid)
        picked = rng.integers(len(rows))
        corner = volume.inside(surface.points[rows[picked], columns[picked]].astype(np.float64) - 6, (12, 12, 12))
        found.append(volume.volume[tuple(slice(c, c + 12) for c in corner)].ravel())
    low, middle, high = np.percentile(np.concatenate(found).astype(np.float32), (16, 50, 84))
    assert volume.grey_scale == pytest.approx((middle, (high - low) / 2))
